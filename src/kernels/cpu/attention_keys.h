// Scores: s[m][t] = scale * dot(q[m], K[t]) of query vectors against columns of K. A column is kLanes tokens of one
// block of kv_layout.h. Every score is one chain of operations along dim, so its bits depend on q[m] and K[t] alone.
#pragma once

#include "kernels/attention_plan.h"
#include "kernels/cpu/simd.h"

namespace sigma::SIGMA_ISA {

// Register tiles: rows by columns of vectors.
inline constexpr int kTileRows = kLanes == 16 ? 6 : 4;
inline constexpr int kTileCols = kLanes == 16 ? 4 : 2;

inline constexpr int kMaxColumns = kAttentionBlock + kTileCols;

// Columns that cover a run of positions; `first` is where the column's first lane lies, counted from the run's start
// (below 0 where a page's blocks begin before it). Lanes outside of the run hold other positions or nothing.
struct Columns {
  int count = 0;                        // a multiple of kTileCols: the last one is repeated
  const std::byte* block[kMaxColumns];  // of head 0
  int part[kMaxColumns];                // first lane within the block
  int first[kMaxColumns];
};

inline void find_columns(Columns& columns, const PagedView& cache, const KvLayout& layout, const PageId* pages,
                         int64_t begin, int64_t count) {
  int64_t page = begin / layout.page_tokens;
  int slot = static_cast<int>(begin % layout.page_tokens);
  int n = 0;
  for (int64_t t = 0; t < count; ++page, slot = 0) {
    const std::byte* data = cache.data + pages[page] * cache.page_stride;
    while (slot < layout.page_tokens && t < count) {
      const int lane = slot / kLanes * kLanes;
      columns.block[n] = data + slot / kKeyBlock * layout.block_bytes;
      columns.part[n] = lane % kKeyBlock;
      columns.first[n] = static_cast<int>(t) - (slot - lane);
      const int next = lane + kLanes < layout.page_tokens ? lane + kLanes : layout.page_tokens;
      t += next - slot;
      slot = next;
      ++n;
    }
  }
  for (; n % kTileCols != 0; ++n) {
    columns.block[n] = columns.block[n - 1];
    columns.part[n] = columns.part[n - 1];
    columns.first[n] = columns.first[n - 1];
  }
  columns.count = n;
}

// Query vectors as the dot products want them, `stride` bytes apart:
//   f32, f16: f32 [dim]      bf16: bf16 [dim / 2][2]
//   q8_0: i8 [padded_dim], then f32 scales [padded_dim / 32], then i32 -128 * sum of a block [padded_dim / 32]
struct Queries {
  std::byte* data = nullptr;
  int64_t stride = 0;
  Format format = Format::f32;
  int dim = 0;  // padded
};

inline int64_t query_bytes(Format format, int padded_dim) {
  const int64_t blocks = padded_dim / kQuantBlock;
  const int64_t bytes = format == Format::q8_0 ? padded_dim + 8 * blocks : padded_dim * 4;
  return (bytes + 63) / 64 * 64;
}

inline F32 load_up_to(const float* x, int n) { return n >= kLanes ? load(x) : load_n(x, n < 0 ? 0 : n); }

// One block of 32 of x (n of them there, the rest zero) as i8: x ~ scale * q. Returns the scale.
inline float quantise_block(int8_t* q, const float* x, int n) {
  F32 largest = zero_f32();
  for (int i = 0; i < kQuantBlock; i += kLanes) largest = max(abs(load_up_to(x + i, n - i)), largest);
  const float scale = max_of(largest) / 127.0f;
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  const F32 low = set(-127.0f), high = set(127.0f);
  for (int i = 0; i < kQuantBlock; i += kLanes) {
    const F32 v = load_up_to(x + i, n - i) * set(inverse);
    store_i8(q + i, to_i32(max(min(v, high), low)));  // NaN becomes 127: its scale is NaN or it was never right
  }
  return scale;
}

inline void store_query(const Queries& queries, int64_t vector, const float* x, int dim) {
  std::byte* out = queries.data + vector * queries.stride;
  if (queries.format == Format::q8_0) {
    auto* q = reinterpret_cast<int8_t*>(out);
    auto* scales = reinterpret_cast<float*>(out + queries.dim);
    auto* offsets = reinterpret_cast<int32_t*>(scales + queries.dim / kQuantBlock);
    for (int b = 0; b < queries.dim / kQuantBlock; ++b) {
      scales[b] = quantise_block(q + b * kQuantBlock, x + b * kQuantBlock, dim - b * kQuantBlock);
      int32_t sum = 0;
      for (int i = 0; i < kQuantBlock; ++i) sum += q[b * kQuantBlock + i];
      offsets[b] = -128 * sum;
    }
  } else if (queries.format == Format::bf16) {
    bf16 rounded[kLanes];
    for (int i = 0; i < queries.dim; i += kLanes) {
      store_bf16(rounded, load_up_to(x + i, dim - i));
      const int n = queries.dim - i < kLanes ? queries.dim - i : kLanes;
      for (int j = 0; j < n; ++j) reinterpret_cast<bf16*>(out)[i + j] = rounded[j];
    }
  } else {
    for (int i = 0; i < queries.dim; ++i) reinterpret_cast<float*>(out)[i] = x[i];
  }
}

// A tile of M vectors by N columns. s: [M] rows of s_stride floats, at the run's start; scores of column c go to
// s[m][first[c] ...], in order of columns, so that lanes beyond a page's end are overwritten by the next page's.
struct ScoreTile {
  const std::byte* q;
  int64_t q_stride;
  const std::byte* const* column;  // [N], at its first lane
  int64_t scale_offset;            // q8_0: from the column of lane 0 to its scales
  const int* part;
  const int* first;
  float* s;
  int64_t s_stride;
  int dim;  // padded
  float scale;
};

template <int M, int N>
inline void store_tile(const ScoreTile& t, const F32 (&acc)[M][N]) {
  const F32 scale = set(t.scale);
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) store(t.s + m * t.s_stride + t.first[c], acc[m][c] * scale);
  }
}

