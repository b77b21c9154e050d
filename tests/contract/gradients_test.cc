// GradientKernels: every set against the reference, in f32 and in bf16 activations, over sizes with and without whole
// vectors, in guarded memory.
#include "kernels/gradients.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "contract/contract.h"

namespace sigma::test {
namespace {

// A matrix of f32 or bf16 in guarded memory, with a gap between rows that belongs to nobody.
class Matrix {
 public:
  Matrix(DType type, int64_t rows, int64_t cols, int64_t gap = 3)
      : type_(type),
        rows_(rows),
        cols_(cols),
        stride_(cols + gap),
        bytes_(static_cast<size_t>(((rows - 1) * stride_ + cols) * dtype_bytes(type))) {}
  TensorView view() const { return {bytes_.data(), type_, rows_, cols_, stride_ * dtype_bytes(type_)}; }
  double at(int64_t r, int64_t c) const {
    return type_ == DType::bf16 ? to_f32(view().row<bf16>(r)[c]) : view().row<float>(r)[c];
  }
  void set(int64_t r, int64_t c, double value) const {
    if (type_ == DType::bf16) {
      view().row<bf16>(r)[c] = to_bf16(static_cast<float>(value));
    } else {
      view().row<float>(r)[c] = static_cast<float>(value);
    }
  }
  template <class F>
  const Matrix& fill(const F& value) const {
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < cols_; ++c) set(r, c, value());
    return *this;
  }
  void copy_from(const Matrix& other) const {
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < cols_; ++c) set(r, c, other.at(r, c));
  }
  bool intact() const {
    for (int64_t r = 0; r + 1 < rows_; ++r)
      if (!all_ones(view().data + (r * stride_ + cols_) * dtype_bytes(type_), (stride_ - cols_) * dtype_bytes(type_)))
        return false;
    return bytes_.intact();
  }
  DType type() const { return type_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

 private:
  DType type_;
  int64_t rows_, cols_, stride_;
  GuardedBytes bytes_;
};

// `slack`: how much larger than the result the sums were that made it.
void expect_close(const Matrix& got, const Matrix& want, double slack, const char* what) {
  const double unit = got.type() == DType::bf16 ? kUnitBf16 : 0;
  double largest = 0;
  for (int64_t r = 0; r < got.rows(); ++r)
    for (int64_t c = 0; c < got.cols(); ++c) largest = std::max(largest, std::abs(want.at(r, c)));
  for (int64_t r = 0; r < got.rows(); ++r)
    for (int64_t c = 0; c < got.cols(); ++c)
      ASSERT_NEAR(got.at(r, c), want.at(r, c), 2 * unit * std::abs(want.at(r, c)) + 64 * kUnit * slack * (largest + 1))
          << what << ", row " << r << ", column " << c << " of " << got.cols();
  EXPECT_TRUE(got.intact()) << what;
}

class Gradients : public testing::TestWithParam<const Kernels*> {
 protected:
  World world{*GetParam(), 2};
  World reference{reference_kernels()};
  Rng rng{31};
  const std::array<DType, 2> kTypes{DType::f32, DType::bf16};
  const std::array<int64_t, 6> kWidths{2, 20, 31, 64, 97, 300};

