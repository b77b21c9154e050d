// How the pages of the two pools lie in memory: shared by kv_store and attention of every CPU kernel set. PODs only;
// the sources that are compiled per ISA see the numbers and none of the code that derives them.
//
// A page is [heads][head_bytes]. Within a head of the K pool, blocks of B tokens, so that a vector instruction advances
// as many scores as it has lanes and no sum across lanes is needed. B is what a register tile takes in at once
// (32), so that a head is read front to back, which is what prefetchers do best; 16 where that does not divide a page:
//     f32, f16   [blocks][dim][B]
//     bf16       [blocks][dim / 2][B][2]
//     q8_0       [blocks]: values + 128 as u8 [padded_dim / 4][B][4], then scales f16 [padded_dim / 32][B]
// Within a head of the V pool, plain rows, so that single rows can be fetched:
//     f32, f16, bf16   [tokens][padded_dim]
//     q8_0             values i8 [tokens][padded_dim], then scales f16 [tokens][padded_dim / 32]
// Padding elements are zero.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace sigma {

inline constexpr int kQuantBlock = 32;  // elements under one scale of q8_0

struct KvLayout {
  Format format = Format::f32;
  int heads = 0, dim = 0, padded_dim = 0, page_tokens = 0;
  int key_block = 0;        // K: B above
  int64_t key_step = 0;     // K: bytes of one step along dim (one, two or four elements, as above) of a block
  int64_t block_bytes = 0;  // K: B tokens of a head, a multiple of 64
  int64_t row_bytes = 0;    // V: the values of one token of one head
  int64_t scales = 0;       // q8_0: where the scales begin, in bytes from the start of the block (K) or head (V)
  int64_t head_bytes = 0;   // a multiple of 64
};

KvLayout kv_layout(CacheKind kind, const CacheShape& shape);
int64_t kv_page_bytes(CacheKind kind, const CacheShape& shape);

// Checks a kv_store call: shapes, and that every slice's pages reach its last position.
void check_kv_store(const KvLayout& layout, const ConstTensorView& x, std::span<const SeqSlice> seqs);

// The kernel set's kv_load for this layout.
void load_kv_rows(CacheKind kind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out);

}  // namespace sigma