template <int M, int N>
inline void score_bf16(const ScoreTile& t) {
  F32 acc[M][N];
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) acc[m][c] = zero_f32();
  }
  for (int64_t p = 0; p < t.dim / 2; ++p) {
    I32 k[N];
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) k[c] = load_raw(t.column[c] + p * kKeyStep);
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      const I32 q = set_raw(t.q + m * t.q_stride + p * 4);
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) acc[m][c] = dot_bf16(acc[m][c], q, k[c]);
    }
  }
  store_tile<M, N>(t, acc);
}

struct KeyF32 {
  static constexpr int kStep = kKeyStep;
  static F32 read(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
};
struct KeyF16 {
  static constexpr int kStep = kKeyStep / 2;
  static F32 read(const std::byte* p) { return load_f16(reinterpret_cast<const f16*>(p)); }
};

template <class Key, int M, int N>
inline void score_f32(const ScoreTile& t) {
  F32 acc[M][N];
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) acc[m][c] = zero_f32();
  }
  for (int64_t i = 0; i < t.dim; ++i) {
    F32 k[N];
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) k[c] = Key::read(t.column[c] + i * Key::kStep);
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      const F32 q = set(reinterpret_cast<const float*>(t.q + m * t.q_stride)[i]);
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) acc[m][c] = fma(q, k[c], acc[m][c]);
    }
  }
  store_tile<M, N>(t, acc);
}

