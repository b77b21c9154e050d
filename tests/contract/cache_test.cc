// Kernels::page_bytes, kv_store and kv_load: every set, both pools, every cache format.
#include <gtest/gtest.h>

#include "contract/contract.h"
#include "contract/pool.h"

namespace sigma::test {
namespace {

class Cache : public testing::TestWithParam<std::tuple<const Kernels*, Format, CacheKind>> {
 protected:
  CacheShape shape(int heads, int dim, int page_tokens) const {
    return {.heads = heads, .dim = dim, .format = std::get<1>(GetParam()), .page_tokens = page_tokens};
  }
  Format format() const { return std::get<1>(GetParam()); }
  CacheKind kind() const { return std::get<2>(GetParam()); }
  void fill_normal(const GuardedMatrix& m) {
    m.fill([&](int64_t, int64_t) { return rng.normal(); });
  }
  // What `x` may come back as; blocks of q8_0 are counted along dim.
  void check_rounding(const GuardedMatrix& x, const std::vector<float>& loaded, int dim) const;

  World world{*std::get<0>(GetParam())};
  Rng rng{53};
};

void Cache::check_rounding(const GuardedMatrix& x, const std::vector<float>& loaded, int dim) const {
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.cols(); ++c) {
      const float in = x.at(r, c), out = loaded[static_cast<size_t>(r * x.cols() + c)];
      const auto trace = [&] { return fmt::format("row {}, column {}: {}", r, c, in); };
      if (format() == Format::q8_0) {
        const int64_t head = c / dim * dim, begin = head + (c - head) / 32 * 32;
        float largest = 0.0f;
        for (int64_t i = begin; i < std::min<int64_t>(begin + 32, head + dim); ++i)
          largest = std::max(largest, std::fabs(x.at(r, i)));
        ASSERT_NEAR(in, out, static_cast<double>(largest) * (1.0 / 254 + kUnitF16) * 1.0001 + 127 * 0x1p-25) << trace();
        continue;
      }
      const float expected = format() == Format::f32   ? in
                             : format() == Format::f16 ? to_f32(to_f16(in))
                                                       : to_f32(to_bf16(in));
      if (std::isnan(in)) {
        ASSERT_TRUE(std::isnan(out)) << trace();
      } else {
        ASSERT_TRUE(same_bits(&expected, &out, 1)) << trace() << " became " << out;
      }
    }
}

TEST_P(Cache, GivesBackWhatWasStoredPieceByPiece) {
  const int64_t tokens = 37;
  for (const int page_tokens : {1, 5, 16, 17, 64})
    for (const auto& [heads, dim] : {std::pair{1, 10}, {2, 20}, {4, 28}, {6, 32}, {3, 64}, {2, 100}, {1, 1}}) {
      SCOPED_TRACE(fmt::format("{} heads of {}, pages of {}", heads, dim, page_tokens));
      const auto pages = deal_pages(std::array{tokens}, page_tokens, PageOrder::shuffled);
      const Pool pool(world.kernels(), kind(), shape(heads, dim, page_tokens), page_count(pages));
      const GuardedMatrix x(tokens, pool.cols(), 3);
      fill_normal(x);
      std::vector<float> before;
      int64_t position = 0;
      for (const int64_t rows : {1, 7, 16, 1, 12}) {
        const SeqSlice slice{.row = position, .rows = rows, .position = position, .pages = pages[0]};
        pool.store(world, x, {&slice, 1});
        position += rows;
        const std::vector<float> loaded = pool.load(world.kernels(), pages[0], position);
        ASSERT_TRUE(same_bits(before, std::span(loaded).first(before.size()))) << "earlier positions changed";
        before = loaded;
      }
      check_rounding(x, before, dim);
    }
}

TEST_P(Cache, SequencesDoNotTouchEachOther) {
  const std::array<int64_t, 3> lengths{9, 23, 4};
  const auto pages = deal_pages(lengths, 5, PageOrder::shuffled);
  const Pool pool(world.kernels(), kind(), shape(4, 28, 5), page_count(pages));
  // Row 0 of the batch belongs to nobody.
  const GuardedMatrix first(27, pool.cols()), second(11, pool.cols());
  fill_normal(first);
  fill_normal(second);
  const std::array start{SeqSlice{.row = 1, .rows = 22, .position = 0, .pages = pages[1]},
                         SeqSlice{.row = 23, .rows = 4, .position = 0, .pages = pages[0]}};
  const std::array more{SeqSlice{.row = 0, .rows = 5, .position = 4, .pages = pages[0]},
                        SeqSlice{.row = 5, .rows = 1, .position = 22, .pages = pages[1]},
                        SeqSlice{.row = 6, .rows = 4, .position = 0, .pages = pages[2]}};
  pool.store(world, first, start);
  pool.store(world, second, more);
  const auto check = [&](int seq, std::span<const std::pair<const GuardedMatrix*, int64_t>> rows) {
    const GuardedMatrix expected(static_cast<int64_t>(rows.size()), pool.cols());
    expected.fill([&](int64_t r, int64_t c) {
      const auto& [from, row] = rows[static_cast<size_t>(r)];
      return from->at(row, c);
    });
    check_rounding(expected, pool.load(world.kernels(), pages[static_cast<size_t>(seq)], expected.rows()), 28);
  };
  std::vector<std::pair<const GuardedMatrix*, int64_t>> rows;
  for (int64_t r = 23; r < 27; ++r) rows.emplace_back(&first, r);
  for (int64_t r = 0; r < 5; ++r) rows.emplace_back(&second, r);
  check(0, rows);
  rows.clear();
  for (int64_t r = 1; r < 23; ++r) rows.emplace_back(&first, r);
  rows.emplace_back(&second, 5);
  check(1, rows);
  rows.clear();
  for (int64_t r = 6; r < 10; ++r) rows.emplace_back(&second, r);
  check(2, rows);
}

// Two sequences share full pages of a prefix; what each appends is its own, also when a position is stored again.
TEST_P(Cache, SharedPagesStayAsTheyAre) {
  const int page_tokens = 5;
  const std::vector<PageId> a{2, 0, 1}, b{2, 0, 3};
  const Pool pool(world.kernels(), kind(), shape(2, 20, page_tokens), 4);
  const GuardedMatrix x(15, pool.cols()), other(5, pool.cols());
  fill_normal(x);
  fill_normal(other);
  const SeqSlice whole{.row = 0, .rows = 15, .position = 0, .pages = a};
  pool.store(world, x, {&whole, 1});
  const std::vector<float> before = pool.load(world.kernels(), a, 15);
  const SeqSlice branch{.row = 0, .rows = 5, .position = 10, .pages = b};
  pool.store(world, other, {&branch, 1});
  EXPECT_TRUE(same_bits(before, pool.load(world.kernels(), a, 15)));
  const std::vector<float> branched = pool.load(world.kernels(), b, 15);
  EXPECT_TRUE(same_bits(std::span(before).first(static_cast<size_t>(10 * pool.cols())),
                        std::span(branched).first(static_cast<size_t>(10 * pool.cols()))));
  pool.store(world, x, {&whole, 1});  // the same again: a position may be written twice (speculation takes back)
  EXPECT_TRUE(same_bits(before, pool.load(world.kernels(), a, 15)));
}

TEST_P(Cache, SpecialValuesSurvive) {
  const Pool pool(world.kernels(), kind(), shape(1, 37, 16), 1);
  const GuardedMatrix x(16, 37);
  fill_normal(x);
  for (int64_t c = 0; c < 37; ++c) {
    x.at(1, c) = 0.0f;
    x.at(2, c) = -0.0f;
    x.at(3, c) = static_cast<float>(c) * 1e-41f;
    x.at(4, c) = static_cast<float>(c) * 3e-8f;  // subnormal in f16
    x.at(5, c) = static_cast<float>(c) * 1500.0f;
    if (format() == Format::q8_0) continue;
    x.at(6, c) = std::bit_cast<float>(static_cast<uint32_t>(rng.next()));
    x.at(7, c) = static_cast<float>(c - 18) * 1e30f;
    x.at(8, c) = c % 2 == 0 ? HUGE_VALF : -HUGE_VALF;
    x.at(9, c) = c % 3 == 0 ? std::nanf("") : 1.0f;
    x.at(10, c) = std::bit_cast<float>(0x3f800000u + (static_cast<uint32_t>(c) << 11));  // ties of both roundings
  }
  const PageId page = 0;
  const SeqSlice slice{.row = 0, .rows = 16, .position = 0, .pages = {&page, 1}};
  pool.store(world, x, {&slice, 1});
  check_rounding(x, pool.load(world.kernels(), slice.pages, 16), 37);
}

TEST_P(Cache, ThreadsDoNotChangeBits) {
  const auto pages = deal_pages(std::array<int64_t, 1>{50}, 7, PageOrder::backwards);
  const CacheShape cache = shape(6, 28, 7);
  const GuardedMatrix x(50, 6 * 28);
  fill_normal(x);
  std::vector<float> expected;
  for (const int threads : {1, 2, 3, 4}) {
    World other(world.kernels(), threads);
    const Pool pool(world.kernels(), kind(), cache, page_count(pages));
    const SeqSlice slice{.row = 0, .rows = 50, .position = 0, .pages = pages[0]};
    pool.store(other, x, {&slice, 1});
    const std::vector<float> loaded = pool.load(world.kernels(), pages[0], 50);
    if (expected.empty()) expected = loaded;
    EXPECT_TRUE(same_bits(expected, loaded)) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Cache,
                         testing::Combine(testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                                          testing::ValuesIn(kCacheFormats),
                                          testing::Values(CacheKind::k, CacheKind::v)),
                         [](const auto& test) {
                           return set_name(std::get<0>(test.param)) + "_" +
                                  std::string(format_info(std::get<1>(test.param)).name) +
                                  (std::get<2>(test.param) == CacheKind::k ? "_k" : "_v");
                         });

}  // namespace
}  // namespace sigma::test
