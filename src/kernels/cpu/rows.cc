// Kernels that treat every row, or every element, alone: rms_norm, rope, swiglu.
#include "kernels/cpu/check.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

// sum_i x[i]^2 in four interleaved sums.
float sum_of_squares(const float* x, int64_t n) {
  F32 sums[4] = {zero_f32(), zero_f32(), zero_f32(), zero_f32()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int j = 0; j < 4; ++j) {
      const F32 v = load(x + i + j * kLanes);
      sums[j] = fma(v, v, sums[j]);
    }
  for_vectors(n - i, [&](int64_t j, int count) {
    const F32 v = load_some(x + i + j, count);
    sums[0] = fma(v, v, sums[0]);
  });
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

}  // namespace

// out[r, i] = x[r, i] / sqrt(mean_j x[r, j]^2 + eps) * weight[i]
void rms_norm(const Context& context, TensorView out, ConstTensorView x, const float* weight, float eps) {
  SIGMA_KERNEL_CHECK_EQ(out.rows, x.rows);
  SIGMA_KERNEL_CHECK_EQ(out.cols, x.cols);
  for_rows(context, x.rows, x.cols, [&](int64_t row) {
    const float* from = x.row<float>(row);
    float* to = out.row<float>(row);
    const float mean = sum_of_squares(from, x.cols) / static_cast<float>(x.cols);
    const F32 scale = set(1.0f / __builtin_sqrtf(mean + eps));
    for_vectors(x.cols, [&](int64_t i, int n) {
      store_some(to + i, load_some(from + i, n) * scale * load_some(weight + i, n), n);
    });
  });
}

// (x1, x2) = (x[i], x[i + dim / 2])  ->  (x1 cos - x2 sin, x2 cos + x1 sin)
void rope(const Context& context, TensorView x, int64_t dim, ConstTensorView cos, ConstTensorView sin) {
  const int64_t half = dim / 2;
  SIGMA_KERNEL_CHECK_EQ(x.cols % dim, 0);
  SIGMA_KERNEL_CHECK_EQ(cos.rows, x.rows);
  SIGMA_KERNEL_CHECK_EQ(cos.cols, half);
  for_rows(context, x.rows, x.cols, [&](int64_t row) {
    const float* c = cos.row<float>(row);
    const float* s = sin.row<float>(row);
    for (float* head = x.row<float>(row); head != x.row<float>(row) + x.cols; head += dim)
      for_vectors(half, [&](int64_t i, int n) {
        const F32 x1 = load_some(head + i, n), x2 = load_some(head + half + i, n);
        const F32 ci = load_some(c + i, n), si = load_some(s + i, n);
        store_some(head + i, fma(x1, ci, -(x2 * si)), n);
        store_some(head + half + i, fma(x2, ci, x1 * si), n);
      });
  });
}

// out = silu(gate) * up, silu(z) = z / (1 + exp(-z))
void swiglu(const Context& context, TensorView out, ConstTensorView gate, ConstTensorView up) {
  SIGMA_KERNEL_CHECK_EQ(out.rows, gate.rows);
  SIGMA_KERNEL_CHECK_EQ(out.cols, gate.cols);
  SIGMA_KERNEL_CHECK_EQ(up.rows, gate.rows);
  SIGMA_KERNEL_CHECK_EQ(up.cols, gate.cols);
  for_rows(context, gate.rows, gate.cols, [&](int64_t row) {
    const float* g = gate.row<float>(row);
    const float* u = up.row<float>(row);
    float* to = out.row<float>(row);
    for_vectors(gate.cols, [&](int64_t i, int n) {
      const F32 z = load_some(g + i, n);
      store_some(to + i, z / (set(1.0f) + exp(-z)) * load_some(u + i, n), n);
    });
  });
}

}  // namespace sigma::SIGMA_ISA
