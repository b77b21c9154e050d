// DiffQKV attention over a paged cache with two pools: one for K, one for V, each with its own heads, dimension and
// format. Page ids name a page in both pools.
//
// For query row r of a sequence (at position p = slice.position + r) and query head i of q_heads, with
// j_k = i * k_heads / q_heads and j_v = i * v_heads / q_heads (integer division: contiguous groups):
//     s[t] = scale * dot(q[r, i], key[t, j_k])           t = 0 .. p
//     a    = softmax(s)
//     out[r, i] = sum_t a[t] * V[t, j_v]                  [v_dim]
// key = K as cached, or with KeyExpansion: rope(E K[t, j_k], t).
// v_top > 0 (selective V): only the v_top positions with the largest s contribute (ties: the lower position), with the
// weights of the softmax over all positions, or over the kept ones with VWeights::kept.
//
// K is never expanded to V's head count: each K row is read once for the query heads that share it, each V row once for
// those that share it.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/format.h"
#include "tensor/tensor.h"

namespace sigma {

using PageId = int32_t;

enum class CacheKind : uint8_t { k, v };

// The formats a cache may have: f32, f16, bf16, q8_0 (blocks of 32 along dim, the last one padded where dim % 32 != 0).
struct CacheShape {
  int heads = 0;
  int dim = 0;
  Format format = Format::bf16;
  int page_tokens = 0;  // any number >= 1
};

// One layer's pool, as kernels see it.
struct PagedView {
  CacheShape shape;
  std::byte* data = nullptr;  // page 0 of this layer, 64-byte aligned
  int64_t page_stride = 0;    // bytes from one page of this layer to the next; a multiple of 64
  std::byte* page(PageId id) const { return data + id * page_stride; }
};

// Consecutive rows of one sequence in a batch.
struct SeqSlice {
  int64_t row = 0;  // first row of the batch that belongs to it
  int64_t rows = 0;
  int64_t position = 0;           // of its first row in the sequence
  std::span<const PageId> pages;  // covers positions [0, position + rows)
};

// Half-dim K, "after_expansion": the cache holds k [k_dim] unrotated; E brings it up to the query's dimension.
struct KeyExpansion {
  const float* matrix = nullptr;  // [q_dim, k_dim]
  ConstTensorView cos, sin;       // f32 [positions, q_dim / 2], for every cached position
};

enum class VWeights : uint8_t { all, kept };

// Where the time of calls goes, summed over threads and added to what is there. split: partial attention over stretches
// of the context (selective V: all scores). combine: merging their results (selective V: choosing rows and adding
// them).
struct AttentionTimes {
  int64_t split_ns = 0, combine_ns = 0;
};

struct AttentionArgs {
  TensorView out;     // f32 [rows, q_heads * v.shape.dim]
  ConstTensorView q;  // f32 [rows, q_heads * q_dim], rotated
  int q_heads = 0;
  int q_dim = 0;  // equals k.shape.dim unless expansion is set
  PagedView k, v;
  std::span<const SeqSlice> seqs;  // the rows of this call are already stored in k and v
  float scale = 1.0f;
  const KeyExpansion* expansion = nullptr;
  int64_t v_top = 0;  // 0: all
  VWeights v_weights = VWeights::all;
  AttentionTimes* times = nullptr;  // for measuring; the reference set leaves it alone
};

}  // namespace sigma
