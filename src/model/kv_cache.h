// The paged cache: two pools, K and V, each with its own heads, dimension and format. One page id names a page in both
// pools of every layer. The layout inside a page belongs to the kernel set.
#pragma once

#include <optional>
#include <vector>

#include "kernels/kernels.h"
#include "model/config.h"

namespace sigma {

struct CacheOptions {
  Format k_format = Format::bf16;  // f32, f16, bf16 or q8_0
  Format v_format = Format::bf16;
  int page_tokens = 256;
  int64_t tokens = 0;  // capacity, rounded up to whole pages
};

class KvCache {
 public:
  // Error when this much memory cannot be had (said before anything is allocated).
  KvCache(const Kernels& kernels, const ModelConfig& config, const CacheOptions& options);

  const PagedView& k(int layer) const { return k_views_[static_cast<size_t>(layer)]; }
  const PagedView& v(int layer) const { return v_views_[static_cast<size_t>(layer)]; }
  int page_tokens() const { return options_.page_tokens; }
  const CacheOptions& options() const { return options_; }

  // A page with one reference; none when all are taken.
  std::optional<PageId> allocate();
  void retain(PageId page);   // one reference more
  void release(PageId page);  // one less; the last gives the page back
  int references(PageId page) const { return references_[static_cast<size_t>(page)]; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t total_pages() const { return static_cast<int64_t>(references_.size()); }
  // Copies the contents of a page, both pools, all layers.
  void copy_page(PageId from, PageId to);

  // Bytes that one token takes in a pool, all layers, page padding included.
  static double bytes_per_token(const Kernels& kernels, const ModelConfig& config, const CacheOptions& options,
                                CacheKind kind);

 private:
  CacheOptions options_;
  Buffer k_pool_, v_pool_;                    // [layer][page]
  std::vector<PagedView> k_views_, v_views_;  // by layer
  std::vector<int> references_;
  std::vector<PageId> free_;
};

}  // namespace sigma
