// The reference cache: plain [token][head][dim] in the pool's format (q8_0: blocks of 32 along dim, the last one padded
// with zeros), pages one after another.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace sigma::ref {

int64_t page_bytes(CacheKind kind, const CacheShape& shape);
// One head's row of one position, from and to `dim` floats.
void store_head(const PagedView& cache, const SeqSlice& seq, int64_t position, int head, const float* x);
void load_head(const PagedView& cache, const SeqSlice& seq, int64_t position, int head, float* out);

}  // namespace sigma::ref
