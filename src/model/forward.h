// The forward pass: one function for prefill, decode and mixed batches.
#pragma once

#include <span>

#include "kernels/kernels.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/rope_table.h"

namespace sigma {

// The rows of one call: consecutive tokens of one or more sequences.
struct Batch {
  std::span<const int32_t> tokens;      // one per row
  std::span<const SeqSlice> seqs;       // cover the rows in order
  std::span<const int32_t> logit_rows;  // the rows whose logits are wanted
  int64_t v_top = 0;                    // selective V; 0: all
  VWeights v_weights = VWeights::all;
};

// Memory a forward pass works in; reused from call to call.
struct Workspace {
  Arena scratch;
  Buffer logits;
  RopeTable angles;
};

// Stores K and V of every row and returns the logits of logit_rows, f32 [logit_rows, vocab], valid until the next call.
// Tokens must be below the vocabulary, pages of every slice allocated, positions below the model's maximum.
ConstTensorView forward(const Kernels& kernels, ThreadPool& threads, const Model& model, KvCache& cache,
                        Workspace& workspace, const Batch& batch);

}  // namespace sigma
