// Kernels::rms_norm, rope and swiglu: every set.
#include <gtest/gtest.h>

#include "contract/contract.h"

namespace sigma::test {
namespace {

const std::array<int64_t, 10> kWidths{1, 3, 5, 20, 28, 52, 76, 97, 576, 2048};

class Rows : public testing::TestWithParam<const Kernels*> {
 protected:
  World world{*GetParam()};
  Rng rng{29};
  void fill_normal(const GuardedMatrix& m, double size = 1.0) {
    m.fill([&](int64_t, int64_t) { return size * rng.normal(); });
  }
  // out [m.rows, m.cols] of kernel(world, out, first row, rows) must not depend on how the rows are cut up, nor on
  // threads.
  template <class F>
  void check_invariance(int64_t rows, int64_t cols, const F& kernel) {
    const GuardedMatrix all(rows, cols), cut(rows, cols);
    kernel(world, all.view(), 0, rows);
    for (int64_t first = 0, step = 1; first < rows; first += step++)
      kernel(world, cut.view().slice_rows(first, std::min(step, rows - first)), first, std::min(step, rows - first));
    EXPECT_TRUE(same_bits(all.values(), cut.values())) << "rows depend on their batch";
    for (const int threads : {2, 3, 4}) {
      World other(world.kernels(), threads);
      kernel(other, cut.view(), 0, rows);
      EXPECT_TRUE(same_bits(all.values(), cut.values())) << "rows depend on threads: " << threads;
    }
    EXPECT_TRUE(all.intact() && cut.intact());
  }
};

// --- rms_norm ---

void check_rms_norm(const GuardedMatrix& out, const std::vector<float>& x, const GuardedMatrix& weight, double eps) {
  const int64_t n = out.cols();
  for (int64_t r = 0; r < out.rows(); ++r) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += std::pow(static_cast<double>(x[static_cast<size_t>(r * n + i)]), 2);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + eps);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = static_cast<double>(x[static_cast<size_t>(r * n + i)]) * scale * weight.at(0, i);
      const double tolerance = (0.5 * gamma(n) + 8 * kUnit) * std::fabs(expected) + kTiny;
      ASSERT_NEAR(out.at(r, i), expected, tolerance) << "row " << r << ", column " << i << " of " << n;
    }
  }
}

TEST_P(Rows, RmsNorm) {
  for (const int64_t n : kWidths) {
    for (const double size : {1.0, 1e-4, 1e-12, 1e12}) {
      const GuardedMatrix x(5, n, 3), out(5, n, 1), weight(1, n);
      fill_normal(x, size);
      fill_normal(weight);
      const std::vector<float> before = x.values();
      world.call([&](const Context& c) { c.k.rms_norm(c, out.view(), x.view(), weight.row(0), 1e-6f); });
      check_rms_norm(out, before, weight, static_cast<double>(1e-6f));
      EXPECT_TRUE(same_bits(before, x.values()));
      const std::vector<float> apart = out.values();
      world.call([&](const Context& c) { c.k.rms_norm(c, x.view(), x.view(), weight.row(0), 1e-6f); });
      EXPECT_TRUE(same_bits(apart, x.values())) << "in place differs from apart";
      EXPECT_TRUE(x.intact() && out.intact() && weight.intact());
    }
  }
}

TEST_P(Rows, RmsNormOfExtremeRows) {
  const int64_t n = 52;
  const GuardedMatrix x(4, n), out(4, n), weight(1, n);
  fill_normal(x);
  fill_normal(weight);
  for (int64_t i = 0; i < n; ++i) x.at(1, i) = 0.0f;
  x.at(2, 17) = std::nanf("");
  world.call([&](const Context& c) { c.k.rms_norm(c, out.view(), x.view(), weight.row(0), 1e-5f); });
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_EQ(out.at(1, i), 0.0f);
    EXPECT_TRUE(std::isnan(out.at(2, i)));
    EXPECT_TRUE(std::isfinite(out.at(0, i)) && std::isfinite(out.at(3, i)));
  }
}

TEST_P(Rows, RmsNormInvariance) {
  const int64_t rows = quick_sweep() ? 17 : 64, n = 97;
  const GuardedMatrix x(rows, n), weight(1, n);
  fill_normal(x);
  fill_normal(weight);
  check_invariance(rows, n, [&](World& w, TensorView out, int64_t first, int64_t count) {
    w.call([&](const Context& c) { c.k.rms_norm(c, out, x.view().slice_rows(first, count), weight.row(0), 1e-5f); });
  });
}

// --- rope ---

struct Angles {
  Angles(int64_t rows, int64_t half, Rng& rng) : cos(rows, half), sin(rows, half) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < half; ++i) {
        const double angle = 6.3 * rng.uniform();
        cos.at(r, i) = static_cast<float>(std::cos(angle));
        sin.at(r, i) = static_cast<float>(std::sin(angle));
      }
  }
  GuardedMatrix cos, sin;
};

