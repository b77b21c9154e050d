// Scores: s[m][t] = dot(q[m], K[t]) of query vectors against strips of K. A strip is as many tokens of one block of
// kv_layout.h as a register tile takes in. Every score is one chain of operations along dim, so its bits depend on q[m]
// and K[t] alone.
#pragma once

#include "kernels/attention_plan.h"
#include "kernels/cpu/simd.h"

namespace sigma::SIGMA_ISA {

// Register tiles: rows (query vectors) by columns (vectors of tokens). Few columns, so that one tile takes in all the
// query heads that share a K head: a strip that several tiles read one after another leaves memory idle meanwhile.
inline constexpr int kScoreRows = kLanes == 16 ? 12 : 4;
inline constexpr int kScoreColumns = 2;

// Columns of a tile over blocks of key_block tokens. q8_0 needs two accumulators per score.
inline int strip_columns(const KvLayout& layout) {
  const int wide = layout.format == Format::q8_0 && kLanes != 16 ? 1 : kScoreColumns, all = layout.key_block / kLanes;
  return wide < all ? wide : all;
}

// A strip's keys and (q8_0) scales, of head 0; `first`: its first lane, counted from the start of a run of positions,
// below 0 where the strip begins before it. Lanes outside of the run hold other positions or nothing.
struct Strip {
  const std::byte *keys, *scales;
  int64_t first;
};
struct Strips {
  int count = 0;
  Strip strip[kAttentionBlock];
};

// Strips that cover positions [begin, begin + count).
inline void find_strips(Strips& strips, const PagedView& cache, const KvLayout& layout, const PageId* pages,
                        int64_t begin, int64_t count) {
  const int width = strip_columns(layout) * kLanes, lane_bytes = layout.format == Format::f16 ? 2 : 4;
  int64_t page = begin / layout.page_tokens, slot = begin % layout.page_tokens;
  strips.count = 0;
  for (int64_t t = 0; t < count; ++page, slot = 0) {
    const std::byte* data = cache.data + pages[page] * cache.page_stride;
    while (slot < layout.page_tokens && t < count) {
      const int64_t start = slot / width * width, lane = start % layout.key_block;
      const std::byte* block = data + start / layout.key_block * layout.block_bytes;
      strips.strip[strips.count++] = {
          .keys = block + lane * lane_bytes, .scales = block + layout.scales + lane * 2, .first = t - (slot - start)};
      const int64_t next = start + width < layout.page_tokens ? start + width : layout.page_tokens;
      t += next - slot;
      slot = next;
    }
  }
}

// Query vectors as the dot products want them, `stride` bytes apart:
//   f32, f16: f32 [dim]      bf16: bf16 [dim / 2][2], or f32 [dim] where the ISA has no products of bf16
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
  } else if (kBf16Products && queries.format == Format::bf16) {
    bf16 rounded[kLanes];
    for (int i = 0; i < queries.dim; i += kLanes) {
      store_bf16(rounded, load_up_to(x + i, dim - i));
      const int n = queries.dim - i < kLanes ? queries.dim - i : kLanes;
      for (int j = 0; j < n; ++j) reinterpret_cast<bf16*>(out)[i + j] = rounded[j];
    }
  } else {
    for (int i = 0; i < queries.dim; ++i) reinterpret_cast<float*>(out)[i] = i < dim ? x[i] : 0.0f;
  }
}

// Vectors against one head of a strip.
struct ScoreTile {
  const std::byte* q;
  int64_t q_stride;
  int64_t head_offset;  // bytes
  int64_t step_bytes, scale_step_bytes;
  int64_t dim;  // padded
};

// Strips that a tile of vectors is multiplied with before their scores are taken in.
inline constexpr int kStrips = 2;

template <int M>
inline constexpr bool kFetchesAhead = kFetchesAll || M * 64 / (4 * kLanes) >= kFarDots;

