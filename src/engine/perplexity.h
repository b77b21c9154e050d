// How well a model predicts tokens: windows of one length, each from an empty cache, the tokens after its first part
// scored from the logits of the one before (llama.cpp's protocol, so that figures compare).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/forward.h"
#include "text/tokenizer.h"

namespace sigma {

struct PerplexityOptions {
  CacheOptions cache;  // tokens: of a window
  int64_t v_top = 0;
  VWeights v_weights = VWeights::all;
};

class PerplexityScorer {
 public:
  PerplexityScorer(const Kernels& kernels, ThreadPool& threads, const Model& model, const PerplexityOptions& options);

  // Told the negative log-likelihoods of some consecutive scored tokens, and the logits they come from.
  using Sink = std::function<void(std::span<const double> nll, ConstTensorView logits)>;
  // One window of at most options.cache.tokens; those after `first` are scored.
  void score(std::span<const TokenId> window, int64_t first, const Sink& sink);

 private:
  const Kernels& kernels_;
  ThreadPool& threads_;
  const Model& model_;
  PerplexityOptions options_;
  KvCache cache_;
  Workspace workspace_;
  std::vector<PageId> pages_;
};

// A sum of negative log-likelihoods.
struct Likelihood {
  double sum = 0, sum_squares = 0;
  int64_t count = 0;
  void add(double nll);
  double mean() const { return sum / static_cast<double>(count); }
  double perplexity() const;
  double standard_error() const;  // of the perplexity: perplexity times that of the mean
};

}  // namespace sigma
