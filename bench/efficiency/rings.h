// Rings of buffers that stand for the layers of a model: caches and weights that every use finds outside of all
// processor caches, since more than these hold is used before its turn comes again. One layer used again and again
// would be read from a cache; the caches of all layers together would not fit a machine.
#pragma once

#include <vector>

#include "base/memory.h"
#include "base/rng.h"
#include "bench/efficiency/plan.h"
#include "kernels/kernels.h"

namespace sigma::bench {

// Numbers to draw rows from: normal ones, a new place for every draw.
class Noise {
 public:
  explicit Noise(uint64_t seed);
  const float* draw(int64_t count);  // count <= 2^20

 private:
  std::vector<float> values_;
  Rng rng_;
};

// Caches of one kind for `batch` sequences of up to `tokens` tokens. Pages of sequence s: [s * pages, (s + 1) * pages).
//
// Contents: keys and values change slowly along the context (a part stays for some ten tokens), differ in scale between
// channels, and share a mean, as those of trained models do; a few positions stand out for a query. No two pages are
// the same. Speed of dense attention does not depend on any of it, the choice of rows with selective V does.
class CacheRing {
 public:
  CacheRing(const Kernels& kernels, ThreadPool& threads, CacheKind kind, const CacheShape& shape, int64_t batch,
            int64_t tokens, int64_t slots, int copies = 1);
  // The buffer whose turn it is.
  const PagedView& next();
  int64_t slots() const { return static_cast<int64_t>(views_.size()); }
  const PagedView& slot(int64_t i) const { return views_[static_cast<size_t>(i)]; }

 private:
  void fill(const Kernels& kernels, ThreadPool& threads, CacheKind kind, int64_t tokens, int64_t batch, int copies);
  Buffer memory_;
  std::vector<PagedView> views_;
  size_t turn_ = 0;
};

std::vector<std::vector<PageId>> sequence_pages(int64_t batch, int64_t tokens);

// Matrices of one shape and format with random weights, packed.
class MatrixRing {
 public:
  MatrixRing(const Kernels& kernels, ThreadPool& threads, Format format, int64_t rows, int64_t cols, int64_t count);
  const PackedMatrix& next() { return matrices_[turn_ = (turn_ + 1) % matrices_.size()]; }

 private:
  std::vector<std::byte> source_;  // kernel sets may use it in place
  std::vector<int32_t> order_;
  std::vector<PackedMatrix> matrices_;
  size_t turn_ = 0;
};

}  // namespace sigma::bench
