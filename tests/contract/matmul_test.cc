// Kernels::matmul and pack: every set, every weight format.
#include <gtest/gtest.h>

#include "contract/contract.h"
#include "support/weights.h"

namespace sigma::test {
namespace {

struct Shape {
  int64_t rows, cols;  // of the weight matrix: outputs, inputs
};

std::vector<Shape> shapes(Format format) {
  switch (format_info(format).block_elements) {
    case 1:
      return {{97, 52}, {76, 52}, {52, 76}, {240, 52}, {52, 336}, {1, 1}, {3, 5}, {33, 160}, {31, 1027}};
    case 32:
      return {{97, 96}, {52, 160}, {224, 32}, {33, 224}, {1, 352}, {65, 1056}};
    default:
      return {{97, 256}, {33, 768}};
  }
}

Rounding rounding_of(Format format) {
  if (format == Format::bf16) return Rounding::bf16;
  return format_info(format).block_elements == 1 ? Rounding::none : Rounding::int8;
}

// A packed random matrix, its source (in guarded memory, as a mapped file's end would be) and its exact values.
struct Weights {
  Weights(World& world, Format format, Shape shape, Rng& rng, std::span<const int32_t> order = {})
      : source(static_cast<size_t>(shape.rows * format_row_bytes(format, shape.cols))),
        values(static_cast<size_t>(shape.rows * shape.cols)) {
    const std::vector<std::byte> bytes = random_weights(format, shape.rows, shape.cols, rng);
    std::memcpy(source.data(), bytes.data(), bytes.size());
    packed = world.kernels().pack(world.threads(), {format, shape.rows, shape.cols, source.data(), order});
    for (int64_t r = 0; r < shape.rows; ++r) {
      const int64_t from = order.empty() ? r : order[static_cast<size_t>(r)];
      format_info(format).dequantise(source.data() + from * format_row_bytes(format, shape.cols),
                                     values.data() + r * shape.cols, shape.cols);
    }
  }
  const float* row(int64_t r) const { return values.data() + r * packed.cols; }

