// The reference of gradients.h: any mix of f64, f32 and bf16, computed in f64 one number at a time. For gradient checks
// and as the contract of the CPU sets.
#include "kernels/gradients.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/kernels.h"
#include "kernels/ref/gradients.h"

namespace sigma::ref {

namespace {

double get(ConstTensorView x, int64_t row, int64_t col) {
  switch (x.dtype) {
    case DType::f64:
      return x.row<double>(row)[col];
    case DType::bf16:
      return to_f32(x.row<bf16>(row)[col]);
    default:
      SIGMA_CHECK(x.dtype == DType::f32);
      return x.row<float>(row)[col];
  }
}

void put(TensorView x, int64_t row, int64_t col, double value) {
  switch (x.dtype) {
    case DType::f64:
      x.row<double>(row)[col] = value;
      break;
    case DType::bf16:
      x.row<bf16>(row)[col] = to_bf16(static_cast<float>(value));
      break;
    default:
      SIGMA_CHECK(x.dtype == DType::f32);
      x.row<float>(row)[col] = static_cast<float>(value);
  }
}

double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }

void convert(TensorView out, ConstTensorView in) {
  for (int64_t r = 0; r < out.rows; ++r)
    for (int64_t i = 0; i < out.cols; ++i) put(out, r, i, get(in, r, i));
}

void add_bias(const Context& context, TensorView x, ConstTensorView bias) {
  context.threads.run(x.rows, [&](int64_t r) {
    for (int64_t i = 0; i < x.cols; ++i) put(x, r, i, get(x, r, i) + get(bias, 0, i));
  });
}

void sum_rows(const Context& context, TensorView out, ConstTensorView x) {
  context.threads.run(x.cols, [&](int64_t i) {
    double sum = 0;
    for (int64_t r = 0; r < x.rows; ++r) sum += get(x, r, i);
    put(out, 0, i, get(out, 0, i) + sum);
  });
}

void rms_norm(const Context& context, TensorView out, TensorView rstd, ConstTensorView x, ConstTensorView weight,
              double eps) {
  context.threads.run(x.rows, [&](int64_t r) {
    double squares = 0;
    for (int64_t i = 0; i < x.cols; ++i) squares += get(x, r, i) * get(x, r, i);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + eps);
    put(rstd, r, 0, scale);
    for (int64_t i = 0; i < x.cols; ++i) put(out, r, i, get(x, r, i) * scale * get(weight, 0, i));
  });
}

// With x^ = x rstd and g = dout weight:  dx = rstd (g - x^ mean(g x^)).
void rms_norm_backward(const Context& context, const RmsNormBackward& a) {
  const int64_t n = a.x.cols;
  context.threads.run(n, [&](int64_t i) {
    double sum = 0;
    for (int64_t r = 0; r < a.x.rows; ++r) sum += get(a.dout, r, i) * get(a.x, r, i) * get(a.rstd, r, 0);
    put(a.dweight, 0, i, get(a.dweight, 0, i) + sum);
  });
  context.threads.run(a.x.rows, [&](int64_t r) {
    const double rstd = get(a.rstd, r, 0);
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += get(a.dout, r, i) * get(a.weight, 0, i) * get(a.x, r, i) * rstd;
    mean /= static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) {
      const double dx = rstd * (get(a.dout, r, i) * get(a.weight, 0, i) - get(a.x, r, i) * rstd * mean);
      put(a.dx, r, i, dx + (a.into == RmsNormBackward::Into::add ? get(a.dx, r, i) : 0.0));
    }
  });
}

void swiglu(const Context& context, TensorView out, ConstTensorView gate, ConstTensorView up) {
  context.threads.run(out.rows, [&](int64_t r) {
    for (int64_t i = 0; i < out.cols; ++i) {
      const double z = get(gate, r, i);
      put(out, r, i, z * sigmoid(z) * get(up, r, i));
    }
  });
}

// silu'(z) = s + z s (1 - s), s = sigmoid(z)
void swiglu_backward(const Context& context, TensorView dgate, TensorView dup, ConstTensorView dout,
                     ConstTensorView gate, ConstTensorView up) {
  context.threads.run(dout.rows, [&](int64_t r) {
    for (int64_t i = 0; i < dout.cols; ++i) {
      const double z = get(gate, r, i), u = get(up, r, i), d = get(dout, r, i), s = sigmoid(z);
      put(dgate, r, i, d * u * (s + z * s * (1.0 - s)));
      put(dup, r, i, d * z * s);
    }
  });
}

void rope(const Context& context, TensorView x, ConstTensorView cos, ConstTensorView sin, Rotation rotation) {
  const int64_t half = cos.cols;
  const double sign = rotation == Rotation::forward ? 1.0 : -1.0;
  context.threads.run(x.rows, [&](int64_t r) {
    for (int64_t head = 0; head < x.cols; head += 2 * half)
      for (int64_t i = 0; i < half; ++i) {
        const double c = get(cos, r % cos.rows, i), s = sign * get(sin, r % cos.rows, i);
        const double x1 = get(x, r, head + i), x2 = get(x, r, head + half + i);
        put(x, r, head + i, x1 * c - x2 * s);
        put(x, r, head + half + i, x2 * c + x1 * s);
      }
  });
}