TEST_P(Rows, Rope) {
  for (const int64_t dim : {2, 6, 10, 20, 28, 64, 128})
    for (const int64_t heads : {1, 2, 6, 12}) {
      const int64_t half = dim / 2;
      const GuardedMatrix x(5, heads * dim, 3);
      fill_normal(x);
      const Angles angles(5, half, rng);
      const std::vector<float> before = x.values();
      world.call([&](const Context& c) { c.k.rope(c, x.view(), dim, angles.cos.view(), angles.sin.view()); });
      EXPECT_TRUE(x.intact() && angles.cos.intact() && angles.sin.intact());
      for (int64_t at = 0; at < static_cast<int64_t>(before.size()); ++at) {
        const int64_t r = at / (heads * dim), column = at % (heads * dim), i = column % dim;
        const double cos = angles.cos.at(r, i % half), sin = angles.sin.at(r, i % half);
        const double self = before[static_cast<size_t>(at)];
        const double other = before[static_cast<size_t>(i < half ? at + half : at - half)];
        const double expected = self * cos + (i < half ? -other : other) * sin;
        const double tolerance = 3 * kUnit * (std::fabs(self * cos) + std::fabs(other * sin)) + kTiny;
        ASSERT_NEAR(x.at(r, column), expected, tolerance) << "dim " << dim << ", row " << r << ", column " << column;
      }
    }
}

TEST_P(Rows, RopeInvariance) {
  const int64_t rows = quick_sweep() ? 17 : 64, dim = 20, heads = 4;
  const GuardedMatrix x(rows, heads * dim);
  fill_normal(x);
  for (int64_t i = 0; i < dim; ++i) x.at(3, i) = std::nanf("");
  const Angles angles(rows, dim / 2, rng);
  check_invariance(rows, heads * dim, [&](World& w, TensorView out, int64_t first, int64_t count) {
    for (int64_t r = 0; r < count; ++r)
      std::memcpy(out.row<float>(r), x.row(first + r), static_cast<size_t>(out.cols) * sizeof(float));
    w.call([&](const Context& c) {
      c.k.rope(c, out, dim, angles.cos.view().slice_rows(first, count), angles.sin.view().slice_rows(first, count));
    });
  });
}

// --- swiglu ---

// silu(z) u, with exp within a few units and the argument -z exact.
void check_swiglu(float out, float gate, float up) {
  const double z = static_cast<double>(gate), u = static_cast<double>(up);
  const double expected = z / (1.0 + std::exp(-z)) * u;
  ASSERT_NEAR(out, expected, 12 * kUnit * std::fabs(expected) + 0x1p-119 * (1.0 + std::fabs(u)))
      << "gate " << gate << ", up " << up;
}

TEST_P(Rows, Swiglu) {
  for (const int64_t n : kWidths)
    for (const double size : {0.01, 1.0, 20.0}) {
      const GuardedMatrix gate(3, n, 2), up(3, n, 5), out(3, n, 1);
      fill_normal(gate, size);
      fill_normal(up);
      world.call([&](const Context& c) { c.k.swiglu(c, out.view(), gate.view(), up.view()); });
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t i = 0; i < n; ++i) check_swiglu(out.at(r, i), gate.at(r, i), up.at(r, i));
      const std::vector<float> apart = out.values();
      world.call([&](const Context& c) { c.k.swiglu(c, gate.view(), gate.view(), up.view()); });
      EXPECT_TRUE(same_bits(apart, gate.values())) << "in place differs from apart";
      EXPECT_TRUE(gate.intact() && up.intact() && out.intact());
    }
}

TEST_P(Rows, SwigluOverTheWholeRange) {
  std::vector<float> values;
  for (double z = -110.0; z <= 110.0; z += 0.0625) values.push_back(static_cast<float>(z));
  for (const float z : {0.0f, -0.0f, 1e-42f, -1e-42f, 1e-30f, 1e30f, -1e30f, 3e38f, -3e38f}) values.push_back(z);
  const auto n = static_cast<int64_t>(values.size());
  const GuardedMatrix gate(1, n), up(1, n), out(1, n);
  gate.fill([&](int64_t, int64_t i) { return values[static_cast<size_t>(i)]; });
  up.fill([](int64_t, int64_t i) { return i % 2 == 0 ? 1.0 : -0.75; });
  world.call([&](const Context& c) { c.k.swiglu(c, out.view(), gate.view(), up.view()); });
  for (int64_t i = 0; i < n; ++i) check_swiglu(out.at(0, i), gate.at(0, i), up.at(0, i));
}

TEST_P(Rows, SwigluKeepsNaNWhereItIs) {
  const int64_t n = 97;
  const GuardedMatrix gate(3, n), up(3, n), out(3, n);
  fill_normal(gate);
  fill_normal(up);
  gate.at(1, 50) = std::nanf("");
  up.at(1, 96) = std::nanf("");
  world.call([&](const Context& c) { c.k.swiglu(c, out.view(), gate.view(), up.view()); });
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(std::isnan(out.at(r, i)), r == 1 && (i == 50 || i == 96));
}

TEST_P(Rows, SwigluInvariance) {
  const int64_t rows = quick_sweep() ? 17 : 64, n = 76;
  const GuardedMatrix gate(rows, n), up(rows, n);
  fill_normal(gate);
  fill_normal(up);
  check_invariance(rows, n, [&](World& w, TensorView out, int64_t first, int64_t count) {
    w.call([&](const Context& c) {
      c.k.swiglu(c, out, gate.view().slice_rows(first, count), up.view().slice_rows(first, count));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Sets, Rows, testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                         [](const auto& test) { return set_name(test.param); });

}  // namespace
}  // namespace sigma::test
