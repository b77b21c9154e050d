// The CPU sets of gradients.h: f32 and bf16 in memory, f32 in registers.
#include "kernels/gradients.h"

#include "kernels/cpu/check.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

// Sums over rows are taken in blocks of this many, then block by block: the same for any number of threads.
constexpr int64_t kRowBlock = 64;
constexpr float kInfinity = __builtin_inff();

void check_same(ConstTensorView a, ConstTensorView b) {
  SIGMA_KERNEL_CHECK_EQ(a.rows, b.rows);
  SIGMA_KERNEL_CHECK_EQ(a.cols, b.cols);
}

// sigmoid(z) = 1 / (1 + e^-z)
inline F32 sigmoid(F32 z) { return set(1.0f) / (set(1.0f) + exp(zero_f32() - z)); }

// sum over [0, n) of f(i, lanes), four interleaved sums; f gives 0 in lanes beyond.
template <class F>
inline float sum_vectors(int64_t n, const F& f) {
  F32 sums[4] = {zero_f32(), zero_f32(), zero_f32(), zero_f32()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int j = 0; j < 4; ++j) sums[j] = sums[j] + f(i + j * kLanes, kLanes);
  for (; i + kLanes <= n; i += kLanes) sums[0] = sums[0] + f(i, kLanes);
  if (i < n) sums[0] = sums[0] + f(i, static_cast<int>(n - i));
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void convert(TensorView out, ConstTensorView in) {
  check_same(out, in);
  with_type(out.dtype, [&](auto* to) {
    with_type(in.dtype, [&](auto* from) {
      using To = std::remove_pointer_t<decltype(to)>;
      using From = std::remove_pointer_t<decltype(from)>;
      for (int64_t r = 0; r < out.rows; ++r) {
        To* o = out.row<To>(r);
        const From* x = in.row<From>(r);
        for_vectors(out.cols, [&](int64_t i, int n) { store_first(o + i, load_first(x + i, n), n); });
      }
    });
  });
}

void add_bias(const Context& context, TensorView x, ConstTensorView bias) {
  SIGMA_KERNEL_CHECK_EQ(x.cols, bias.cols);
  const float* b = bias.row<float>(0);
  with_type(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_rows(context, x.rows, x.cols, [&](int64_t r) {
      T* row = x.row<T>(r);
      for_vectors(x.cols,
                  [&](int64_t i, int n) { store_first(row + i, load_first(row + i, n) + load_some(b + i, n), n); });
    });
  });
}

// out[i] += sum of partial[block, i], blocks in order.
void add_partials(const Context& context, float* out, const float* partial, int64_t blocks, int64_t n) {
  constexpr int64_t kColumns = 512;
  context.threads.run(ceil_div(n, kColumns), [&](int64_t task) {
    const int64_t first = task * kColumns, count = n - first < kColumns ? n - first : kColumns;
    for (int64_t b = 0; b < blocks; ++b) {
      const float* from = partial + b * n + first;
      for_vectors(count, [&](int64_t i, int lanes) {
        store_some(out + first + i, load_some(out + first + i, lanes) + load_some(from + i, lanes), lanes);
      });
    }
  });
}

// Calls f(row, sums) for every row; sums [n] of a block of rows start at 0 and are added to out in the end.
template <class F>
void sum_over_rows(const Context& context, float* out, int64_t rows, int64_t n, const F& f) {
  const Arena::Scope scope(context.scratch);
  const int64_t blocks = ceil_div(rows, kRowBlock);
  float* partial = context.scratch.take<float>(blocks * n);
  context.threads.run(blocks, [&](int64_t block) {
    float* sums = partial + block * n;
    for (int64_t i = 0; i < n; ++i) sums[i] = 0.0f;
    const int64_t end = (block + 1) * kRowBlock < rows ? (block + 1) * kRowBlock : rows;
    for (int64_t r = block * kRowBlock; r < end; ++r) f(r, sums);
  });
  add_partials(context, out, partial, blocks, n);
}

