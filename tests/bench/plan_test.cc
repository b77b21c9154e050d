#include "bench/efficiency/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sigma::bench {
namespace {

constexpr int64_t kRing = 1 << 20;

TEST(Plan, ReadsWhatThePaperSays) {
  EXPECT_EQ(count_parameters(variant("sigma").config).total() / 10000000, 202);  // 2.02 B, tied
  EXPECT_EQ(variant("std").config.attn.k_heads, 16);
  EXPECT_EQ(key_shape(variant("half_key")).dim, 32);
  EXPECT_EQ(key_shape(variant("q8_k")).format, Format::q8_0);
  for (const Variant& v : variants()) v.config.validate(v.name);
}

TEST(Plan, AGridThatDoesNotFitNamesTheLargestThatDoes) {
  GridOptions options{.memory_bytes = cell_bytes(16384, 1, kRing), .ring_bytes = kRing};
  try {
    make_grid(options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.expected().find("16384 tokens"), std::string::npos) << error.what();
    EXPECT_NE(error.found().find("65536 + 65536 tokens"), std::string::npos) << error.what();
  }
  options.max_prefix = 8192;
  options.max_output = 8192;
  EXPECT_EQ(make_grid(options).samples.back(), 16384);
}

TEST(Plan, BatchesThatDoNotFitAreLeftOut) {
  GridOptions options{.memory_bytes = cell_bytes(32768, 8, kRing), .ring_bytes = kRing};
  ASSERT_GT(cell_bytes(65536, 8, kRing), options.memory_bytes);
  const Grid grid = make_grid(options);
  EXPECT_EQ(grid.batch_left_out, std::vector<int64_t>{65536});
  EXPECT_EQ(grid.batch_samples.back(), 32768);
  EXPECT_EQ(grid.samples.back(), 131072);
}

// The integral of anything linear between samples is exact, wherever the generation begins and ends.
TEST(Plan, GenerationsIntegrateLinearTimesExactly) {
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

TEST(Plan, RingsAreLongEnough) {
  EXPECT_EQ(ring_slots(100, 100, 1000), 10);
  EXPECT_EQ(ring_slots(100, 30, 1000), 10);  // mostly empty pages: as many as memory that may be taken
  EXPECT_EQ(ring_slots(5000, 5000, 1000), 1);
}

TEST(Plan, TheWholeGenerationIsTheLongestThatTheTimeAllows) {
  Grid grid = make_grid({.memory_bytes = 1e15, .ring_bytes = kRing});
  EXPECT_EQ(whole_output(grid, 1e3), 2048);
  EXPECT_EQ(whole_output(grid, 1e18), 65536);
  grid.whole_seconds = 1200;
  const int64_t chosen = whole_output(grid, 3e10);
  EXPECT_GT(chosen, 4096);
  EXPECT_LT(chosen, 65536);
}

}  // namespace
}  // namespace sigma::bench
