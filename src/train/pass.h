// One micro-batch on its way through the network: activations and the steps that forward.cc and backward.cc share.
#pragma once

#include <vector>

#include "train/attention.h"
#include "train/gemm.h"
#include "train/network.h"
#include "train/tensors.h"

namespace sigma {

struct Pass {
  Pass(Network& network, const Parameters& parameters, const TokenRows& rows);

  // forward.cc
  void embed();
  void forward_layer(int layer);
  void project(int layer);
  void augment_query(int layer);
  void norm_heads(int layer);
  void rotate(int layer);
  TrainAttention attention(int layer) const;
  double losses(const LossOptions& options);  // and dx, when gradients are wanted
  void run_layers();

  // backward.cc
  void backward_layer(int layer);
  void backward_ffn(int layer);
  void backward_attention(int layer);
  void backward_query(int layer, TensorView dq, TensorView dh);
  void backward_key(int layer, TensorView dk, TensorView dh);
  void backward_embedding();

  TensorView real(int64_t rows, int64_t cols) const;         // scratch
  TensorView activations(int64_t rows, int64_t cols) const;  // scratch
  const LayerWeights<TensorView, TensorView>& weights(int layer) const;
  const LayerWeights<TensorView, TensorView>& gradients(int layer) const;
  LayerState& state(int layer);
  const LayerState& state(int layer) const;
  LayerState allocate_layer() const;
  // The residual stream behind layer `layer` (-1: the embedding).
  TensorView residual(int layer) const { return residuals[static_cast<size_t>(int64_t{layer} + 1)]; }

  Network& net;
  const Parameters& parameters;
  const TokenRows& rows;
  const Context context;
  const GradientKernels& kernels;
  const ModelConfig& c;
  const int64_t n;                    // tokens
  const int64_t score_dim;            // of one query and key when they meet
  TensorView cos, sin;                // real [context, score_dim / 2]
  std::vector<TensorView> residuals;  // real [n, dim]
  std::vector<LayerState> states;     // one per layer, or one for all
  TensorView h;                       // [n, dim]: a norm's output
  TensorView act;                     // [n, max(ffn_dim, aug_dim)]: a SwiGLU's output
  TensorView dx;                      // real [n, dim]: gradient by the residual stream; data null: not wanted
};

// The first `cols` columns' worth of a buffer as a contiguous matrix.
inline TensorView narrowed(TensorView buffer, int64_t cols) {
  buffer.cols = cols;
  buffer.row_bytes = cols * dtype_bytes(buffer.dtype);
  return buffer;
}

}  // namespace sigma
