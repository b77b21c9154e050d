#include "bench/efficiency/analysis.h"

#include <gtest/gtest.h>

#include <numeric>

#include "bench/synthetic_study.h"

namespace sigma::bench {
namespace {

TEST(Analysis, IntervalOfTheMedianByRanks) {
  Rounds ten;
  for (int i = 10; i > 0; --i) ten.push_back(i);
  const Interval interval = interval_of(ten);
  EXPECT_EQ(interval.median, 5.5);
  EXPECT_EQ(interval.low, 2);  // 2nd and 9th of ten: 97.9%; the 3rd and 8th would have 89%
  EXPECT_EQ(interval.high, 9);
  Rounds thirty(30);
  std::iota(thirty.begin(), thirty.end(), 1.0);
  EXPECT_EQ(interval_of(thirty).low, 10);
  EXPECT_EQ(interval_of(thirty).high, 21);
  EXPECT_EQ(interval_of({3, 1, 2}).low, 1);  // too few to leave any out
  EXPECT_EQ(interval_of({3, 1, 2}).median, 2);
}

TEST(Analysis, GainsAreOfRoundsThatBelongTogether) {
  const Interval gain = gain_of({1, 20, 3}, {2, 40, 6});  // whatever the machine did, half
  EXPECT_EQ(gain.low, 0.5);
  EXPECT_EQ(gain.high, 0.5);
}

TEST(Analysis, ZeroOfIsTheLastCrossing) {
  EXPECT_EQ(zero_of({1, 2, 3}, {2, 1, -1}), 2.5);
  EXPECT_EQ(zero_of({1, 2, 3, 4}, {1, -1, 1, -1}), 3.5);
  EXPECT_EQ(zero_of({1, 2}, {-1, -2}), 1);
  EXPECT_FALSE(zero_of({1, 2}, {2, 1}));
  EXPECT_FALSE(zero_of({}, {}));
}

TEST(Analysis, StepsOfAKnownLaw) {
  const Results results = test::synthetic_study();
  const Step step = *find_step(results, "sigma", 32768, 1);
  const double context = 32768 + 5.5;
  EXPECT_DOUBLE_EQ(step.theory, 0.375);
  EXPECT_NEAR(step.gain.median, 1 - (1e-4 + 2.5e-6 * context) / (1e-4 + 4e-6 * context), 1e-9);
  EXPECT_NEAR(step.gain.low, step.gain.high, 1e-9);  // the machine's changes cancel
  EXPECT_NEAR(step.bytes, 26.0 * 32773 * 20 * 64 * 2, 1);
  EXPECT_NEAR(step.share, step.bytes / (1e-4 + 2.5e-6 * context) / test::kRead, 1e-9);
  EXPECT_FALSE(find_step(results, "sigma", 12345, 1));
}

// Of what is measured out of memory nothing but the two speeds of reading beside each round enters.
TEST(Analysis, PredictionsTakeInWork) {
  const Results results = test::synthetic_study();
  const int64_t prefix = results.grid.samples.back();
  for (const char* name : {"std", "v_top"}) {
    const Step step = *find_step(results, name, prefix, 1);
    const double work = test::law_of(name).at(prefix) / 4;
    EXPECT_NEAR(work_of(results.work, name).at(context_of(prefix)), work, 1e-9);
    const MachineLimits limits{.read = test::kRead / 1.4, .read_alone = test::kRead / 1.4, .threads = 2};
    const Variant& v = variant(name);
    const CostCase c = v.cost_case(static_cast<int64_t>(context_of(prefix)), 1);
    const StepCost cost = step_cost(v.config, {}, c);
    const double on_values = work * cost.flops.values / cost.flops.attention();
    EXPECT_NEAR(step.predicted,
                std::max(cost.k.bytes_read / limits.read, work - on_values) +
                    time_by_turns(cost.v.bytes_read, on_values, limits),
                1e-6);  // the median round
    EXPECT_NEAR(step.off, step.predicted / step.seconds.median - 1, 0.02);
  }
}

TEST(Analysis, CrossoversOfAKnownLaw) {
  const Results results = test::synthetic_study();
  // Sigma saves 1.5e-6 s a token of context, and pays 15e-3 s a step: cheaper where contexts are above 10,000 on
  // average.
  const int64_t prefix = *crossover_prefix(results, "sigma", Format::bf16, 2048);
  EXPECT_NEAR(static_cast<double>(prefix), 10000 - 1024.5, 2);
  const int64_t output = *crossover_output(results, "sigma", Format::bf16, 0);
  EXPECT_NEAR(static_cast<double>(output), 20000, 2);
  const BreakEven even = break_even(results, "sigma", Format::q8_0, 1);
  EXPECT_NEAR(even.measured->median, 10000, 1);
  EXPECT_NEAR(even.measured->low, even.measured->high, 1);
  EXPECT_NEAR(static_cast<double>(*even.computed), 12000, 500);
  EXPECT_FALSE(crossover_prefix(results, "repeated", Format::bf16, 2048));
  EXPECT_FALSE(break_even(results, "repeated", Format::q8_0, 1).measured);
}

TEST(Analysis, WholeGenerationsAgreeWithTheirSamples) {
  const Results results = test::synthetic_study();
  const double whole = 4e-6 * 2048 * 2049 / 2;
  const Agreement a = agreement(results, "std");
  EXPECT_NEAR(a.typical, whole, 1e-9);
  EXPECT_NEAR(a.seconds, 1.2 * whole, 1e-9);
  EXPECT_NEAR(a.error(), 0.01, 1e-9);
  // Rings have slower rounds beside slower reading: at the bandwidth of the whole run they take what the law says.
  EXPECT_NEAR(a.rings, whole + 2048 * (1e-4 + test::kStore), 1e-6 * whole);
}

}  // namespace
}  // namespace sigma::bench