void sum_rows(const Context& context, TensorView out, ConstTensorView x) {
  SIGMA_KERNEL_CHECK_EQ(out.cols, x.cols);
  with_type(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    sum_over_rows(context, out.row<float>(0), x.rows, x.cols, [&](int64_t r, float* sums) {
      const T* row = x.row<T>(r);
      for_vectors(x.cols,
                  [&](int64_t i, int n) { store_some(sums + i, load_some(sums + i, n) + load_first(row + i, n), n); });
    });
  });
}

void rms_norm_any(const Context& context, TensorView out, TensorView rstd, ConstTensorView x, ConstTensorView weight,
                  double eps) {
  check_same(out, x);
  SIGMA_KERNEL_CHECK_EQ(rstd.rows, x.rows);
  SIGMA_KERNEL_CHECK_EQ(weight.cols, x.cols);
  const float* w = weight.row<float>(0);
  const int64_t n = x.cols;
  with_type(out.dtype, [&](auto* to) {
    with_type(x.dtype, [&](auto* from) {
      using To = std::remove_pointer_t<decltype(to)>;
      using From = std::remove_pointer_t<decltype(from)>;
      for_rows(context, x.rows, n, [&](int64_t r) {
        const From* in = x.row<From>(r);
        To* o = out.row<To>(r);
        const float squares = sum_vectors(n, [&](int64_t i, int lanes) {
          const F32 v = load_first(in + i, lanes);
          return v * v;
        });
        const float scale = 1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + static_cast<float>(eps));
        *rstd.row<float>(r) = scale;
        for_vectors(n, [&](int64_t i, int lanes) {
          store_first(o + i, load_first(in + i, lanes) * set(scale) * load_some(w + i, lanes), lanes);
        });
      });
    });
  });
}

// With x^ = x rstd and g = dout weight:  dx = rstd (g - x^ mean(g x^)), dweight = sum over rows of dout x^.
template <class DX, class D, class X>
void rms_norm_backward_of(const Context& context, const RmsNormBackward& a) {
  const int64_t n = a.x.cols;
  const float* w = a.weight.row<float>(0);
  sum_over_rows(context, a.dweight.row<float>(0), a.x.rows, n, [&](int64_t r, float* dw) {
    const X* x = a.x.row<X>(r);
    const D* d = a.dout.row<D>(r);
    DX* dx = a.dx.row<DX>(r);
    const F32 rstd = set(*a.rstd.row<float>(r));
    const float dot = sum_vectors(n, [&](int64_t i, int lanes) {
      return load_first(d + i, lanes) * load_some(w + i, lanes) * (load_first(x + i, lanes) * rstd);
    });
    const F32 mean = set(dot / static_cast<float>(n));
    const bool add = a.into == RmsNormBackward::Into::add;
    for_vectors(n, [&](int64_t i, int lanes) {
      const F32 normed = load_first(x + i, lanes) * rstd, out = load_first(d + i, lanes);
      store_some(dw + i, fma(out, normed, load_some(dw + i, lanes)), lanes);
      F32 grad = rstd * (out * load_some(w + i, lanes) - normed * mean);
      if (add) grad = grad + load_first(dx + i, lanes);
      store_first(dx + i, grad, lanes);
    });
  });
}

void rms_norm_backward(const Context& context, const RmsNormBackward& a) {
  check_same(a.dx, a.x);
  check_same(a.dout, a.x);
  SIGMA_KERNEL_CHECK_EQ(a.dweight.cols, a.x.cols);
  SIGMA_KERNEL_CHECK_EQ(a.rstd.rows, a.x.rows);
  with_type(a.dx.dtype, [&](auto* dx) {
    with_type(a.dout.dtype, [&](auto* dout) {
      with_type(a.x.dtype, [&](auto* x) {
        rms_norm_backward_of<std::remove_pointer_t<decltype(dx)>, std::remove_pointer_t<decltype(dout)>,
                             std::remove_pointer_t<decltype(x)>>(context, a);
      });
    });
  });
}

