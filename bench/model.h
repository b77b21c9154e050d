// A whole model's speed: prefill and decode at any depth, with the bytes and operations a step must take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/result.h"
#include "model/cost.h"
#include "model/forward.h"

namespace sigma::bench {

struct ModelCase {
  bool prefill = false;
  int64_t tokens = 128;   // of the prompt, or decoded one by one by each sequence
  int64_t context = 0;    // tokens that are cached before
  int64_t sequences = 1;  // decoded together, each with its own context
  int64_t v_top = 0;
};

// "prefill:512", "decode:128", "decode:32@16384", "decode:32@1024x8" (eight sequences). Error for anything else.
ModelCase parse_model_case(const std::string& text);

struct Turn {
  double seconds = 0;  // the case's own
  Limit limit;
  double share = 0;  // time at the limit over `seconds`
};

class ModelBench {
 public:
  // cache.tokens: what the largest case needs, tokens_needed() of it.
  ModelBench(const Kernels& kernels, ThreadPool& threads, const Model& model, const CacheOptions& cache);
  static int64_t tokens_needed(const ModelCase& c, int page_tokens);

  // The case once, what bounds it measured before, after and (in a longer case) between its passes: the best of these
  // counts, as the machine is while the case runs. The context is made of random keys and values, stored once and kept
  // for later cases: what is measured does not depend on their values.
  Turn measure(Machine& machine, const ModelCase& c);
  // That all passes of the case together must read from memory: every packed weight once a pass (logits of the last
  // prompt token only), and the cached rows of every position attended to.
  double bytes(const ModelCase& c) const;
  // Of products and attention; a multiply-add is two.
  double operations(const ModelCase& c) const { return products(c) + attention(c); }

 private:
  // What bounds the case, measured now: reads of memory for decoding; one loop of each arithmetic that a prefill uses,
  // its products that of the weights' kernel and its attention that of the K cache's.
  Limit limit_once(Machine& machine, const ModelCase& c) const;
  void fill(const ModelCase& c);
  double products(const ModelCase& c) const;
  double attention(const ModelCase& c) const;
  StepCost cost(int64_t context, int64_t v_top) const;  // of one row, weights left out

  const Kernels& kernels_;
  ThreadPool& threads_;
  const Model& model_;
  KvCache cache_;
  Workspace workspace_;
  std::vector<std::vector<PageId>> pages_;  // by sequence
  int64_t filled_ = 0;                      // positions of each that hold something
};

}  // namespace sigma::bench
