#include "model/kv_cache.h"

#include <cstring>

#include "base/error.h"

namespace sigma {

namespace {

CacheShape shape_of(const ModelConfig& config, const CacheOptions& options, CacheKind kind) {
  const AttentionShape& a = config.attn;
  if (kind == CacheKind::k) return {a.k_heads, a.k_dim, options.k_format, options.page_tokens};
  return {a.v_heads, a.v_dim, options.v_format, options.page_tokens};
}

int64_t page_stride(const Kernels& kernels, CacheKind kind, const CacheShape& shape) {
  return round_up(kernels.page_bytes(kind, shape), static_cast<int64_t>(kCacheLine));
}

std::vector<PagedView> layer_views(const Buffer& pool, const CacheShape& shape, int64_t stride, int64_t pages,
                                   int layers) {
  std::vector<PagedView> views;
  views.reserve(static_cast<size_t>(layers));
  for (int i = 0; i < layers; ++i) views.push_back({shape, pool.data() + i * pages * stride, stride});
  return views;
}

}  // namespace

KvCache::KvCache(const Kernels& kernels, const ModelConfig& config, const CacheOptions& options) : options_(options) {
  SIGMA_CHECK(options.page_tokens >= 1);
  SIGMA_CHECK(options.tokens >= 0);
  const int64_t pages = ceil_div(options.tokens, options.page_tokens);
  const CacheShape k_shape = shape_of(config, options, CacheKind::k);
  const CacheShape v_shape = shape_of(config, options, CacheKind::v);
  const int64_t k_stride = page_stride(kernels, CacheKind::k, k_shape);
  const int64_t v_stride = page_stride(kernels, CacheKind::v, v_shape);
  const double bytes = static_cast<double>(pages) * config.layers * static_cast<double>(k_stride + v_stride);
  if (bytes > 0x1p62) throw Error("KV cache", "a size that fits an address space", fmt::format("{:.3g} bytes", bytes));
  require_memory(static_cast<uint64_t>(bytes), fmt::format("KV cache of {} tokens", options.tokens));
  k_pool_ = Buffer(static_cast<size_t>(pages * config.layers * k_stride));
  v_pool_ = Buffer(static_cast<size_t>(pages * config.layers * v_stride));
  k_views_ = layer_views(k_pool_, k_shape, k_stride, pages, config.layers);
  v_views_ = layer_views(v_pool_, v_shape, v_stride, pages, config.layers);
  references_.assign(static_cast<size_t>(pages), 0);
  for (int64_t page = pages; page > 0; --page) free_.push_back(static_cast<PageId>(page - 1));
}

std::optional<PageId> KvCache::allocate() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(page)] = 1;
  return page;
}

void KvCache::retain(PageId page) {
  SIGMA_CHECK(references(page) > 0);
  ++references_[static_cast<size_t>(page)];
}

void KvCache::release(PageId page) {
  SIGMA_CHECK(references(page) > 0);
  if (--references_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

void KvCache::copy_page(PageId from, PageId to) {
  for (const auto* views : {&k_views_, &v_views_})
    for (const PagedView& view : *views)
      std::memcpy(view.page(to), view.page(from), static_cast<size_t>(view.page_stride));
}

double KvCache::bytes_per_token(const Kernels& kernels, const ModelConfig& config, const CacheOptions& options,
                                CacheKind kind) {
  const int64_t page = page_stride(kernels, kind, shape_of(config, options, kind));
  return static_cast<double>(page) * config.layers / options.page_tokens;
}

}  // namespace sigma