void swiglu_any(const Context& context, TensorView out, ConstTensorView gate, ConstTensorView up) {
  check_same(out, gate);
  check_same(up, gate);
  with_type(gate.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_rows(context, gate.rows, gate.cols, [&](int64_t r) {
      const T* g = gate.row<T>(r);
      const T* u = up.row<T>(r);
      T* o = out.row<T>(r);
      for_vectors(gate.cols, [&](int64_t i, int n) {
        const F32 z = load_first(g + i, n);
        store_first(o + i, z * sigmoid(z) * load_first(u + i, n), n);
      });
    });
  });
}

// silu'(z) = s + z s (1 - s), s = sigmoid(z)
void swiglu_backward(const Context& context, TensorView dgate, TensorView dup, ConstTensorView dout,
                     ConstTensorView gate, ConstTensorView up) {
  check_same(dgate, gate);
  check_same(dup, gate);
  check_same(dout, gate);
  check_same(up, gate);
  with_type(gate.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_rows(context, gate.rows, gate.cols, [&](int64_t r) {
      const T* g = gate.row<T>(r);
      const T* u = up.row<T>(r);
      const T* d = dout.row<T>(r);
      T* dg = dgate.row<T>(r);
      T* du = dup.row<T>(r);
      for_vectors(gate.cols, [&](int64_t i, int n) {
        const F32 z = load_first(g + i, n), x = load_first(u + i, n), grad = load_first(d + i, n);
        const F32 s = sigmoid(z), silu = z * s;
        store_first(dg + i, grad * x * fma(silu, set(1.0f) - s, s), n);
        store_first(du + i, grad * silu, n);
      });
    });
  });
}

void rope_any(const Context& context, TensorView x, ConstTensorView cos, ConstTensorView sin, Rotation rotation) {
  const int64_t half = cos.cols;
  SIGMA_KERNEL_CHECK_EQ(x.cols % (2 * half), 0);
  check_same(sin, cos);
  const F32 sign = set(rotation == Rotation::forward ? 1.0f : -1.0f);
  with_type(x.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_rows(context, x.rows, x.cols, [&](int64_t r) {
      const float* c = cos.row<float>(r % cos.rows);
      const float* s = sin.row<float>(r % cos.rows);
      for (T* head = x.row<T>(r); head != x.row<T>(r) + x.cols; head += 2 * half)
        for_vectors(half, [&](int64_t i, int n) {
          const F32 x1 = load_first(head + i, n), x2 = load_first(head + half + i, n);
          const F32 ci = load_some(c + i, n), si = load_some(s + i, n) * sign;
          store_first(head + i, x1 * ci - x2 * si, n);
          store_first(head + half + i, fma(x2, ci, x1 * si), n);
        });
    });
  });
}

float largest_of(const float* x, int64_t n) {
  F32 most = set(-kInfinity);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = max(most, load(x + i));
  float largest = max_of(most);
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// e^v in the first n lanes, 0 beyond.
inline F32 exp_first(F32 v, int n) {
  if (n == kLanes) return exp(v);
  float lanes[kLanes];
  store(lanes, exp(v));
  return load_n(lanes, n);
}

void cross_entropy(const Context& context, const CrossEntropy& a) {
  const int64_t n = a.logits.cols;
  SIGMA_KERNEL_CHECK_EQ(static_cast<int64_t>(a.targets.size()), a.logits.rows);
  SIGMA_KERNEL_CHECK_EQ(a.losses.rows, a.logits.rows);
  const auto z_weight = static_cast<float>(a.z_weight);
  with_type(a.dlogits.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_rows(context, a.logits.rows, n, [&](int64_t r) {
      const float* logits = a.logits.row<float>(r);
      const int32_t target = a.targets[static_cast<size_t>(r)];
      T* out = a.dlogits.data == nullptr ? nullptr : a.dlogits.row<T>(r);
      if (target < 0) {
        *a.losses.row<float>(r) = 0.0f;
        if (out != nullptr) for_vectors(n, [&](int64_t i, int lanes) { store_first(out + i, zero_f32(), lanes); });
        return;
      }
      const float largest = largest_of(logits, n);
      const float total = sum_vectors(
          n, [&](int64_t i, int lanes) { return exp_first(load_some(logits + i, lanes) - set(largest), lanes); });
      const float z = largest + __builtin_logf(total);
      *a.losses.row<float>(r) = z - logits[target] + z_weight * z * z;
      if (out == nullptr) return;
      const auto scale = static_cast<float>(a.scale);
      const F32 slope = set(scale * (1.0f + 2.0f * z_weight * z));
      const float p = a.logits.row<float>(r)[target];
      for_vectors(n, [&](int64_t i, int lanes) {
        store_first(out + i, slope * exp(load_some(logits + i, lanes) - set(z)), lanes);
      });
      // Of the target alone p - 1 is formed before it is rounded.
      float lane[kLanes] = {};
      lane[0] = p - z;
      store(lane, slope * exp(load(lane)) - set(scale));
      store_first(out + target, load(lane), 1);
    });
  });
}

