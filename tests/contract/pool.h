// Cache pools for the contract tests: pages in guarded memory, with gaps between them that belong to nobody.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "contract/contract.h"

namespace sigma::test {

class Pool {
 public:
  Pool(const Kernels& kernels, CacheKind kind, const CacheShape& shape, int64_t pages)
      : kind_(kind),
        shape_(shape),
        pages_(pages),
        page_bytes_(round_up(kernels.page_bytes(kind, shape), 64)),
        stride_(page_bytes_ + 128),
        bytes_(static_cast<size_t>((pages - 1) * stride_ + page_bytes_)) {
    for (int64_t page = 0; page < pages; ++page)
      std::memset(bytes_.data() + page * stride_, 0, static_cast<size_t>(page_bytes_));
    for (int64_t page = 0; page + 1 < pages; ++page)
      std::memset(bytes_.data() + page * stride_ + page_bytes_, 0xff, static_cast<size_t>(stride_ - page_bytes_));
  }

  CacheKind kind() const { return kind_; }
  const CacheShape& shape() const { return shape_; }
  int64_t cols() const { return int64_t{shape_.heads} * shape_.dim; }
  PagedView view() const { return {shape_, bytes_.data(), stride_}; }
  bool intact() const {
    for (int64_t page = 0; page + 1 < pages_; ++page)
      if (!all_ones(bytes_.data() + page * stride_ + page_bytes_, stride_ - page_bytes_)) return false;
    return bytes_.intact();
  }

  void store(World& world, const GuardedMatrix& x, std::span<const SeqSlice> seqs) const {
    world.call([&](const Context& c) { c.k.kv_store(c, kind_, view(), x.view(), seqs); });
    EXPECT_TRUE(intact() && x.intact());
  }
  // Positions [0, count) as f32 [count, heads * dim].
  std::vector<float> load(const Kernels& kernels, std::span<const PageId> pages, int64_t count) const {
    const GuardedMatrix out(count, cols());
    kernels.kv_load(kind_, view(), {.row = 0, .rows = 0, .position = count, .pages = pages}, count, out.row(0));
    EXPECT_TRUE(out.intact());
    return out.values();
  }
  // Fills every slot of every page with NaN, as a broken sequence would have left them behind.
  void age(World& world) const {
    const GuardedMatrix nans(shape_.page_tokens, cols());
    for (PageId page = 0; page < pages_; ++page) {
      const SeqSlice slice{.row = 0, .rows = shape_.page_tokens, .position = 0, .pages = {&page, 1}};
      world.call([&](const Context& c) { c.k.kv_store(c, kind_, view(), nans.view(), {&slice, 1}); });
    }
    EXPECT_TRUE(intact());
  }

 private:
  CacheKind kind_;
  CacheShape shape_;
  int64_t pages_, page_bytes_, stride_;
  GuardedBytes bytes_;
};

// Which pages a sequence gets: its own run of ids forwards, backwards or shuffled among all sequences.
enum class PageOrder { forwards, backwards, shuffled };

// Page lists for sequences of the given lengths, all different ids, and how many ids that takes.
inline std::vector<std::vector<PageId>> deal_pages(std::span<const int64_t> lengths, int page_tokens, PageOrder order) {
  std::vector<std::vector<PageId>> lists;
  PageId next = 0;
  for (const int64_t length : lengths) {
    lists.emplace_back(static_cast<size_t>(ceil_div(length, page_tokens)));
    std::iota(lists.back().begin(), lists.back().end(), next);
    next += static_cast<PageId>(lists.back().size());
  }
  if (order == PageOrder::forwards) return lists;
  std::vector<PageId> ids(static_cast<size_t>(next));
  std::iota(ids.rbegin(), ids.rend(), 0);
  if (order == PageOrder::shuffled) {
    Rng rng(41);
    for (size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[rng.below(i)]);
  }
  for (auto& list : lists)
    for (PageId& id : list) id = ids[static_cast<size_t>(id)];
  return lists;
}

inline int64_t page_count(const std::vector<std::vector<PageId>>& lists) {
  return std::accumulate(lists.begin(), lists.end(), int64_t{0},
                         [](int64_t sum, const auto& list) { return sum + static_cast<int64_t>(list.size()); });
}

inline constexpr std::array kCacheFormats{Format::f32, Format::f16, Format::bf16, Format::q8_0};

}  // namespace sigma::test
