#include "bench/efficiency/cells.h"

#include <gtest/gtest.h>

#include <cstring>

namespace sigma::bench {
namespace {

// On one buffer of each kind, as short as can be: that every variant runs and every time is there.
TEST(Cells, EveryVariantIsMeasured) {
  ThreadPool threads(2);
  Grid grid = make_grid({.quick = true, .max_prefix = 0, .max_output = 700, .memory_bytes = 1e15, .ring_bytes = 1});
  grid.weights = {Format::q4_0};
  Bench bench(cpu_kernels(), threads, grid);
  const StepCell cell = bench.step(600, 2, 1);
  EXPECT_EQ(cell.read.size(), 1u);
  EXPECT_EQ(cell.read_alone.size(), 1u);
  ASSERT_EQ(cell.steps.size(), variants().size());
  for (const auto& [name, step] : cell.steps) {
    EXPECT_GT(step.store[0], 0) << name;
    EXPECT_GT(step.combine[0], 0) << name;  // the context is longer than one stretch
    EXPECT_GT(step.split[0], 0) << name;
    EXPECT_DOUBLE_EQ(step.split[0] + step.combine[0], step.attention[0]) << name;
  }
  const WeightRounds& weights = cell.weights.at("q4_0");
  EXPECT_GT(weights.augmented_q[0], 0);
  EXPECT_GT(weights.common[0], weights.augmented_q[0]);
  for (const char* keys : kKeyShapes) EXPECT_GT(weights.keys.at(keys)[0], 0) << keys;
}

TEST(Cells, WorkIsMeasuredOfEverySide) {
  ThreadPool threads(2);
  Bench bench(cpu_kernels(), threads, {});
  for (const char* name : {"half_after", "v_top"}) {
    const VariantWork work = bench.work({&variant(name), 1}, 1).at(name);
    EXPECT_EQ(work.prefix[1] + kTokens, 2 * (work.prefix[0] + kTokens));
    EXPECT_GT(work.seconds[0].at(0), 0);
    EXPECT_GT(work.seconds[1].at(0), 0);
  }
}

// A run that stopped goes on with the part that comes next, and stops when it is told to.
TEST(Cells, AWholeGenerationIsRunByParts) {
  ThreadPool threads(2);
  const Grid grid =
      make_grid({.quick = true, .max_prefix = 0, .max_output = 20, .memory_bytes = 1e15, .ring_bytes = 1});
  Bench bench(cpu_kernels(), threads, grid);
  std::vector<WholePart> parts;
  bench.whole(20, kWholeParts - 3, [&](const WholePart& part) {
    parts.push_back(part);
    return parts.size() < 2;
  });
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[1].part, kWholeParts - 2);
  for (const char* name : {"std", "sigma"}) {
    EXPECT_GT(parts[1].seconds.at(name), 0);
    EXPECT_GT(parts[1].typical.at(name), 0);
    EXPECT_GT(parts[1].integrated.at(name), 0);
  }
  EXPECT_EQ(parts[1].read.size(), 1u);
}

TEST(Rings, NoTwoPagesHoldTheSame) {
  ThreadPool threads(1);
  const CacheShape shape{2, 32, Format::bf16, kPageTokens};
  CacheRing ring(cpu_kernels(), threads, CacheKind::k, shape, 2, 3 * kPageTokens, 2);
  EXPECT_EQ(ring.slots(), 2);
  const PagedView& slot = ring.slot(0);
  for (PageId page = 1; page < 3; ++page)
    EXPECT_NE(std::memcmp(slot.page(0), slot.page(page), static_cast<size_t>(slot.page_stride)), 0);
  // The second sequence begins where the first has another page.
  EXPECT_EQ(std::memcmp(slot.page(1), slot.page(3), static_cast<size_t>(slot.page_stride)), 0);
  EXPECT_NE(&ring.next(), &ring.next());
}

TEST(Rings, RepeatedHeadsAreCopies) {
  ThreadPool threads(1);
  const CacheShape shape{4, 32, Format::f32, kPageTokens};
  CacheRing ring(cpu_kernels(), threads, CacheKind::k, shape, 1, kPageTokens, 1, 2);
  std::vector<float> rows(static_cast<size_t>(kPageTokens) * 4 * 32);
  const auto pages = sequence_pages(1, kPageTokens);
  cpu_kernels().kv_load(CacheKind::k, ring.slot(0), {.row = 0, .rows = 0, .position = 0, .pages = pages[0]},
                        kPageTokens, rows.data());
  for (size_t t = 0; t < kPageTokens; ++t)
    for (size_t i = 0; i < 32; ++i) {
      EXPECT_EQ(rows[t * 128 + i], rows[t * 128 + 32 + i]);
      EXPECT_EQ(rows[t * 128 + 64 + i], rows[t * 128 + 96 + i]);
    }
  EXPECT_NE(rows[0], rows[64]);
}

}  // namespace
}  // namespace sigma::bench