void cross_entropy(const Context& context, const CrossEntropy& a) {
  context.threads.run(a.logits.rows, [&](int64_t r) {
    const int32_t target = a.targets[static_cast<size_t>(r)];
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t i = 0; i < a.logits.cols; ++i) largest = std::max(largest, get(a.logits, r, i));
    for (int64_t i = 0; i < a.logits.cols; ++i) sum += std::exp(get(a.logits, r, i) - largest);
    const double z = largest + std::log(sum);
    put(a.losses, r, 0, target < 0 ? 0.0 : z - get(a.logits, r, target) + a.z_weight * z * z);
    if (a.dlogits.data == nullptr) return;
    const double scale = target < 0 ? 0.0 : a.scale;
    for (int64_t i = 0; i < a.logits.cols; ++i) {
      const double p = std::exp(get(a.logits, r, i) - z);
      put(a.dlogits, r, i, scale * ((1.0 + 2.0 * a.z_weight * z) * p - (i == target ? 1.0 : 0.0)));
    }
  });
}

void softmax_tile(TensorView p, TensorView largest, TensorView total, TensorView out, const ScoreTile& tile) {
  for (int64_t r = 0; r < p.rows; ++r) {
    double most = get(largest, r, 0);
    for (int64_t i = tile.begin[r]; i < tile.end[r]; ++i) most = std::max(most, tile.scale * get(tile.scores, r, i));
    for (int64_t i = 0; i < p.cols; ++i) put(p, r, i, 0.0);
    if (tile.begin[r] >= tile.end[r]) continue;
    const double factor = std::exp(get(largest, r, 0) - most);
    double sum = 0;
    for (int64_t i = tile.begin[r]; i < tile.end[r]; ++i) {
      const double weight = std::exp(tile.scale * get(tile.scores, r, i) - most);
      put(p, r, i, weight);
      sum += weight;
    }
    put(largest, r, 0, most);
    put(total, r, 0, get(total, r, 0) * factor + sum);
    for (int64_t i = 0; i < out.cols; ++i) put(out, r, i, get(out, r, i) * factor);
  }
}

void softmax_tile_backward(TensorView p, TensorView ds, ConstTensorView dp, ConstTensorView lse, ConstTensorView delta,
                           const ScoreTile& tile) {
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t i = 0; i < p.cols; ++i) {
      const bool seen = i >= tile.begin[r] && i < tile.end[r];
      const double weight = seen ? std::exp(tile.scale * get(tile.scores, r, i) - get(lse, r, 0)) : 0.0;
      put(p, r, i, weight);
      put(ds, r, i, seen ? tile.scale * weight * (get(dp, r, i) - get(delta, r, 0)) : 0.0);
    }
}

void softmax_finish(TensorView to, TensorView lse, ConstTensorView out, ConstTensorView largest,
                    ConstTensorView total) {
  for (int64_t r = 0; r < to.rows; ++r) {
    for (int64_t i = 0; i < to.cols; ++i) put(to, r, i, get(out, r, i) / get(total, r, 0));
    put(lse, r, 0, get(largest, r, 0) + std::log(get(total, r, 0)));
  }
}

void dot_rows(TensorView out, ConstTensorView a, ConstTensorView b) {
  for (int64_t r = 0; r < a.rows; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < a.cols; ++i) sum += get(a, r, i) * get(b, r, i);
    put(out, r, 0, sum);
  }
}

void adamw(TensorView w, TensorView m, TensorView v, ConstTensorView gradient, TensorView copy, const AdamW& a) {
  for (int64_t i = 0; i < w.cols; ++i) {
    const double g = get(gradient, 0, i) * a.gradient_scale;
    put(m, 0, i, a.beta1 * get(m, 0, i) + (1.0 - a.beta1) * g);
    put(v, 0, i, a.beta2 * get(v, 0, i) + (1.0 - a.beta2) * g * g);
    const double step = get(m, 0, i) / a.correction1 / (std::sqrt(get(v, 0, i) / a.correction2) + a.eps);
    put(w, 0, i, get(w, 0, i) - a.rate * (step + a.decay * get(w, 0, i)));
    if (copy.data != nullptr) put(copy, 0, i, get(w, 0, i));
  }
}

double sum_of_squares(ConstTensorView x) {
  double sum = 0;
  for (int64_t i = 0; i < x.cols; ++i) sum += get(x, 0, i) * get(x, 0, i);
  return sum;
}

}  // namespace

const GradientKernels gradients = {
    .add_bias = add_bias,
    .sum_rows = sum_rows,
    .rms_norm = rms_norm,
    .rms_norm_backward = rms_norm_backward,
    .swiglu = swiglu,
    .swiglu_backward = swiglu_backward,
    .rope = rope,
    .cross_entropy = cross_entropy,
    .softmax_tile = softmax_tile,
    .softmax_tile_backward = softmax_tile_backward,
    .softmax_finish = softmax_finish,
    .convert = convert,
    .dot_rows = dot_rows,
    .adamw = adamw,
    .sum_of_squares = sum_of_squares,
};

}  // namespace sigma::ref
