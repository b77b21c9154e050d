// sigma perplexity: how well a model predicts a text. Windows of N tokens, beginning of text first, the second half of
// each scored: llama.cpp's protocol, so that figures compare.
#include <cmath>
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"

namespace sigma {

namespace {

struct Options {
  ModelOptions model;
  std::string file;
  int64_t context = 512;
  std::optional<std::string> tokens, logits, nll;
  bool json = false;
};

// Rows of logits wanted at a time: bounds memory (a row is vocab floats).
constexpr int64_t kRows = 256;

struct Score {
  double sum = 0, sum_squares = 0;
  int64_t count = 0;
  void add(double nll) {
    sum += nll;
    sum_squares += nll * nll;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
  // Standard error of the perplexity: perplexity times that of the mean NLL.
  double standard_error() const {
    const double n = static_cast<double>(count);
    const double variance = sum_squares / n - mean() * mean();
    return count > 1 && variance > 0 ? std::exp(mean()) * std::sqrt(variance / (n - 1)) : 0;
  }
};

class Scorer {
 public:
  Scorer(Session& session, const Options& o)
      : session_(session),
        o_(o),
        cache_(session.kernels, session.model.config, session.engine_options(o.context).cache) {
    for (int64_t t = 0; t < o.context; t += cache_.page_tokens()) pages_.push_back(*cache_.allocate());
    if (o.logits) logits_.emplace(*o.logits);
    if (o.nll) nll_.emplace(*o.nll);
  }

  // One window; the tokens after `first` are scored, each from the logits of the one before.
  void score(std::span<const TokenId> window, int64_t first) {
    const auto length = static_cast<int64_t>(window.size());
    for (int64_t begin = 0; begin < length; begin += kRows) {
      const int64_t rows = std::min(kRows, length - begin);
      std::vector<int32_t> wanted;
      for (int64_t i = 0; i < rows; ++i)
        if (begin + i >= first && begin + i + 1 < length) wanted.push_back(static_cast<int32_t>(i));
      const SeqSlice slice{0, rows, begin, pages_};
      const ConstTensorView logits =
          forward(session_.kernels, session_.threads, session_.model, cache_, workspace_,
                  {.tokens = window.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows)),
                   .seqs = {&slice, 1},
                   .logit_rows = wanted,
                   .v_top = o_.model.v_top,
                   .v_weights = o_.model.v_renormalise ? VWeights::kept : VWeights::all});
      std::vector<double> nll(wanted.size());
      session_.threads.run(static_cast<int64_t>(nll.size()), [&](int64_t i) {
        const std::span<const float> row(logits.row<float>(i), static_cast<size_t>(logits.cols));
        const TokenId next = window[static_cast<size_t>(begin + wanted[static_cast<size_t>(i)] + 1)];
        nll[static_cast<size_t>(i)] = -static_cast<double>(token_logprob(row, next));
      });
      for (const double x : nll) result.add(x);
      if (nll_) nll_->write(std::as_bytes(std::span(nll)));
      if (logits_) logits_->write({logits.data, static_cast<size_t>(logits.rows * logits.row_bytes)});
    }
  }
  void commit() {
    if (logits_) logits_->commit();
    if (nll_) nll_->commit();
  }

  Score result;

 private:
  Session& session_;
  const Options& o_;
  KvCache cache_;
  Workspace workspace_;
  std::vector<PageId> pages_;
  std::optional<FileWriter> logits_, nll_;
};

int run(const Options& o) {
  Session session(o.model);
  if (o.context < 2 || o.context > session.model.config.max_tokens)
    throw UsageError("--context", fmt::format("2 to {}, the model's context", session.model.config.max_tokens),
                     fmt::format("{}", o.context));
  std::vector<TokenId> tokens;
  std::optional<TokenId> bos;
  if (o.tokens) {
    tokens = parse_token_list(read_text(*o.tokens));
  } else {
    const Tokenizer& tokenizer = session.require_tokenizer();
    tokens = tokenizer.encode_prompt(read_text(o.file), Specials::as_text);
    if (tokenizer.spec().add_bos) bos = tokenizer.spec().bos;
  }
  for (const TokenId id : tokens)
    if (id < 0 || id >= session.model.config.vocab)
      throw Error("--tokens", fmt::format("ids from 0 to {}", session.model.config.vocab - 1), fmt::format("{}", id));
  const auto windows = static_cast<int64_t>(tokens.size()) / o.context;
  if (windows < 1)
    throw Error(o.file, fmt::format("at least {} tokens (one window)", o.context), fmt::format("{}", tokens.size()));
  Scorer scorer(session, o);
  Progress progress("perplexity", static_cast<uint64_t>(windows * o.context), "tokens");
  for (int64_t w = 0; w < windows; ++w) {
    const std::span<TokenId> window =
        std::span(tokens).subspan(static_cast<size_t>(w * o.context), static_cast<size_t>(o.context));
    if (bos) window[0] = *bos;  // as llama.cpp: the window's first token gives way
    scorer.score(window, o.context / 2);
    progress.update(static_cast<uint64_t>((w + 1) * o.context));
  }
  scorer.commit();
  const Score& score = scorer.result;
  if (o.json) {
    print_json({{"perplexity", std::exp(score.mean())},
                {"standard_error", score.standard_error()},
                {"mean_nll", score.mean()},
                {"tokens", score.count}});
  } else {
    std::printf("perplexity %.4f +/- %.4f (mean NLL %.5f over %lld tokens, %lld windows of %lld)\n",
                std::exp(score.mean()), score.standard_error(), score.mean(), static_cast<long long>(score.count),
                static_cast<long long>(windows), static_cast<long long>(o.context));
  }
  return 0;
}

}  // namespace

Run perplexity_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Perplexity of a text: windows of N tokens, the second half of each scored (llama.cpp's protocol)");
  cli.example("sigma perplexity -m smollm2 -f /usr/share/common-licenses/GPL-3 --context 512");
  cli.example("sigma perplexity -m smollm2 -f text.txt --k-cache q8 --v-top 100 --json");
  o->model.declare(cli);
  cli.option("-f,--file", o->file, "The text; - is standard input");
  cli.option("--tokens", o->tokens, "A file of token ids instead of text");
  cli.option("--context", o->context, "Tokens per window");
  cli.option("--logits", o->logits,
             "Write the scored positions' logits to this file (f32, little-endian, [positions, vocabulary])");
  cli.option("--nll", o->nll, "Write each scored token's negative log-likelihood to this file (f64, little-endian)");
  cli.json(o->json);
  return [o] {
    if (o->file.empty() == !o->tokens)
      throw UsageError("sigma perplexity", "one of -f FILE and --tokens FILE", o->tokens ? "both" : "none");
    return run(*o);
  };
}

}  // namespace sigma
