#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sigma {
namespace {

TEST(Schedule, WarmsUpInAStraightLine) {
  const Schedule s{.total_rows = 100, .warmup_rows = 20, .rate = 0.4, .batch_rows = 5};
  EXPECT_DOUBLE_EQ(s.learning_rate(0, 5), 0.1);
  EXPECT_DOUBLE_EQ(s.learning_rate(5, 5), 0.2);
  EXPECT_DOUBLE_EQ(s.learning_rate(15, 5), 0.4);
  EXPECT_DOUBLE_EQ(s.learning_rate(95, 5), 0.4);
}

TEST(Schedule, CosineAndLinearGoFromTheRateToTheFinalOne) {
  Schedule s{
      .total_rows = 120, .warmup_rows = 20, .rate = 1.0, .final_rate = 0.2, .decay = Decay::cosine, .batch_rows = 5};
  EXPECT_DOUBLE_EQ(s.learning_rate(20, 5), 1.0);
  EXPECT_DOUBLE_EQ(s.learning_rate(70, 5), 0.6);
  EXPECT_NEAR(s.learning_rate(45, 5), 0.2 + 0.8 * (0.5 + 0.5 * std::cos(M_PI / 4)), 1e-15);
  s.decay = Decay::linear;
  EXPECT_DOUBLE_EQ(s.learning_rate(45, 5), 0.8);
  s.final_rate = 0;
  EXPECT_NEAR(s.learning_rate(119, 1), 0.01, 1e-12);
}

TEST(Schedule, WarmupStableDecay) {
  const Schedule s{
      .total_rows = 100, .warmup_rows = 10, .rate = 1.0, .decay = Decay::wsd, .decay_rows = 40, .batch_rows = 5};
  EXPECT_DOUBLE_EQ(s.learning_rate(0, 5), 0.5);
  EXPECT_DOUBLE_EQ(s.learning_rate(55, 5), 1.0);
  EXPECT_DOUBLE_EQ(s.learning_rate(60, 5), 1.0);
  EXPECT_DOUBLE_EQ(s.learning_rate(80, 5), 0.5);
}

TEST(Schedule, BatchesRampInMultiplesAndEndWithTheBudget) {
  const Schedule s{.total_rows = 100, .rate = 1, .batch_rows = 4, .batch_rows_end = 16, .ramp_rows = 48};
  EXPECT_EQ(s.batch(0), 4);
  EXPECT_EQ(s.batch(15), 4);
  EXPECT_EQ(s.batch(16), 8);
  EXPECT_EQ(s.batch(32), 12);
  EXPECT_EQ(s.batch(48), 16);
  EXPECT_EQ(s.batch(96), 4);
  int64_t row = 0, steps = 0;
  for (; row < 100; row += s.batch(row)) ++steps;
  EXPECT_EQ(row, 100);
  EXPECT_EQ(s.steps_from(0), steps);
  EXPECT_EQ(s.steps_from(100), 0);
}

}  // namespace
}  // namespace sigma
