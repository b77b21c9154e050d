// sigma perplexity: how well a model predicts a text. Windows of N tokens, beginning of text first, the second half of
// each scored: llama.cpp's protocol, so that figures compare.
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "engine/perplexity.h"

namespace sigma {

namespace {

struct Options {
  ModelOptions model;
  std::string file;
  int64_t context = 512;
  std::optional<std::string> tokens, logits, nll;
  bool json = false;
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
  PerplexityScorer scorer(session.kernels, session.threads, session.model,
                          {.cache = session.engine_options(o.context).cache,
                           .v_top = o.model.v_top,
                           .v_weights = o.model.v_renormalise ? VWeights::kept : VWeights::all});
  std::optional<FileWriter> logits_file, nll_file;
  if (o.logits) logits_file.emplace(*o.logits);
  if (o.nll) nll_file.emplace(*o.nll);
  Likelihood score;
  Progress progress("perplexity", static_cast<uint64_t>(windows * o.context), "tokens");
  for (int64_t w = 0; w < windows; ++w) {
    const std::span<TokenId> window =
        std::span(tokens).subspan(static_cast<size_t>(w * o.context), static_cast<size_t>(o.context));
    if (bos) window[0] = *bos;  // as llama.cpp: the window's first token gives way
    scorer.score(window, o.context / 2, [&](std::span<const double> nll, ConstTensorView logits) {
      for (const double x : nll) score.add(x);
      if (nll_file) nll_file->write(std::as_bytes(nll));
      if (logits_file) logits_file->write({logits.data, static_cast<size_t>(logits.rows * logits.row_bytes)});
    });
    progress.update(static_cast<uint64_t>((w + 1) * o.context));
  }
  if (logits_file) logits_file->commit();
  if (nll_file) nll_file->commit();
  if (o.json) {
    print_json({{"perplexity", score.perplexity()},
                {"standard_error", score.standard_error()},
                {"mean_nll", score.mean()},
                {"tokens", score.count}});
  } else {
    std::printf("perplexity %.4f +/- %.4f (mean NLL %.5f over %lld tokens, %lld windows of %lld)\n", score.perplexity(),
                score.standard_error(), score.mean(), static_cast<long long>(score.count),
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
