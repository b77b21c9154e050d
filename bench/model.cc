#include "bench/model.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "bench/machine.h"

namespace sigma::bench {

namespace {

// A number at the start of `text`, which is cut off; -1 when there is none, or a larger one than any case has.
int64_t take_number(std::string_view& text) {
  constexpr int64_t kMost = 1 << 24;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > kMost) return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// What products with weights of this format, or attention over a cache of it, compute in.
Peak arithmetic(Format format) { return static_cast<Peak>(arithmetic_of(format)); }

// Operations per second; where the processor has no such instruction, of f32.
double rate_once(Machine& machine, Peak kind) {
  const double rate = machine.peak_once(kind);
  return rate > 0 ? rate : machine.peak_once(Peak::f32);
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

void ModelBench::fill(const ModelCase& c) {
  if (static_cast<int64_t>(pages_.size()) != c.sequences) {
    for (const auto& pages : pages_)
      for (const PageId page : pages) cache_.release(page);
    pages_.assign(static_cast<size_t>(c.sequences), {});
    filled_ = 0;
  }
  for (auto& pages : pages_)
    while (static_cast<int64_t>(pages.size()) * cache_.page_tokens() < c.context + c.tokens)
      pages.push_back(*cache_.allocate());
  const AttentionShape& a = model_.config.attn;
  constexpr int64_t kRows = 256;
  // Every layer and stretch of rows takes another part of these, so that no two rows are the same.
  constexpr uint64_t kSpare = 1 << 20;
  std::vector<float> values(kSpare + static_cast<size_t>(kRows * std::max(a.k_width(), a.v_width())));
  Rng rng(1);
  for (float& x : values) x = static_cast<float>(rng.normal());
  const Context ctx{kernels_, threads_, workspace_.scratch};
  for (const auto& pages : pages_)
    for (int64_t begin = filled_; begin < c.context; begin += kRows) {
      const SeqSlice slice{0, std::min(kRows, c.context - begin), begin, pages};
      for (int layer = 0; layer < model_.config.layers; ++layer) {
        const ConstTensorView k = view_of(std::as_const(values).data() + rng.below(kSpare), slice.rows, a.k_width());
        const ConstTensorView v = view_of(std::as_const(values).data() + rng.below(kSpare), slice.rows, a.v_width());
        kernels_.kv_store(ctx, CacheKind::k, cache_.k(layer), k, {&slice, 1});
        kernels_.kv_store(ctx, CacheKind::v, cache_.v(layer), v, {&slice, 1});
      }
    }
  filled_ = std::max(filled_, c.context);
}

Turn ModelBench::measure(Machine& machine, const ModelCase& c) {
  if (static_cast<int64_t>(pages_.size()) != c.sequences || filled_ < c.context ||
      static_cast<int64_t>(pages_[0].size()) * cache_.page_tokens() < c.context + c.tokens)
    fill(c);
  Rng rng(2);
  const auto vocab = static_cast<uint64_t>(model_.config.vocab);
  std::vector<TokenId> tokens(static_cast<size_t>(std::max(c.tokens, c.sequences)));
  for (TokenId& token : tokens) token = static_cast<TokenId>(rng.below(vocab));
  constexpr int64_t kChunk = 512;
  constexpr double kStretch = 0.1;  // seconds between two measurements of the limit
  Turn turn{.limit = limit_once(machine, c)};
  const auto look = [&] {
    if (const Limit now = limit_once(machine, c); now.value > turn.limit.value) turn.limit = now;
  };
  double start = seconds();
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
    if (const double now = seconds(); now - start > kStretch || done == c.tokens) {
      turn.seconds += now - start;
      look();
      start = seconds();
    }
  }
  turn.share = (c.prefill ? operations(c) : bytes(c)) / turn.seconds / turn.limit.value;
  return turn;
}

StepCost ModelBench::cost(int64_t context, int64_t v_top) const {
  const CacheOptions& o = cache_.options();
  return step_cost(model_.config, {},
                   {.context = context, .k_format = o.k_format, .v_format = o.v_format, .v_top = v_top});
}

double ModelBench::bytes(const ModelCase& c) const {
  const auto weights = static_cast<double>(model_.weight_bytes);
  double total = 0;
  if (c.prefill) {
    for (int64_t done = 0; done < c.tokens; done += 512)
      total += weights + cost(c.context + done, 0).cache_bytes_read();
    return total;
  }
  for (int64_t i = 0; i < c.tokens; ++i)
    total += weights + static_cast<double>(c.sequences) * cost(c.context + i + 1, c.v_top).cache_bytes_read();
  return total;
}

double ModelBench::products(const ModelCase& c) const {
  const StepFlops f = cost(1, 0).flops;
  const auto tokens = static_cast<double>(c.tokens);
  return static_cast<double>(c.sequences) *
         (tokens * (f.projections + f.augmented_q + f.ffn) + (c.prefill ? 1.0 : tokens) * f.head);
}

double ModelBench::attention(const ModelCase& c) const {
  // Operations grow linearly with the positions attended to: all rows' together are as good as one row's.
  const int64_t positions = c.tokens * c.context + c.tokens * (c.tokens + 1) / 2;
  const StepFlops f = cost(positions, 0).flops;
  return static_cast<double>(c.sequences) * (f.scores + f.values);
}

Limit ModelBench::limit_once(Machine& machine, const ModelCase& c) const {
  if (!c.prefill) return {"read", machine.read_once()};
  const Peak with_weights = arithmetic(model_.weights.layers[0].gate.source);
  const Peak with_cache = arithmetic(cache_.options().k_format);
  const double rate = rate_once(machine, with_weights);
  if (with_cache == with_weights) return {peak_name(with_weights), rate};
  const double seconds = products(c) / rate + attention(c) / rate_once(machine, with_cache);
  return {std::string(peak_name(with_weights)) + "+" + peak_name(with_cache), operations(c) / seconds};
}

}  // namespace sigma::bench
