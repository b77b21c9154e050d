#include "bench/efficiency/rings.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace sigma::bench {

namespace {

constexpr uint64_t kNoise = 1 << 20;

// Rows of one page, [kPageTokens, width]: a slow part that is kept from token to token, noise, a mean per channel, all
// scaled per channel. copies: each head's rows stand `copies` times side by side.
class Contents {
 public:
  Contents(int64_t heads, int64_t dim, int copies, uint64_t seed)
      : heads_(heads), dim_(dim), copies_(copies), noise_(seed), slow_(static_cast<size_t>(heads * dim)) {
    Rng rng(seed + 1);
    for (int64_t i = 0; i < heads * dim; ++i) {
      scale_.push_back(static_cast<float>(std::exp(0.5 * rng.normal())));
      mean_.push_back(static_cast<float>(0.5 * rng.normal()));
    }
  }

  void page(float* rows) {
    constexpr float kKeep = 0.9f, kNew = 0.436f;  // kKeep^2 + kNew^2 = 1
    for (int64_t t = 0; t < kPageTokens; ++t)
      for (int64_t h = 0; h < heads_; ++h, rows += dim_) {
        if (h % copies_ > 0) {
          std::memcpy(rows, rows - dim_, static_cast<size_t>(dim_) * sizeof(float));
          continue;
        }
        const float *change = noise_.draw(dim_), *own = noise_.draw(dim_);
        for (int64_t i = 0, c = h * dim_; i < dim_; ++i, ++c) {
          const auto at = static_cast<size_t>(c);
          slow_[at] = kKeep * slow_[at] + kNew * change[i];
          rows[i] = scale_[at] * (0.8f * slow_[at] + 0.6f * own[i]) + mean_[at];
        }
      }
  }

 private:
  int64_t heads_, dim_;
  int copies_;
  Noise noise_;
  std::vector<float> slow_, scale_, mean_;
};

}  // namespace

Noise::Noise(uint64_t seed) : values_(2 * kNoise), rng_(seed) {
  for (float& x : values_) x = static_cast<float>(rng_.normal());
}

const float* Noise::draw(int64_t count) {
  SIGMA_CHECK_LE(count, static_cast<int64_t>(kNoise));
  return values_.data() + rng_.below(kNoise);
}

std::vector<std::vector<PageId>> sequence_pages(int64_t batch, int64_t tokens) {
  std::vector<std::vector<PageId>> pages(static_cast<size_t>(batch));
  PageId next = 0;
  for (auto& list : pages)
    for (int64_t t = 0; t < tokens; t += kPageTokens) list.push_back(next++);
  return pages;
}

CacheRing::CacheRing(const Kernels& kernels, ThreadPool& threads, CacheKind kind, const CacheShape& shape,
                     int64_t batch, int64_t tokens, int64_t slots, int copies) {
  const int64_t page = round_up(kernels.page_bytes(kind, shape), static_cast<int64_t>(kCacheLine));
  const int64_t pages = ceil_div(tokens, kPageTokens) * batch;
  memory_ = Buffer(static_cast<size_t>(slots * pages * page));
  for (int64_t i = 0; i < slots; ++i) views_.push_back({shape, memory_.data() + i * pages * page, page});
  fill(kernels, threads, kind, tokens, batch, copies);
}

const PagedView& CacheRing::next() {
  turn_ = (turn_ + 1) % views_.size();
  return views_[turn_];
}

// The first sequence of the first buffer is made; the others are copies that begin at another page, so that sequences
// and buffers have nothing in common at the same position.
void CacheRing::fill(const Kernels& kernels, ThreadPool& threads, CacheKind kind, int64_t tokens, int64_t batch,
                     int copies) {
  const PagedView& first = views_[0];
  const int64_t pages = ceil_div(tokens, kPageTokens), width = int64_t{first.shape.heads} * first.shape.dim;
  Contents contents(first.shape.heads, first.shape.dim, copies, kind == CacheKind::k ? 7 : 11);
  std::vector<float> rows(static_cast<size_t>(kPageTokens * width));
  Arena scratch;
  const Context context{kernels, threads, scratch};
  const std::vector<PageId> own = sequence_pages(1, tokens)[0];
  for (int64_t i = 0; i < pages; ++i) {
    contents.page(rows.data());
    const SeqSlice slice{.row = 0, .rows = kPageTokens, .position = i * kPageTokens, .pages = own};
    kernels.kv_store(context, kind, first, view_of(static_cast<const float*>(rows.data()), kPageTokens, width),
                     {&slice, 1});
  }
  const int64_t total = slots() * batch * pages;
  threads.run(total - pages, [&](int64_t task) {
    const int64_t i = pages + task, sequence = i / pages;
    std::byte* to = memory_.data() + i * first.page_stride;
    std::memcpy(to, first.page(static_cast<PageId>((i % pages + sequence) % pages)),
                static_cast<size_t>(first.page_stride));
  });
}

MatrixRing::MatrixRing(const Kernels& kernels, ThreadPool& threads, Format format, int64_t rows, int64_t cols,
                       int64_t count) {
  constexpr int64_t kRows = 64;  // that are different
  std::vector<float> values(static_cast<size_t>(cols));
  source_.resize(static_cast<size_t>(kRows * format_row_bytes(format, cols)));
  Rng rng(17);
  for (int64_t r = 0; r < kRows; ++r) {
    for (float& x : values) x = static_cast<float>(0.02 * rng.normal());
    format_info(format).quantise(values.data(), source_.data() + r * format_row_bytes(format, cols), cols);
  }
  for (int64_t r = 0; r < rows; ++r) order_.push_back(static_cast<int32_t>(r % kRows));
  for (int64_t i = 0; i < count; ++i)
    matrices_.push_back(kernels.pack(threads, {format, rows, cols, source_.data(), order_}));
}

}  // namespace sigma::bench
