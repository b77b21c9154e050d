// The reference: every equation of kernels.h and attention.h written down once, templated on the scalar T of
// activations (float: the "ref" kernel set; double: gradient checks), with sums in double. Each output row depends on
// its own input row alone and is summed in one fixed order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "kernels/attention.h"
#include "kernels/kernels.h"

namespace sigma::ref {

// sum_i a[i] b[i]. Eight sums side by side: the order is fixed and the compiler may still use vectors.
template <class A, class B>
double dot(const A* a, const B* b, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int lane = 0; lane < 8; ++lane)
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  double sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// One column of out[m, n] (=|+=) x[m, k] w^T + bias: out[:, column] from row `column` of w, given as `weights` [k].
template <class T, class W>
void matmul_column(TensorView out, int64_t column, ConstTensorView x, const W* weights, double bias, Store store) {
  for (int64_t r = 0; r < x.rows; ++r) {
    const double product = dot(x.row<T>(r), weights, x.cols) + bias;
    T& target = out.row<T>(r)[column];
    target = static_cast<T>(store == Store::add ? static_cast<double>(target) + product : product);
  }
}

// out[i] = x[i] / sqrt(mean_j x[j]^2 + eps) * weight[i]
template <class T, class W>
void rms_norm_row(T* out, const T* x, const W* weight, int64_t n, double eps) {
  const double scale = 1.0 / std::sqrt(dot(x, x, n) / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<T>(static_cast<double>(x[i]) * scale * static_cast<double>(weight[i]));
}

// Rotates one head: (x1, x2) = (x[i], x[i + dim/2]) -> (x1 cos - x2 sin, x2 cos + x1 sin). cos, sin: [dim / 2].
template <class T, class C>
void rope_head(T* x, int64_t dim, const C* cos, const C* sin) {
  const int64_t half = dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double x1 = static_cast<double>(x[i]), x2 = static_cast<double>(x[i + half]);
    const double c = static_cast<double>(cos[i]), s = static_cast<double>(sin[i]);
    x[i] = static_cast<T>(x1 * c - x2 * s);
    x[i + half] = static_cast<T>(x2 * c + x1 * s);
  }
}

// z / (1 + exp(-z)) * up
template <class T>
T swiglu_value(T gate, T up) {
  const double z = static_cast<double>(gate);
  return static_cast<T>(z / (1.0 + std::exp(-z)) * static_cast<double>(up));
}

// KeyExpansion for one cached key of one head at one position: out [q_dim] = rope(E key, position).
// matrix: [q_dim, k_dim]; cos, sin: that position's [q_dim / 2].
template <class T, class W, class C>
void expand_key(T* out, const T* key, const W* matrix, int64_t q_dim, int64_t k_dim, const C* cos, const C* sin) {
  for (int64_t i = 0; i < q_dim; ++i) out[i] = static_cast<T>(dot(matrix + i * k_dim, key, k_dim));
  rope_head(out, q_dim, cos, sin);
}

// Attention of one query head over dense keys and values. Row t of k is k + t * k_stride (elements), and so for v.
template <class T>
struct HeadAttention {
  T* out = nullptr;      // [v_dim]
  const T* q = nullptr;  // [q_dim]
  const T* k = nullptr;
  const T* v = nullptr;
  int64_t k_stride = 0, v_stride = 0;
  int64_t q_dim = 0, v_dim = 0;
  int64_t tokens = 0;  // positions 0 .. tokens - 1 are seen
  double scale = 1.0;
  int64_t v_top = 0;
  VWeights v_weights = VWeights::all;
};

// What one head needs besides: scores, weights, order: [tokens]; sums: [v_dim]. The weights stay readable afterwards.
struct HeadScratch {
  double* scores = nullptr;
  double* weights = nullptr;
  double* sums = nullptr;
  int32_t* order = nullptr;
};

// Zeroes the weights of all positions but the v_top best by score (ties: the lower position; NaN counts as the best, so
// that it is seen and not dropped).
inline void keep_top(const HeadScratch& s, int64_t tokens, int64_t v_top) {
  std::iota(s.order, s.order + tokens, 0);
  const auto better = [&](int32_t a, int32_t b) {
    const bool a_nan = std::isnan(s.scores[a]), b_nan = std::isnan(s.scores[b]);
    if (a_nan || b_nan) return a_nan == b_nan ? a < b : a_nan;
    return s.scores[a] != s.scores[b] ? s.scores[a] > s.scores[b] : a < b;
  };
  std::nth_element(s.order, s.order + v_top, s.order + tokens, better);
  for (int64_t i = v_top; i < tokens; ++i) s.weights[s.order[i]] = 0.0;
}

template <class T>
void attention_head(const HeadAttention<T>& a, const HeadScratch& s) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t t = 0; t < a.tokens; ++t) {
    s.scores[t] = a.scale * dot(a.q, a.k + t * a.k_stride, a.q_dim);
    largest = std::max(largest, s.scores[t]);
  }
  double all = 0.0;
  for (int64_t t = 0; t < a.tokens; ++t) all += s.weights[t] = std::exp(s.scores[t] - largest);
  const bool selective = a.v_top > 0 && a.v_top < a.tokens;
  if (selective) keep_top(s, a.tokens, a.v_top);
  const double sum = a.v_weights == VWeights::all ? all : std::accumulate(s.weights, s.weights + a.tokens, 0.0);
  std::fill_n(s.sums, a.v_dim, 0.0);
  for (int64_t t = 0; t < a.tokens; ++t) {
    s.weights[t] /= sum;
    if (selective && s.weights[t] == 0.0) continue;  // a row that is not kept is not read
    for (int64_t i = 0; i < a.v_dim; ++i) s.sums[i] += s.weights[t] * static_cast<double>(a.v[t * a.v_stride + i]);
  }
  for (int64_t i = 0; i < a.v_dim; ++i) a.out[i] = static_cast<T>(s.sums[i]);
}

}  // namespace sigma::ref
