// What training needs of a kernel set besides products: forward operations that keep what their gradients need, those
// gradients, and the optimiser's update. The rules of kernels.h hold, with three additions:
// - Activations lie in memory in the precision of the run (f64, f32 or bf16); "real" numbers (the residual stream,
//   statistics, gradients of weights) are f64 in an f64 run and f32 otherwise. The reference set takes any mix, the CPU
//   sets f32 and bf16.
// - Sums over rows are cut by shape alone, so they have the same bits for any number of threads.
// - Functions without a Context run on the calling thread: they work on one tile and are called from tasks.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace sigma {

struct Context;

enum class Rotation : uint8_t { forward, backward };

// dx (=|+=) the gradient of rms_norm by x; dweight[i] += sum_r dout[r, i] x[r, i] rstd[r].
struct RmsNormBackward {
  TensorView dx;       // [m, n]: written where accumulate is unset
  TensorView dweight;  // real [1, n]
  ConstTensorView dout, x;
  ConstTensorView rstd;    // real [m, 1]
  ConstTensorView weight;  // real [1, n]
  enum class Into : uint8_t { overwrite, add } into = Into::add;
};

// Of row r with target t = targets[r] >= 0, p = softmax(logits[r]), z = log sum exp(logits[r]):
//     losses[r] = z - logits[r, t] + z_weight z^2
//     dlogits[r, i] = scale ((1 + 2 z_weight z) p[i] - [i = t])
// Rows with a negative target have no loss and no gradient.
struct CrossEntropy {
  TensorView dlogits;      // [m, vocab]; data may be null: losses only
  TensorView losses;       // real [m, 1]
  ConstTensorView logits;  // real [m, vocab]
  std::span<const int32_t> targets;
  double scale = 1.0, z_weight = 0.0;
};

// A tile of one head's scores. Row r sees columns [begin[r], end[r]) of the tile; all others have weight 0.
struct ScoreTile {
  ConstTensorView scores;  // real [m, n]: products q . k, not yet scaled
  const int32_t* begin = nullptr;
  const int32_t* end = nullptr;
  double scale = 1.0;
};

// The optimiser's numbers for one step (AdamW: decay is decoupled from the gradient).
struct AdamW {
  double rate = 0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0;
  double gradient_scale = 1;                // clipping
  double correction1 = 1, correction2 = 1;  // 1 - beta^step
};

struct GradientKernels {
  // x[r, i] += bias[i].    bias: real [1, n]
  void (*add_bias)(const Context&, TensorView x, ConstTensorView bias);
  // out[i] += sum_r x[r, i].   out: real [1, n]
  void (*sum_rows)(const Context&, TensorView out, ConstTensorView x);

  // rstd[r] = 1 / sqrt(mean_j x[r, j]^2 + eps);  out[r, i] = x[r, i] rstd[r] weight[i].   out may be x.
  void (*rms_norm)(const Context&, TensorView out, TensorView rstd, ConstTensorView x, ConstTensorView weight,
                   double eps);
  void (*rms_norm_backward)(const Context&, const RmsNormBackward&);

  // out = silu(gate) * up;   out may be gate.
  void (*swiglu)(const Context&, TensorView out, ConstTensorView gate, ConstTensorView up);
  // dgate = dout * up * silu'(gate), dup = dout * silu(gate).   dgate may be gate, dup may be up.
  void (*swiglu_backward)(const Context&, TensorView dgate, TensorView dup, ConstTensorView dout, ConstTensorView gate,
                          ConstTensorView up);

  // Half-split rotary embedding in place (see kernels.h), or its transpose. Row r of x has row r % cos.rows of the
  // angles. cos, sin: real [positions, dim / 2]
  void (*rope)(const Context&, TensorView x, ConstTensorView cos, ConstTensorView sin, Rotation);

  void (*cross_entropy)(const Context&, const CrossEntropy&);

  // Online softmax over tiles of keys. largest, total: real [m, 1], -inf and 0 before the first tile; out: real
  // [m, v_dim]. Raises largest to the tile's maximum, scales total and out to match, adds the tile's weights
  // exp(scale s - largest) to total, and writes them to p (m, n).
  void (*softmax_tile)(TensorView p, TensorView largest, TensorView total, TensorView out, const ScoreTile&);
  // p = exp(scale s - lse[r]);  ds = scale p (dp - delta[r]).   lse, delta: real [m, 1]; dp: real [m, n]
  void (*softmax_tile_backward)(TensorView p, TensorView ds, ConstTensorView dp, ConstTensorView lse,
                                ConstTensorView delta, const ScoreTile&);
  // lse[r] = largest[r] + log(total[r]);  to[r, i] = out[r, i] / total[r].   lse may be largest.
  void (*softmax_finish)(TensorView to, TensorView lse, ConstTensorView out, ConstTensorView largest,
                         ConstTensorView total);
  // out = in, rounded to out's type.
  void (*convert)(TensorView out, ConstTensorView in);
  // out[r] = sum_i a[r, i] b[r, i]
  void (*dot_rows)(TensorView out, ConstTensorView a, ConstTensorView b);

  // w, m, v, gradient: f32 [1, n];  copy: the compute copy of w, or null data.
  //   g = gradient * gradient_scale;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
  //   w -= rate (m / correction1 / (sqrt(v / correction2) + eps) + decay w)
  void (*adamw)(TensorView w, TensorView m, TensorView v, ConstTensorView gradient, TensorView copy, const AdamW&);
  // sum_i x[i]^2 in f64.   x: f32 [1, n]
  double (*sum_of_squares)(ConstTensorView x);
};

}  // namespace sigma