// Dot products of one strip: acc[m][c].
struct DotBf16 {
  static constexpr int kRows = kScoreRows;
  template <int M, int N>
  static void run(const ScoreTile& t, const Strip& strip, F32 (&acc)[M][N]) {
    const std::byte* keys = strip.keys + t.head_offset;
    for (int64_t p = 0; p < t.dim / 2; ++p, keys += t.step_bytes) {
      I32 k[N];
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) k[c] = in_order(load_raw(keys + c * kLanes * 4));
      if constexpr (kFetchesAhead<M>) {
        SIGMA_UNROLL
        for (int c = 0; c < N; ++c) prefetch_far(keys + c * kLanes * 4 + kFarBytes);
      }
      if constexpr (kBf16Products) {
        SIGMA_UNROLL
        for (int m = 0; m < M; ++m) {
          const I32 q = set_raw(t.q + m * t.q_stride + p * 4);
          SIGMA_UNROLL
          for (int c = 0; c < N; ++c) acc[m][c] = dot_bf16(acc[m][c], q, k[c]);
        }
      } else {
        SIGMA_UNROLL
        for (int m = 0; m < M; ++m) {
          const auto* q = reinterpret_cast<const float*>(t.q + m * t.q_stride) + 2 * p;
          SIGMA_UNROLL
          for (int c = 0; c < N; ++c) acc[m][c] = fma(set(q[0]), first_of(k[c]), acc[m][c]);
          SIGMA_UNROLL
          for (int c = 0; c < N; ++c) acc[m][c] = fma(set(q[1]), second_of(k[c]), acc[m][c]);
        }
      }
    }
  }
};

template <class Element>
struct DotF32 {
  static constexpr int kRows = kScoreRows;
  template <int M, int N>
  static void run(const ScoreTile& t, const Strip& strip, F32 (&acc)[M][N]) {
    const std::byte* keys = strip.keys + t.head_offset;
    for (int64_t i = 0; i < t.dim; ++i, keys += t.step_bytes) {
      F32 k[N];
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) k[c] = widen(reinterpret_cast<const Element*>(keys) + c * kLanes);
      SIGMA_UNROLL
      for (int m = 0; m < M; ++m) {
        const F32 q = set(reinterpret_cast<const float*>(t.q + m * t.q_stride)[i]);
        SIGMA_UNROLL
        for (int c = 0; c < N; ++c) acc[m][c] = fma(q, k[c], acc[m][c]);
      }
    }
  }
  static F32 widen(const float* p) { return load(p); }
  static F32 widen(const f16* p) { return load_f16(p); }
};

// Per block of 32: sum of (k + 128) q - 128 sum of q in integers, then acc += k_scale q_scale * that.
struct DotQ8 {
  static constexpr int kRows = kLanes == 16 ? 8 : 4;
  template <int M, int N>
  static void run(const ScoreTile& t, const Strip& strip, F32 (&acc)[M][N]) {
    const std::byte *keys = strip.keys + t.head_offset, *scales = strip.scales + t.head_offset;
    const int64_t blocks = t.dim / kQuantBlock;
    for (int64_t b = 0; b < blocks; ++b, scales += t.scale_step_bytes) {
      I32 sum[M][N];
      SIGMA_UNROLL
      for (int m = 0; m < M; ++m) {
        const I32 offset = set_raw(t.q + m * t.q_stride + t.dim + (blocks + b) * 4);
        SIGMA_UNROLL
        for (int c = 0; c < N; ++c) sum[m][c] = offset;
      }
      for (int64_t i = 0; i < kQuantBlock / 4; ++i, keys += t.step_bytes) {
        I32 k[N];
        SIGMA_UNROLL
        for (int c = 0; c < N; ++c) k[c] = in_order(load_raw(keys + c * kLanes * 4));
        if constexpr (kFetchesAhead<M>) {
          SIGMA_UNROLL
          for (int c = 0; c < N; ++c) prefetch_far(keys + c * kLanes * 4 + kFarBytes);
        }
        SIGMA_UNROLL
        for (int m = 0; m < M; ++m) {
          const I32 q = set_raw(t.q + m * t.q_stride + b * kQuantBlock + i * 4);
          SIGMA_UNROLL
          for (int c = 0; c < N; ++c) sum[m][c] = dot_u8s8(sum[m][c], k[c], q);
        }
      }
      if constexpr (kFetchesAhead<M>) prefetch_far(scales + kFarBytes);
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) {
        const F32 k_scale = load_f16(reinterpret_cast<const f16*>(scales) + c * kLanes);
        SIGMA_UNROLL
        for (int m = 0; m < M; ++m) {
          const F32 q_scale = set(reinterpret_cast<const float*>(t.q + m * t.q_stride + t.dim)[b]);
          acc[m][c] = fma(to_f32(sum[m][c]), k_scale * q_scale, acc[m][c]);
        }
      }
    }
  }
};