  GuardedBytes source;
  std::vector<float> values;
  PackedMatrix packed;
};

void multiply(World& world, const GuardedMatrix& out, const GuardedMatrix& x, const Weights& w,
              const float* bias = nullptr, Store store = Store::overwrite) {
  const std::vector<float> x_before = x.values();
  const MatmulJob job{&w.packed, out.view(), bias, store};
  world.call([&](const Context& c) { c.k.matmul(c, x.view(), {&job, 1}); });
  EXPECT_TRUE(out.intact() && x.intact());
  EXPECT_TRUE(same_bits(x_before, x.values())) << "x was written";
}

// The largest magnitude in the block of 32 that column c is in, times 3: what a scale and a minimum may add up to
// before they cancel. 0 for plain formats.
double block_span(Format format, const float* w, int64_t cols, int64_t c) {
  if (format_info(format).block_elements == 1) return 0.0;
  double largest = 0.0;
  for (int64_t i = c / 32 * 32; i < std::min(cols, c / 32 * 32 + 32); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(w[i])));
  return 3.0 * largest;
}

// Compares out with base + x w^T + bias, all computed in double.
void check_product(const GuardedMatrix& out, const GuardedMatrix& x, const Weights& w, Rounding rounding,
                   const float* bias = nullptr, const GuardedMatrix* base = nullptr) {
  const int64_t k = x.cols();
  std::vector<double> spans(w.values.size());
  for (int64_t i = 0; i < static_cast<int64_t>(spans.size()); ++i)
    spans[static_cast<size_t>(i)] = block_span(w.packed.source, w.row(i / k), k, i % k);
  ErrorRatio ratio;
  for (int64_t r = 0; r < x.rows(); ++r) {
    const Rounded rounded = round_activations(rounding, x.row(r), k);
    for (int64_t n = 0; n < out.cols(); ++n) {
      double sum = 0, rounding_error = 0, magnitude = 0;
      float naive = 0;
      for (int64_t i = 0; i < k; ++i) {
        const auto at = static_cast<size_t>(i);
        const double xi = static_cast<double>(x.at(r, i)), wi = static_cast<double>(w.row(n)[i]);
        sum += xi * wi;
        rounding_error += rounded.delta[at] * std::fabs(wi);
        magnitude += (std::fabs(xi) + rounded.delta[at]) * (std::fabs(wi) + spans[static_cast<size_t>(n * k + i)]);
        naive += rounded.value[at] * w.row(n)[i];
      }
      const double extra = (bias == nullptr ? 0.0 : static_cast<double>(bias[n])) +
                           (base == nullptr ? 0.0 : static_cast<double>(base->at(r, n)));
      const double got = static_cast<double>(out.at(r, n));
      const double tolerance =
          rounding_error + gamma(k + 16) * magnitude + 4 * kUnit * (std::fabs(extra) + std::fabs(sum)) + kTiny;
      ASSERT_NEAR(got, sum + extra, tolerance)
          << "row " << r << ", output " << n << " of " << x.rows() << " x " << out.cols() << " x " << k;
      ratio.add(sum + extra, got, static_cast<double>(naive) + extra);
    }
  }
  if (k >= 32) ratio.check();
}

class Matmul : public testing::TestWithParam<std::tuple<const Kernels*, int>> {
 protected:
  Format format() const { return static_cast<Format>(std::get<1>(GetParam())); }
  World world{*std::get<0>(GetParam())};
  Rng rng{17};
  std::vector<int64_t> batches() const {
    return quick_sweep() ? std::vector<int64_t>{1, 5} : std::vector<int64_t>{1, 2, 5, 16, 33, 64};
  }
  double normal() { return rng.normal(); }
};

TEST_P(Matmul, IsWithinItsErrorBound) {
  for (const Shape shape : shapes(format())) {
    const Weights w(world, format(), shape, rng);
    for (const int64_t m : batches()) {
      const GuardedMatrix x(m, shape.cols), out(m, shape.rows);
      x.fill([&](int64_t, int64_t) { return normal(); });
      multiply(world, out, x, w);
      check_product(out, x, w, rounding_of(format()));
    }
  }
}

TEST_P(Matmul, AddsToTheOutputAndBiases) {
  const Shape shape = shapes(format())[1];
  const Weights w(world, format(), shape, rng);
  const GuardedMatrix bias(1, shape.rows), x(5, shape.cols, 3), base(5, shape.rows), out(5, shape.rows, 7);
  for (const GuardedMatrix* filled : {&bias, &x, &base}) filled->fill([&](int64_t, int64_t) { return normal(); });
  multiply(world, out, x, w, bias.row(0));
  check_product(out, x, w, rounding_of(format()), bias.row(0));
  out.copy_from(base);
  multiply(world, out, x, w, nullptr, Store::add);
  check_product(out, x, w, rounding_of(format()), nullptr, &base);
  out.copy_from(base);
  multiply(world, out, x, w, bias.row(0), Store::add);
  check_product(out, x, w, rounding_of(format()), bias.row(0), &base);
  EXPECT_TRUE(bias.intact());
}

// With inputs that no permitted rounding changes, only the f32 sums may differ: lost terms and wrong scales show.
TEST_P(Matmul, IsExactUpToSumsOnSmallIntegers) {
  for (const Shape shape : shapes(format())) {
    if (shape.cols % 32 != 0 && shape.cols < 32) continue;
    const Weights w(world, format(), shape, rng);
    const GuardedMatrix x(3, shape.cols), out(3, shape.rows);
    x.fill([&](int64_t, int64_t c) { return exact_integer(rng, c); });
    if (shape.cols % 32 != 0)
      for (int64_t r = 0; r < 3; ++r) x.at(r, shape.cols - 1) = 127.0f;
    multiply(world, out, x, w);
    check_product(out, x, w, Rounding::none);
  }
}

TEST_P(Matmul, RowsAreTheSameBitsInAnyBatch) {
  const Shape shape = shapes(format())[0];
  const int64_t m = quick_sweep() ? 19 : 64;
  const Weights w(world, format(), shape, rng);
  const GuardedMatrix x(m, shape.cols), all(m, shape.rows);
  x.fill([&](int64_t, int64_t) { return normal(); });
  multiply(world, all, x, w);
  for (int64_t rows = 1; rows < m; ++rows) {
    const int64_t first = static_cast<int64_t>(rng.below(static_cast<uint64_t>(m - rows + 1)));
    const GuardedMatrix some(rows, shape.cols), out(rows, shape.rows);
    some.fill([&](int64_t r, int64_t c) { return x.at(first + r, c); });
    multiply(world, out, some, w);
    for (int64_t r = 0; r < rows; ++r)
      ASSERT_TRUE(same_bits(out.row(r), all.row(first + r), shape.rows)) << "row " << r << " of " << rows;
  }
}

TEST_P(Matmul, ThreadsDoNotChangeBits) {
  const Shape shape = shapes(format()).back();
  World two(world.kernels(), 2), three(world.kernels(), 3), four(world.kernels(), 4);
  for (const int64_t m : {1, 7, 40}) {
    const GuardedMatrix x(m, shape.cols), expected(m, shape.rows);
    x.fill([&](int64_t, int64_t) { return normal(); });
    const Weights w(world, format(), shape, rng);
    multiply(world, expected, x, w);
    for (World* other : {&two, &three, &four}) {
      const GuardedMatrix out(m, shape.rows);
      multiply(*other, out, x, w);
      EXPECT_TRUE(same_bits(expected.values(), out.values()))
          << other->threads().size() << " threads, " << m << " rows";
    }
  }
}

TEST_P(Matmul, PackingDoesNotDependOnThreads) {
  const Shape shape = shapes(format()).back();
  World four(world.kernels(), 4);
  Rng same = rng;
  const Weights a(world, format(), shape, rng), b(four, format(), shape, same);
  const GuardedMatrix x(2, shape.cols), out_a(2, shape.rows), out_b(2, shape.rows);
  x.fill([&](int64_t, int64_t) { return normal(); });
  multiply(world, out_a, x, a);
  multiply(world, out_b, x, b);
  EXPECT_TRUE(same_bits(out_a.values(), out_b.values()));
}

// A product with several matrices, of several formats, is the products with each.
TEST_P(Matmul, JobsAreIndependent) {
  const int64_t cols = 256;
  const Weights q(world, format(), {97, cols}, rng), k(world, Format::q8_0, {33, cols}, rng),
      v(world, Format::bf16, {5, cols}, rng);
  const GuardedMatrix bias(1, 33);
  bias.fill([&](int64_t, int64_t) { return normal(); });
  for (const int64_t m : {1, 9}) {
    const GuardedMatrix x(m, cols), q_out(m, 97), k_out(m, 33), v_out(m, 5);
    x.fill([&](int64_t, int64_t) { return normal(); });
    const std::array jobs{MatmulJob{&q.packed, q_out.view()}, MatmulJob{&k.packed, k_out.view(), bias.row(0)},
                          MatmulJob{&v.packed, v_out.view()}};
    world.call([&](const Context& c) { c.k.matmul(c, x.view(), jobs); });
    const GuardedMatrix q_alone(m, 97), k_alone(m, 33), v_alone(m, 5);
    multiply(world, q_alone, x, q);
    multiply(world, k_alone, x, k, bias.row(0));
    multiply(world, v_alone, x, v);
    EXPECT_TRUE(same_bits(q_out.values(), q_alone.values()));
    EXPECT_TRUE(same_bits(k_out.values(), k_alone.values()));
    EXPECT_TRUE(same_bits(v_out.values(), v_alone.values()));
    EXPECT_TRUE(q_out.intact() && k_out.intact() && v_out.intact());
  }
}

TEST_P(Matmul, TakesSourceRowsInTheGivenOrder) {
  const Shape shape = shapes(format())[0];
  std::vector<int32_t> order(static_cast<size_t>(shape.rows));
  for (int64_t r = 0; r < shape.rows; ++r)  // 13 and the numbers of rows are coprime
    order[static_cast<size_t>(r)] = static_cast<int32_t>((r * 13 + 5) % shape.rows);
  const Weights w(world, format(), shape, rng, order);
  std::fill(order.begin(), order.end(), -1);  // the order is read by pack() only
  const GuardedMatrix x(3, shape.cols), out(3, shape.rows);
  x.fill([&](int64_t, int64_t) { return normal(); });
  multiply(world, out, x, w);
  check_product(out, x, w, rounding_of(format()));
}

TEST_P(Matmul, ExtremeRowsStayToThemselves) {
  const Shape shape = shapes(format())[0];
  const Weights w(world, format(), shape, rng);
  enum Row { plain, zero, minus_zero, denormal, outlier, large, small, nan, infinite, last, kRows };
  const GuardedMatrix x(kRows, shape.cols), out(kRows, shape.rows);
  x.fill([&](int64_t r, int64_t c) {
    const double value = normal();
    switch (r) {
      case zero:
        return 0.0;
      case minus_zero:
        return -0.0;
      case denormal:
        return value * 1e-40;
      case outlier:
        return c == 11 ? value * 1e4 : value;
      case large:
        return value * 1e30;
      case small:
        return value * 1e-30;
      case nan:
        return c == shape.cols - 2 ? std::nan("") : value;
      case infinite:
        return c == 3 ? HUGE_VAL : value;
      default:
        return value;
    }
  });
  multiply(world, out, x, w);
  for (const int64_t r : {plain, last, zero, minus_zero, denormal, outlier, large, small}) {
    const GuardedMatrix row(1, shape.cols), alone(1, shape.rows);
    row.fill([&](int64_t, int64_t c) { return x.at(r, c); });
    multiply(world, alone, row, w);
    EXPECT_TRUE(same_bits(alone.row(0), out.row(r), shape.rows)) << "row " << r;
    check_product(alone, row, w, rounding_of(format()));
  }
  for (int64_t n = 0; n < shape.rows; ++n) {
    EXPECT_EQ(out.at(zero, n), 0.0f);
    EXPECT_EQ(out.at(minus_zero, n), 0.0f);
    if (rounding_of(format()) != Rounding::int8) {
      EXPECT_TRUE(std::isnan(out.at(nan, n)));
    }
  }
}

TEST_P(Matmul, NoRowsIsNoWork) {
  const Shape shape = shapes(format())[0];
  const Weights w(world, format(), shape, rng);
  const GuardedMatrix x(0, shape.cols), out(0, shape.rows);
  multiply(world, out, x, w);
}

INSTANTIATE_TEST_SUITE_P(Sets, Matmul,
                         testing::Combine(testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                                          testing::Range(0, kFormatCount)),
                         [](const auto& test) {
                           return set_name(std::get<0>(test.param)) + "_" +
                                  std::string(format_info(static_cast<Format>(std::get<1>(test.param))).name);
                         });

}  // namespace
}  // namespace sigma::test
