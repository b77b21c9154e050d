#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace sigma {
namespace {

ModelConfig config() {
  ModelConfig c;
  c.layers = 3;
  c.attn = {
      .q_heads = 12, .k_heads = 2, .v_heads = 4, .q_dim = 20, .k_dim = 10, .v_dim = 28, .key_rope = KeyRope::key_dim};
  return c;
}

TEST(KvCache, HandsOutEveryPageOnceAndTakesThemBack) {
  KvCache cache(reference_kernels(), config(), {.page_tokens = 5, .tokens = 23});
  EXPECT_EQ(cache.total_pages(), 5);
  std::set<PageId> pages;
  while (const auto page = cache.allocate()) pages.insert(*page);
  EXPECT_EQ(pages.size(), 5u);
  EXPECT_FALSE(cache.allocate().has_value());
  cache.retain(*pages.begin());
  cache.release(*pages.begin());
  EXPECT_EQ(cache.free_pages(), 0);
  cache.release(*pages.begin());
  EXPECT_EQ(cache.free_pages(), 1);
  EXPECT_EQ(cache.allocate(), *pages.begin());
}

TEST(KvCache, PoolsHaveTheirOwnShapesAndDoNotOverlap) {
  KvCache cache(reference_kernels(), config(),
                {.k_format = Format::f32, .v_format = Format::q8_0, .page_tokens = 5, .tokens = 10});
  EXPECT_EQ(cache.k(0).shape.heads, 2);
  EXPECT_EQ(cache.k(0).shape.dim, 10);
  EXPECT_EQ(cache.k(0).shape.format, Format::f32);
  EXPECT_EQ(cache.v(2).shape.heads, 4);
  EXPECT_EQ(cache.v(2).shape.dim, 28);
  EXPECT_EQ(cache.v(2).shape.format, Format::q8_0);
  for (int layer = 0; layer + 1 < 3; ++layer) {
    EXPECT_GE(cache.k(layer + 1).page(0) - cache.k(layer).page(0), 2 * cache.k(layer).page_stride);
    EXPECT_GE(cache.v(layer + 1).page(0) - cache.v(layer).page(0), 2 * cache.v(layer).page_stride);
  }
  EXPECT_GE(cache.k(0).page_stride, reference_kernels().page_bytes(CacheKind::k, cache.k(0).shape));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache.k(1).data) % 64, 0u);
}

TEST(KvCache, CopyPageCopiesBothPoolsOfEveryLayer) {
  KvCache cache(reference_kernels(), config(), {.page_tokens = 5, .tokens = 10});
  const PageId from = *cache.allocate(), to = *cache.allocate();
  for (int layer = 0; layer < 3; ++layer) {
    *cache.k(layer).page(from) = std::byte(layer + 1);
    *cache.v(layer).page(from) = std::byte(layer + 10);
  }
  cache.copy_page(from, to);
  for (int layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(*cache.k(layer).page(to), std::byte(layer + 1));
    EXPECT_EQ(*cache.v(layer).page(to), std::byte(layer + 10));
  }
}

TEST(KvCache, SaysWhatDoesNotFitBeforeAllocating) {
  EXPECT_THROW(KvCache(reference_kernels(), config(), {.tokens = int64_t{1} << 45}), Error);
  EXPECT_THROW(KvCache(reference_kernels(), config(), {.page_tokens = 1, .tokens = (int64_t{1} << 62)}), Error);
}

}  // namespace
}  // namespace sigma
