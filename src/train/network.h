// A model as training sees it: the forward pass of model/forward.h over whole sequences, keeping what the backward pass
// needs, and that backward pass, written by hand (backward.cc mirrors forward.cc line by line). Covers every
// configuration that ModelConfig can express.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "train/parameters.h"

namespace sigma {

// A micro-batch: `rows` sequences of `context` tokens. Token t of a row attends to positions [starts[t], t] of it.
struct TokenRows {
  int64_t rows = 0, context = 0;
  std::span<const int32_t> tokens;   // [rows * context]
  std::span<const int32_t> targets;  // [rows * context]; negative: no loss there
  std::span<const int32_t> starts;   // [rows * context]
};

struct LossOptions {
  double scale = 1.0;     // of the gradient: 1 / targets of the whole batch
  double z_weight = 0.0;  // of the z-loss, log^2 of the softmax's denominator
};

// What backward needs of one layer. "real" and "activations": precision.h.
struct LayerState {
  TensorView x, x_mid;             // real [n, dim]: the residual stream before attention and before the FFN
  TensorView attn_rstd, ffn_rstd;  // real [n, 1]
  TensorView q0;                   // [n, q_width]: W_q h
  TensorView q_gate, q_up;         // [n, aug_dim]
  TensorView q1;                   // [n, q_width]: augmented (q0 without augmentation)
  TensorView q_rstd, k_rstd;       // real [n * heads, 1]
  TensorView q2;                   // [n, q_width]: normed (q1 without q/k norms)
  TensorView q;                    // [n, q_heads * score_dim]: rotated; key_dim form: of E^T q2
  TensorView k0, k1;               // [n, k_width]: W_k h; normed
  TensorView k;                    // [n, k_heads * score_dim]: rotated; after_expansion: of E k1
  TensorView v;                    // [n, v_width]
  TensorView lse;                  // real [q_heads, n]
  TensorView out;                  // [n, q_heads * v_dim]
  TensorView gate, up;             // [n, ffn_dim]
};

class Network {
 public:
  // recompute: only the residual stream of each layer is kept; backward runs the layer's forward pass again.
  enum class Keep : uint8_t { everything, residuals };
  Network(const ModelConfig& config, Precision precision, const Kernels& kernels, ThreadPool& threads,
          Keep keep = Keep::everything);

  // Sum of the losses of all targets. Adds scale times their gradient to parameters.gradients().
  double train(const Parameters& parameters, const TokenRows& rows, const LossOptions& options);
  // The same sum, no gradients.
  double evaluate(const Parameters& parameters, const TokenRows& rows);
  // Real [rows * context, vocab], for tests and for comparing with the engine.
  std::vector<double> logits(const Parameters& parameters, const TokenRows& rows);

  // Called when the gradients of a layer are complete for this micro-batch, last layer first; then -1: all are.
  std::function<void(int layer)> on_layer_gradients;

  Context context() { return {kernels_, threads_, scratch_}; }
  uint64_t peak_bytes() const { return scratch_.peak_bytes(); }

 private:
  friend struct Pass;
  const ModelConfig config_;
  const Precision precision_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  const Keep keep_;
  Arena scratch_;
  std::vector<double> frequencies_;
  Buffer angles_;  // real cos [context, pairs], then sin
  int64_t angle_positions_ = 0;
};

// Multiplications and additions that training on one token takes (forward and backward, causal attention counted by
// the positions it sees, embedding look-ups not at all).
double train_operations_per_token(const ModelConfig& config, int64_t context);

}  // namespace sigma