template <class T>
void softmax_row(T* p, float& largest, float& total, float* out, int64_t v_dim, const float* scores, int64_t begin,
                 int64_t end, int64_t cols, float scale) {
  if (begin >= end) {
    for_vectors(cols, [&](int64_t i, int n) { store_first(p + i, zero_f32(), n); });
    return;
  }
  const float most = largest_of(scores + begin, end - begin) * scale;  // scale > 0
  const float before = largest, after = most > before ? most : before;
  float lane[kLanes] = {};
  lane[0] = before - after;
  store(lane, exp(load(lane)));
  const float factor = lane[0];
  for_vectors(begin, [&](int64_t i, int n) { store_first(p + i, zero_f32(), n); });
  const float sum_here = sum_vectors(end - begin, [&](int64_t i, int n) {
    const F32 weight = exp_first(fma(load_some(scores + begin + i, n), set(scale), set(-after)), n);
    store_first(p + begin + i, weight, n);
    return weight;
  });
  for_vectors(cols - end, [&](int64_t i, int n) { store_first(p + end + i, zero_f32(), n); });
  largest = after;
  total = total * factor + sum_here;
  if (factor != 1.0f)
    for_vectors(v_dim, [&](int64_t i, int n) { store_some(out + i, load_some(out + i, n) * set(factor), n); });
}

void softmax_tile(TensorView p, TensorView largest, TensorView total, TensorView out, const ScoreTile& tile) {
  check_same(tile.scores, p);
  with_type(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < p.rows; ++r)
      softmax_row(p.row<T>(r), *largest.row<float>(r), *total.row<float>(r), out.row<float>(r), out.cols,
                  tile.scores.row<float>(r), tile.begin[r], tile.end[r], p.cols, static_cast<float>(tile.scale));
  });
}

void softmax_tile_backward(TensorView p, TensorView ds, ConstTensorView dp, ConstTensorView lse, ConstTensorView delta,
                           const ScoreTile& tile) {
  check_same(tile.scores, p);
  check_same(ds, p);
  check_same(dp, p);
  const F32 scale = set(static_cast<float>(tile.scale));
  with_type(p.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < p.rows; ++r) {
      T* weights = p.row<T>(r);
      T* grads = ds.row<T>(r);
      const float* s = tile.scores.row<float>(r);
      const float* d = dp.row<float>(r);
      const int64_t end = tile.end[r], begin = tile.begin[r] < end ? tile.begin[r] : end;
      const F32 minus_lse = set(-*lse.row<float>(r)), minus_delta = set(-*delta.row<float>(r));
      const auto clear = [&](int64_t from, int64_t to) {
        for_vectors(to - from, [&](int64_t i, int n) {
          store_first(weights + from + i, zero_f32(), n);
          store_first(grads + from + i, zero_f32(), n);
        });
      };
      clear(0, begin);
      for_vectors(end - begin, [&](int64_t j, int n) {
        const int64_t i = begin + j;
        const F32 weight = exp(fma(load_some(s + i, n), scale, minus_lse));
        store_first(weights + i, weight, n);
        store_first(grads + i, scale * weight * (load_some(d + i, n) + minus_delta), n);
      });
      clear(end, p.cols);
    }
  });
}