// Per block of 32: sum of (k + 128) q - 128 sum of q in integers, then s += k_scale q_scale * that.
template <int M, int N>
inline void score_q8(const ScoreTile& t) {
  F32 acc[M][N];
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) acc[m][c] = zero_f32();
  }
  for (int64_t b = 0; b < t.dim / kQuantBlock; ++b) {
    I32 sum[M][N];
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      const std::byte* scales = t.q + m * t.q_stride + t.dim;
      const I32 offset = set_raw(scales + (t.dim / kQuantBlock + b) * 4);
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) sum[m][c] = offset;
    }
    for (int64_t i = 0; i < kQuantBlock / 4; ++i) {
      I32 k[N];
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) k[c] = load_raw(t.column[c] + (b * (kQuantBlock / 4) + i) * kKeyStep);
      SIGMA_UNROLL
      for (int m = 0; m < M; ++m) {
        const I32 q = set_raw(t.q + m * t.q_stride + b * kQuantBlock + i * 4);
        SIGMA_UNROLL
        for (int c = 0; c < N; ++c) sum[m][c] = dot_u8s8(sum[m][c], k[c], q);
      }
    }
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) {
      const std::byte* block_scales = t.column[c] - t.part[c] * 4 + t.scale_offset + b * kKeyBlock * 2;
      const F32 k_scale = load_f16(reinterpret_cast<const f16*>(block_scales) + t.part[c]);
      SIGMA_UNROLL
      for (int m = 0; m < M; ++m) {
        const F32 q_scale = set(reinterpret_cast<const float*>(t.q + m * t.q_stride + t.dim)[b]);
        acc[m][c] = fma(to_f32(sum[m][c]), k_scale * q_scale, acc[m][c]);
      }
    }
  }
  store_tile<M, N>(t, acc);
}

template <int M>
inline void score_tile(Format format, const ScoreTile& t) {
  constexpr int kHalf = kTileCols / 2;  // q8_0 needs two accumulators per score
  switch (format) {
    case Format::bf16:
      return score_bf16<M, kTileCols>(t);
    case Format::f16:
      return score_f32<KeyF16, M, kTileCols>(t);
    case Format::q8_0: {
      score_q8<M, kHalf>(t);
      ScoreTile second = t;
      second.column += kHalf;
      second.part += kHalf;
      second.first += kHalf;
      return score_q8<M, kHalf>(second);
    }
    default:
      return score_f32<KeyF32, M, kTileCols>(t);
  }
}

inline void score_tile(int rows, Format format, const ScoreTile& t) {
  switch (rows) {
    case 1:
      return score_tile<1>(format, t);
    case 2:
      return score_tile<2>(format, t);
    case 3:
      return score_tile<3>(format, t);
    case 4:
      return score_tile<4>(format, t);
    case 5:
      return score_tile < kTileRows < 5 ? 1 : 5 > (format, t);
    default:
      return score_tile<kTileRows>(format, t);
  }
}

// Rows of the next tile when `left` are to be cut into as few and as equal tiles as can be.
inline int next_tile(int64_t left) {
  const int64_t tiles = (left + kTileRows - 1) / kTileRows;
  return static_cast<int>((left + tiles - 1) / tiles);
}

// Scores of vectors [first, first + count) of `queries` against all columns of one head; s: see ScoreTile.
inline void score_columns(const Queries& queries, int64_t first, int64_t count, const Columns& columns,
                          int64_t head_offset, const KvLayout& layout, float scale, float* s, int64_t s_stride) {
  const int lane_bytes = layout.format == Format::f16 ? 2 : 4;
  for (int c = 0; c < columns.count; c += kTileCols) {
    const std::byte* column[kTileCols];
    for (int i = 0; i < kTileCols; ++i)
      column[i] = columns.block[c + i] + head_offset + columns.part[c + i] * lane_bytes;
    for (int64_t m = 0; m < count;) {
      const int rows = next_tile(count - m);
      score_tile(rows, layout.format,
                 {.q = queries.data + (first + m) * queries.stride,
                  .q_stride = queries.stride,
                  .column = column,
                  .scale_offset = layout.scales,
                  .part = columns.part + c,
                  .first = columns.first + c,
                  .s = s + m * s_stride,
                  .s_stride = s_stride,
                  .dim = layout.padded_dim,
                  .scale = scale});
      m += rows;
    }
  }
}

}  // namespace sigma::SIGMA_ISA
