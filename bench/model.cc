#include "bench/model.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/rng.h"
#include "bench/machine.h"

namespace sigma::bench {

namespace {

// A number at the start of `text`, which is cut off; 0 when there is none.
int64_t take_number(std::string_view& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return 0;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// Bytes that one row of a head takes in a cache of this format.
double row_bytes(Format format, int dim) {
  const FormatInfo& info = format_info(format);
  return static_cast<double>(ceil_div(dim, info.block_elements) * info.block_bytes);
}

}  // namespace

ModelCase parse_model_case(const std::string& text) {
  ModelCase c;
  std::string_view rest = text;
  c.prefill = rest.starts_with("prefill:");
  const bool known = c.prefill || rest.starts_with("decode:");
  if (known) rest.remove_prefix(rest.find(':') + 1);
  c.tokens = take_number(rest);
  if (rest.starts_with("@")) rest.remove_prefix(1), c.context = take_number(rest);
  if (rest.starts_with("x")) rest.remove_prefix(1), c.sequences = take_number(rest);
  if (!known || !rest.empty() || c.tokens < 1 || c.context < 0 || c.sequences < 1 || (c.prefill && c.sequences > 1))
    throw UsageError("case", "prefill:N[@CONTEXT] or decode:N[@CONTEXT][xSEQUENCES]", printable(text));
  return c;
}

ModelBench::ModelBench(const Kernels& kernels, ThreadPool& threads, const Model& model, const CacheOptions& cache)
    : kernels_(kernels), threads_(threads), model_(model), cache_(kernels, model.config, cache) {}

int64_t ModelBench::tokens_needed(const ModelCase& c, int page_tokens) {
  return c.sequences * round_up(c.context + c.tokens, page_tokens);
}

void ModelBench::fill(int64_t sequences, int64_t context) {
  if (static_cast<int64_t>(pages_.size()) == sequences && filled_ == context) return;
  for (const auto& pages : pages_)
    for (const PageId page : pages) cache_.release(page);
  pages_.assign(static_cast<size_t>(sequences), {});
  filled_ = context;
  const AttentionShape& a = model_.config.attn;
  constexpr int64_t kRows = 256;
  std::vector<float> values(static_cast<size_t>(kRows * std::max(a.k_width(), a.v_width())));
  Rng rng(1);
  for (float& x : values) x = static_cast<float>(rng.normal());
  const Context ctx{kernels_, threads_, workspace_.scratch};
  for (auto& pages : pages_) {
    while (static_cast<int64_t>(pages.size()) * cache_.page_tokens() < context) pages.push_back(*cache_.allocate());
    for (int64_t begin = 0; begin < context; begin += kRows) {
      const SeqSlice slice{0, std::min(kRows, context - begin), begin, pages};
      for (int layer = 0; layer < model_.config.layers; ++layer) {
        const ConstTensorView k = view_of(values.data(), slice.rows, a.k_width());
        const ConstTensorView v = view_of(values.data(), slice.rows, a.v_width());
        kernels_.kv_store(ctx, CacheKind::k, cache_.k(layer), k, {&slice, 1});
        kernels_.kv_store(ctx, CacheKind::v, cache_.v(layer), v, {&slice, 1});
      }
    }
  }
}

double ModelBench::measure(const ModelCase& c) {
  fill(c.sequences, c.context);
  for (auto& pages : pages_)
    while (static_cast<int64_t>(pages.size()) * cache_.page_tokens() < c.context + c.tokens)
      pages.push_back(*cache_.allocate());
  Rng rng(2);
  const auto vocab = static_cast<uint64_t>(model_.config.vocab);
  std::vector<TokenId> tokens(static_cast<size_t>(std::max(c.tokens, c.sequences)));
  for (TokenId& token : tokens) token = static_cast<TokenId>(rng.below(vocab));
  constexpr int64_t kChunk = 512;
  const double start = seconds();
  for (int64_t done = 0; done < c.tokens;) {
    const int64_t rows = c.prefill ? std::min(kChunk, c.tokens - done) : 1;
    std::vector<SeqSlice> seqs;
    std::vector<int32_t> logit_rows;
    for (int64_t s = 0; s < c.sequences; ++s) {
      seqs.push_back({s * rows, rows, c.context + done, pages_[static_cast<size_t>(s)]});
      if (!c.prefill || done + rows == c.tokens) logit_rows.push_back(static_cast<int32_t>((s + 1) * rows - 1));
    }
    const std::span<const TokenId> row_tokens =
        std::span(tokens).subspan(c.prefill ? static_cast<size_t>(done) : 0, static_cast<size_t>(rows * c.sequences));
    forward(kernels_, threads_, model_, cache_, workspace_,
            {.tokens = row_tokens, .seqs = seqs, .logit_rows = logit_rows, .v_top = c.v_top});
    done += rows;
  }
  return seconds() - start;
}

double ModelBench::cache_bytes(int64_t context, int64_t v_top) const {
  const AttentionShape& a = model_.config.attn;
  const CacheOptions& o = cache_.options();
  const auto positions = static_cast<double>(context);
  const double k = positions * a.k_heads * row_bytes(o.k_format, a.k_dim);
  const double all_v = positions * a.v_heads * row_bytes(o.v_format, a.v_dim);
  const double top_v = static_cast<double>(v_top) * a.q_heads * row_bytes(o.v_format, a.v_dim);
  return model_.config.layers * (k + (v_top > 0 ? std::min(all_v, top_v) : all_v));
}

double ModelBench::bytes(const ModelCase& c) const {
  const auto weights = static_cast<double>(model_.weight_bytes);
  double total = 0;
  if (c.prefill) {
    for (int64_t done = 0; done < c.tokens; done += 512) total += weights + cache_bytes(c.context + done, 0);
    return total;
  }
  for (int64_t i = 0; i < c.tokens; ++i)
    total += weights + static_cast<double>(c.sequences) * cache_bytes(c.context + i + 1, c.v_top);
  return total;
}

double ModelBench::operations(const ModelCase& c) const {
  const ModelConfig& config = model_.config;
  const ParameterCount n = count_parameters(config);
  const double body = 2.0 * static_cast<double>(n.attention + n.augmented_q + n.ffn);
  const double head = 2.0 * config.dim * config.vocab;
  const AttentionShape& a = config.attn;
  const double per_position = 2.0 * config.layers * a.q_heads * (a.q_dim + a.v_dim);
  const auto tokens = static_cast<double>(c.tokens);
  const double positions = tokens * static_cast<double>(c.context) + tokens * (tokens + 1) / 2;
  const double logits = c.prefill ? 1.0 : tokens;
  return static_cast<double>(c.sequences) * (tokens * body + logits * head + positions * per_position);
}

}  // namespace sigma::bench