void softmax_finish(TensorView to, TensorView lse, ConstTensorView out, ConstTensorView largest,
                    ConstTensorView total) {
  check_same(to, out);
  with_type(to.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < to.rows; ++r) {
      const float sum_here = *total.row<float>(r);
      const F32 scale = set(1.0f / sum_here);
      const float* from = out.row<float>(r);
      T* o = to.row<T>(r);
      for_vectors(to.cols, [&](int64_t i, int n) { store_first(o + i, load_some(from + i, n) * scale, n); });
      *lse.row<float>(r) = *largest.row<float>(r) + __builtin_logf(sum_here);
    }
  });
}

void dot_rows(TensorView out, ConstTensorView a, ConstTensorView b) {
  check_same(a, b);
  with_type(a.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for (int64_t r = 0; r < a.rows; ++r) {
      const T* x = a.row<T>(r);
      const T* y = b.row<T>(r);
      *out.row<float>(r) =
          sum_vectors(a.cols, [&](int64_t i, int n) { return load_first(x + i, n) * load_first(y + i, n); });
    }
  });
}

void adamw(TensorView w, TensorView m, TensorView v, ConstTensorView gradient, TensorView copy, const AdamW& a) {
  float* weights = w.row<float>(0);
  float* mean = m.row<float>(0);
  float* square = v.row<float>(0);
  const float* gradients_in = gradient.row<float>(0);
  const F32 beta1 = set(static_cast<float>(a.beta1)), rest1 = set(static_cast<float>(1.0 - a.beta1));
  const F32 beta2 = set(static_cast<float>(a.beta2)), rest2 = set(static_cast<float>(1.0 - a.beta2));
  const F32 clip = set(static_cast<float>(a.gradient_scale)), eps = set(static_cast<float>(a.eps));
  const F32 keep = set(static_cast<float>(1.0 - a.rate * a.decay));
  const F32 step = set(static_cast<float>(a.rate / a.correction1));
  const F32 square_scale = set(static_cast<float>(1.0 / a.correction2));
  with_type(copy.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    T* to = copy.data == nullptr ? nullptr : copy.row<T>(0);
    for_vectors(w.cols, [&](int64_t i, int n) {
      const F32 g = load_some(gradients_in + i, n) * clip;
      const F32 m1 = fma(beta1, load_some(mean + i, n), rest1 * g);
      const F32 v1 = fma(beta2, load_some(square + i, n), rest2 * g * g);
      const F32 updated = keep * load_some(weights + i, n) - step * m1 / (sqrt(v1 * square_scale) + eps);
      store_some(mean + i, m1, n);
      store_some(square + i, v1, n);
      store_some(weights + i, updated, n);
      if (to != nullptr) store_first(to + i, updated, n);
    });
  });
}

// Blocks of 4096 in f32, their sums in f64.
double sum_of_squares(ConstTensorView x) {
  constexpr int64_t kBlock = 4096;
  const float* values = x.row<float>(0);
  double total = 0;
  for (int64_t first = 0; first < x.cols; first += kBlock) {
    const int64_t count = x.cols - first < kBlock ? x.cols - first : kBlock;
    total += static_cast<double>(sum_vectors(count, [&](int64_t i, int n) {
      const F32 value = load_some(values + first + i, n);
      return value * value;
    }));
  }
  return total;
}

}  // namespace

const GradientKernels gradients = {
    .add_bias = add_bias,
    .sum_rows = sum_rows,
    .rms_norm = rms_norm_any,
    .rms_norm_backward = rms_norm_backward,
    .swiglu = swiglu_any,
    .swiglu_backward = swiglu_backward,
    .rope = rope_any,
    .cross_entropy = cross_entropy,
    .softmax_tile = softmax_tile,
    .softmax_tile_backward = softmax_tile_backward,
    .softmax_finish = softmax_finish,
    .convert = convert,
    .dot_rows = dot_rows,
    .adamw = adamw,
    .sum_of_squares = sum_of_squares,
};

}  // namespace sigma::SIGMA_ISA
