#include "base/rng.h"

#include <gtest/gtest.h>

#include <array>

namespace sigma {
namespace {

TEST(Rng, IsSplitMix64) {
  Rng rng(1234567);
  for (const uint64_t expected : {6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull,
                                  4593380528125082431ull, 16408922859458223821ull})
    EXPECT_EQ(rng.next(), expected);
}

TEST(Rng, UniformFillsItsInterval) {
  Rng rng(1);
  double sum = 0, smallest = 1, largest = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.uniform();
    ASSERT_TRUE(x >= 0 && x < 1);
    sum += x;
    smallest = std::min(smallest, x);
    largest = std::max(largest, x);
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
  EXPECT_LT(smallest, 1e-3);
  EXPECT_GT(largest, 1 - 1e-3);
}

TEST(Rng, BelowHitsEveryValueAlike) {
  Rng rng(2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts.at(rng.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng(3);
  double sum = 0, squares = 0, fourths = 0;
  for (int i = 0; i < 200000; ++i) {
    const double x = rng.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  EXPECT_NEAR(sum / 200000, 0.0, 0.01);
  EXPECT_NEAR(squares / 200000, 1.0, 0.02);
  EXPECT_NEAR(fourths / 200000, 3.0, 0.15);
}

}  // namespace
}  // namespace sigma