// s: [strips][M][N * kLanes].
template <class Dot, int N, int M>
inline void score_strips(const ScoreTile& t, const Strip* strip, const Strip* end, float* s) {
  for (; strip < end; ++strip, s += M * N * kLanes) {
    F32 acc[M][N];
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) acc[m][c] = zero_f32();
    }
    Dot::template run<M, N>(t, *strip, acc);
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) store(s + (m * N + c) * kLanes, acc[m][c]);
    }
  }
}

// As many rows as `rows` says.
template <class Dot, int N, int M = 1>
inline void score_rows(int rows, const ScoreTile& t, const Strip* strip, const Strip* end, float* s) {
  if constexpr (M < Dot::kRows) {
    if (rows > M) return score_rows<Dot, N, M + 1>(rows, t, strip, end, s);
  }
  score_strips<Dot, N, M>(t, strip, end, s);
}

// `count` vectors, cut into as few and as equal tiles as can be; strips are read by all of them before the next.
template <class Dot, int N, class Take>
inline void score_vectors(int64_t count, const ScoreTile& all, const Strips& strips, const Take& take) {
  alignas(64) float s[kStrips * Dot::kRows * N * kLanes];
  const int64_t tiles = (count + Dot::kRows - 1) / Dot::kRows;
  const Strip* const strips_end = strips.strip + strips.count;
  for (const Strip* strip = strips.strip; strip < strips_end; strip += kStrips) {
    const Strip* const end = strip + kStrips < strips_end ? strip + kStrips : strips_end;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = tile * count / tiles, rows = (tile + 1) * count / tiles - first;
      ScoreTile t = all;
      t.q += first * t.q_stride;
      score_rows<Dot, N>(static_cast<int>(rows), t, strip, end, s);
      const float* scores = s;
      for (const Strip* one = strip; one < end; ++one, scores += rows * N * kLanes)
        take(first, rows, one->first, scores);
    }
  }
}

template <class Dot, class Take>
inline void score_vectors(int columns, int64_t count, const ScoreTile& all, const Strips& strips, const Take& take) {
  if (columns == kScoreColumns)
    score_vectors<Dot, kScoreColumns>(count, all, strips, take);
  else
    score_vectors<Dot, 1>(count, all, strips, take);
}

// Vectors [first, first + count) of `queries` against all strips of one head: take(i, n, the strip's first lane,
// scores) for vectors [first + i, first + i + n), a strip's scores of each after those of the one before; strips in
// order.
template <class Take>
inline void score(const Queries& queries, int64_t first, int64_t count, const Strips& strips, int64_t head_offset,
                  const KvLayout& layout, const Take& take) {
  const ScoreTile t{.q = queries.data + first * queries.stride,
                    .q_stride = queries.stride,
                    .head_offset = head_offset,
                    .step_bytes = layout.key_step,
                    .scale_step_bytes = layout.key_block * 2,
                    .dim = layout.padded_dim};
  switch (layout.format) {
    case Format::bf16:
      return score_vectors<DotBf16>(strip_columns(layout), count, t, strips, take);
    case Format::f16:
      return score_vectors<DotF32<f16>>(strip_columns(layout), count, t, strips, take);
    case Format::q8_0:
      return score_vectors<DotQ8>(strip_columns(layout), count, t, strips, take);
    default:
      return score_vectors<DotF32<float>>(strip_columns(layout), count, t, strips, take);
  }
}

}  // namespace sigma::SIGMA_ISA
