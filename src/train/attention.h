// Causal attention of whole sequences, and its gradient, in tiles: memory grows with the context, not with its square.
// Any q, k and v heads (k_heads and v_heads divide q_heads, contiguous groups), any key and value dimensions. A token
// sees positions [starts[t], t] of its own row of tokens.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/gradients.h"
#include "kernels/kernels.h"

namespace sigma {

struct TrainAttention {
  int64_t rows = 0, context = 0;  // sequences, and tokens of each
  int q_heads = 0, k_heads = 0, v_heads = 0;
  double scale = 1;
  ConstTensorView q, k, v;          // activations [rows * context, heads * head dim]
  std::span<const int32_t> starts;  // [rows * context]
  TensorView lse;                   // real [q_heads, rows * context]: log sum exp of the scaled scores
};

// out: activations [rows * context, q_heads * v_dim]. Writes lse.
void attention_forward(const Context& context, TensorView out, const TrainAttention& a);

struct AttentionGradients {
  TensorView dq, dk, dv;  // as q, k, v
};
// From dout, the gradient of out, and what attention_forward left.
void attention_backward(const Context& context, const AttentionGradients& grads, ConstTensorView dout,
                        ConstTensorView out, const TrainAttention& a);

}  // namespace sigma
