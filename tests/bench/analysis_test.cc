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

// The integral of anything linear between samples is exact, wherever the generation begins and ends.
TEST(Analysis, GenerationsIntegrateLinearTimesExactly) {
  const std::vector<double> contexts = {5.5, 517.5, 2053.5, 8197.5};
  const auto time = [](double context) { return 3.0 + 0.25 * context; };
  for (const auto& [prefix, output] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {0, 9000}, {700, 40}, {9000, 5}}) {
    const std::vector<double> weights = generation_weights(contexts, prefix, output);
    double integrated = 0, exact = 0;
    for (size_t i = 0; i < contexts.size(); ++i) integrated += weights[i] * time(contexts[i]);
    for (int64_t i = 1; i <= output; ++i) exact += time(static_cast<double>(prefix + i));
    EXPECT_NEAR(integrated, exact, 1e-6 * exact) << prefix << " " << output;
  }
  EXPECT_EQ(generation_weights({7}, 3, 4), std::vector<double>{4});
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
  EXPECT_NEAR(step.predicted, step.bytes / test::kRead * 1.4, 1e-9);  // at the median read
  EXPECT_FALSE(find_step(results, "sigma", 12345, 1));
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
  EXPECT_NEAR(agreement(*results.whole, "std").error(), 0, 1e-6);
  EXPECT_NEAR(agreement(*results.whole, "sigma").error(), 0, 1e-6);
}

}  // namespace
}  // namespace sigma::bench