  double normal() { return rng.normal(); }
  const Matrix& random(const Matrix& m) {
    return m.fill([&] { return rng.normal(); });
  }
  // Runs f(kernels, context, outputs) on the set and on the reference, from the same starting values; compares.
  void both(std::initializer_list<const Matrix*> outputs, double slack, const char* what,
            const std::function<void(const GradientKernels&, const Context&)>& f) {
    std::vector<Matrix> before, want;
    for (const Matrix* m : outputs) {
      before.emplace_back(m->type(), m->rows(), m->cols()).copy_from(*m);
    }
    reference.call([&](const Context& c) { f(*c.k.gradients, c); });
    for (const Matrix* m : outputs) want.emplace_back(m->type(), m->rows(), m->cols()).copy_from(*m);
    size_t i = 0;
    for (const Matrix* m : outputs) m->copy_from(before[i++]);
    world.call([&](const Context& c) { f(*c.k.gradients, c); });
    i = 0;
    for (const Matrix* m : outputs) expect_close(*m, want[i++], slack, what);
  }
};

TEST_P(Gradients, NormsAndTheirGradients) {
  for (const DType type : kTypes)
    for (const DType x_type : {DType::f32, type})
      for (const int64_t n : kWidths) {
        const int64_t rows = 70;  // more than a block of sums
        const Matrix x(x_type, rows, n), out(type, rows, n), rstd(DType::f32, rows, 1), weight(DType::f32, 1, n);
        const Matrix dout(x_type, rows, n), dx(x_type, rows, n), dweight(DType::f32, 1, n);
        for (const Matrix* m : {&x, &weight, &dout, &dx, &dweight}) random(*m);
        random(out), random(rstd);
        both({&out, &rstd}, 1, "rms_norm", [&](const GradientKernels& k, const Context& c) {
          k.rms_norm(c, out.view(), rstd.view(), x.view(), weight.view(), 1e-5);
        });
        for (const auto into : {RmsNormBackward::Into::overwrite, RmsNormBackward::Into::add})
          both({&dx, &dweight}, static_cast<double>(rows), "rms_norm_backward",
               [&](const GradientKernels& k, const Context& c) {
                 k.rms_norm_backward(
                     c, {dx.view(), dweight.view(), dout.view(), x.view(), rstd.view(), weight.view(), into});
               });
      }
}

TEST_P(Gradients, SwigluBiasAndSums) {
  for (const DType type : kTypes)
    for (const int64_t n : kWidths) {
      const int64_t rows = 130;
      const Matrix gate(type, rows, n), up(type, rows, n), out(type, rows, n), dout(type, rows, n);
      const Matrix dgate(type, rows, n), dup(type, rows, n), bias(DType::f32, 1, n), sums(DType::f32, 1, n);
      for (const Matrix* m : {&gate, &up, &out, &dout, &dgate, &dup, &bias, &sums}) random(*m);
      both({&out}, 1, "swiglu",
           [&](const GradientKernels& k, const Context& c) { k.swiglu(c, out.view(), gate.view(), up.view()); });
      both({&dgate, &dup}, 1, "swiglu_backward", [&](const GradientKernels& k, const Context& c) {
        k.swiglu_backward(c, dgate.view(), dup.view(), dout.view(), gate.view(), up.view());
      });
      both({&out}, 1, "add_bias",
           [&](const GradientKernels& k, const Context& c) { k.add_bias(c, out.view(), bias.view()); });
      both({&sums}, static_cast<double>(rows), "sum_rows",
           [&](const GradientKernels& k, const Context& c) { k.sum_rows(c, sums.view(), gate.view()); });
      both({&gate, &up}, 1, "swiglu_backward in place", [&](const GradientKernels& k, const Context& c) {
        k.swiglu_backward(c, gate.view(), up.view(), dout.view(), gate.view(), up.view());
      });
    }
}

TEST_P(Gradients, RotationsUndoEachOther) {
  for (const DType type : kTypes)
    for (const int64_t half : {1, 5, 10, 32}) {
      const Matrix x(type, 15, 3 * 2 * half), cos(DType::f32, 5, half, 0), sin(DType::f32, 5, half, 0);
      random(x);
      for (int64_t r = 0; r < 5; ++r)
        for (int64_t i = 0; i < half; ++i) {
          const double angle = 6.3 * rng.uniform();
          cos.set(r, i, std::cos(angle));
          sin.set(r, i, std::sin(angle));
        }
      const Matrix before(type, x.rows(), x.cols());
      before.copy_from(x);
      for (const Rotation way : {Rotation::forward, Rotation::backward})
        both({&x}, 1, "rope",
             [&](const GradientKernels& k, const Context& c) { k.rope(c, x.view(), cos.view(), sin.view(), way); });
      expect_close(x, before, type == DType::bf16 ? 1 << 16 : 4, "there and back");
    }
}

TEST_P(Gradients, CrossEntropy) {
  for (const DType type : kTypes)
    for (const int64_t n : kWidths) {
      const Matrix logits(DType::f32, 9, n), losses(DType::f32, 9, 1), dlogits(type, 9, n);
      logits.fill([&] { return 6 * rng.normal(); });
      random(losses), random(dlogits);
      std::vector<int32_t> targets;
      for (int i = 0; i < 9; ++i)
        targets.push_back(i == 4 ? -1 : static_cast<int32_t>(rng.below(static_cast<uint64_t>(n))));
      for (const double z_weight : {0.0, 0.01})
        both({&losses, &dlogits}, 1, "cross_entropy", [&](const GradientKernels& k, const Context& c) {
          k.cross_entropy(c, {dlogits.view(), losses.view(), logits.view(), targets, 0.7, z_weight});
        });
      EXPECT_EQ(losses.at(4, 0), 0.0);
      EXPECT_EQ(dlogits.at(4, 0), 0.0);
      const double before = losses.at(0, 0);
      world.call([&](const Context& c) {
        c.k.gradients->cross_entropy(c, {TensorView{nullptr, type}, losses.view(), logits.view(), targets, 0.7, 0.01});
      });
      EXPECT_EQ(losses.at(0, 0), before) << "losses alone";
    }
}

TEST_P(Gradients, TilesOfASoftmax) {
  for (const DType type : kTypes)
    for (const int64_t n : kWidths) {
      const int64_t rows = 6, v_dim = 21;
      const Matrix scores(DType::f32, rows, n), p(type, rows, n), ds(type, rows, n), dp(DType::f32, rows, n);
      const Matrix largest(DType::f32, rows, 1), total(DType::f32, rows, 1), out(DType::f32, rows, v_dim);
      const Matrix to(type, rows, v_dim), lse(DType::f32, rows, 1), delta(DType::f32, rows, 1);
      for (const Matrix* m : {&scores, &p, &ds, &dp, &out, &to, &delta, &lse}) random(*m);
      largest.fill([&] { return rng.normal(); });
      largest.set(0, 0, -INFINITY);  // a first tile
      total.fill([] { return 1.5; });
      total.set(0, 0, 0);
      for (int64_t i = 0; i < v_dim; ++i) out.set(0, i, 0);
      std::vector<int32_t> begin(rows, 0), end(rows, static_cast<int32_t>(n));
      begin[1] = static_cast<int32_t>(n / 3);
      end[2] = static_cast<int32_t>(n / 2);
      begin[3] = end[3] = 1;  // sees nothing
      begin[4] = static_cast<int32_t>(n - 1);
      begin[5] = static_cast<int32_t>(n);  // beyond its end
      end[5] = static_cast<int32_t>(n / 2);
      const ScoreTile tile{scores.view(), begin.data(), end.data(), 0.4};
      both({&p, &largest, &total, &out}, 1, "softmax_tile", [&](const GradientKernels& k, const Context&) {
        k.softmax_tile(p.view(), largest.view(), total.view(), out.view(), tile);
      });
      both({&to, &lse}, 1, "softmax_finish", [&](const GradientKernels& k, const Context&) {
        k.softmax_finish(to.view(), lse.view(), out.view(), largest.view(), total.view());
      });
      both({&p, &ds}, 4, "softmax_tile_backward", [&](const GradientKernels& k, const Context&) {
        k.softmax_tile_backward(p.view(), ds.view(), dp.view(), lse.view(), delta.view(), tile);
      });
      for (int64_t i = 0; i < n; ++i) EXPECT_EQ(p.at(3, i), 0.0);
      both({&to}, 1, "convert", [&](const GradientKernels& k, const Context&) { k.convert(to.view(), out.view()); });
      both({&delta}, 8, "dot_rows",
           [&](const GradientKernels& k, const Context&) { k.dot_rows(delta.view(), p.view(), ds.view()); });
    }
}

TEST_P(Gradients, AdamW) {
  for (const DType type : kTypes)
    for (const int64_t n : {1, 16, 97, 5000}) {
      const Matrix w(DType::f32, 1, n), m(DType::f32, 1, n), v(DType::f32, 1, n), g(DType::f32, 1, n), copy(type, 1, n);
      for (const Matrix* x : {&w, &m, &g, &copy}) random(*x);
      v.fill([&] { return rng.uniform(); });
      const AdamW step{.rate = 0.01,
                       .beta1 = 0.8,
                       .beta2 = 0.97,
                       .eps = 1e-6,
                       .decay = 0.3,
                       .gradient_scale = 0.6,
                       .correction1 = 0.4,
                       .correction2 = 0.1};
      both({&w, &m, &v, &copy}, 1, "adamw", [&](const GradientKernels& k, const Context&) {
        k.adamw(w.view(), m.view(), v.view(), g.view(), copy.view(), step);
      });
      world.call([&](const Context& c) {
        const double want = reference_kernels().gradients->sum_of_squares(g.view());
        EXPECT_NEAR(c.k.gradients->sum_of_squares(g.view()), want, 64 * kUnit * want);
      });
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, Gradients, testing::ValuesIn(runnable_kernels().begin() + 1, runnable_kernels().end()),
                         [](const auto& test) { return set_name(test.param); });

}  // namespace
}  // namespace sigma::test
