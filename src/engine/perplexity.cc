#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>

#include "engine/sampler.h"

namespace sigma {

namespace {

// Rows of logits wanted at a time: bounds memory (a row is vocab floats).
constexpr int64_t kRows = 256;

}  // namespace

PerplexityScorer::PerplexityScorer(const Kernels& kernels, ThreadPool& threads, const Model& model,
                                   const PerplexityOptions& options)
    : kernels_(kernels),
      threads_(threads),
      model_(model),
      options_(options),
      cache_(kernels, model.config, options.cache) {
  for (int64_t t = 0; t < options.cache.tokens; t += cache_.page_tokens()) pages_.push_back(*cache_.allocate());
}

void PerplexityScorer::score(std::span<const TokenId> window, int64_t first, const Sink& sink) {
  const auto length = static_cast<int64_t>(window.size());
  for (int64_t begin = 0; begin < length; begin += kRows) {
    const int64_t rows = std::min(kRows, length - begin);
    std::vector<int32_t> wanted;
    for (int64_t i = 0; i < rows; ++i)
      if (begin + i >= first && begin + i + 1 < length) wanted.push_back(static_cast<int32_t>(i));
    const SeqSlice slice{0, rows, begin, pages_};
    const ConstTensorView logits =
        forward(kernels_, threads_, model_, cache_, workspace_,
                {.tokens = window.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows)),
                 .seqs = {&slice, 1},
                 .logit_rows = wanted,
                 .v_top = options_.v_top,
                 .v_weights = options_.v_weights});
    std::vector<double> nll(wanted.size());
    threads_.run(static_cast<int64_t>(nll.size()), [&](int64_t i) {
      const std::span<const float> row(logits.row<float>(i), static_cast<size_t>(logits.cols));
      const TokenId next = window[static_cast<size_t>(begin + wanted[static_cast<size_t>(i)] + 1)];
      nll[static_cast<size_t>(i)] = -static_cast<double>(token_logprob(row, next));
    });
    sink(nll, logits);
  }
}

void Likelihood::add(double nll) {
  sum += nll;
  sum_squares += nll * nll;
  ++count;
}

double Likelihood::perplexity() const { return std::exp(mean()); }

double Likelihood::standard_error() const {
  const auto n = static_cast<double>(count);
  const double variance = sum_squares / n - mean() * mean();
  return count > 1 && variance > 0 ? perplexity() * std::sqrt(variance / (n - 1)) : 0;
}

}  // namespace sigma
