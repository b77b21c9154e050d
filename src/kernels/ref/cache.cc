#include "kernels/ref/cache.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "base/numeric.h"

namespace sigma::ref {

namespace {

constexpr int64_t kMaxBlock = 32;  // elements of the largest block a cache format has

int64_t head_bytes(const CacheShape& shape) {
  return format_row_bytes(shape.format, round_up(shape.dim, format_info(shape.format).block_elements));
}

std::byte* head_at(const PagedView& cache, const SeqSlice& seq, int64_t position, int head) {
  const CacheShape& shape = cache.shape;
  const auto page = static_cast<size_t>(position / shape.page_tokens);
  SIGMA_CHECK_LT(page, seq.pages.size());
  const int64_t slot = position % shape.page_tokens;
  return cache.page(seq.pages[page]) + (slot * shape.heads + head) * head_bytes(shape);
}

}  // namespace

int64_t page_bytes(CacheKind, const CacheShape& shape) {
  SIGMA_CHECK_LE(format_info(shape.format).block_elements, kMaxBlock);
  return round_up(shape.page_tokens * shape.heads * head_bytes(shape), static_cast<int64_t>(kCacheLine));
}

void store_head(const PagedView& cache, const SeqSlice& seq, int64_t position, int head, const float* x) {
  const FormatInfo& format = format_info(cache.shape.format);
  const int64_t dim = cache.shape.dim, whole = dim / format.block_elements * format.block_elements;
  std::byte* target = head_at(cache, seq, position, head);
  format.quantise(x, target, whole);
  if (whole == dim) return;
  float padded[kMaxBlock] = {};
  std::copy(x + whole, x + dim, padded);
  format.quantise(padded, target + format_row_bytes(format.format, whole), format.block_elements);
}

void load_head(const PagedView& cache, const SeqSlice& seq, int64_t position, int head, float* out) {
  const FormatInfo& format = format_info(cache.shape.format);
  const int64_t dim = cache.shape.dim, whole = dim / format.block_elements * format.block_elements;
  const std::byte* source = head_at(cache, seq, position, head);
  format.dequantise(source, out, whole);
  if (whole == dim) return;
  float padded[kMaxBlock];
  format.dequantise(source + format_row_bytes(format.format, whole), padded, format.block_elements);
  std::copy(padded, padded + (dim - whole), out + whole);
}

}  // namespace sigma::ref
