// Values: o[m] = o[m] * factor[m] + sum_t p[m][t] V[t] for the vectors m that share a V head.
// A step is what one instruction per vector takes in: two tokens where V is bf16 (p rounded to bf16 pairs), else one (p
// in f32). Accumulators of bf16 lie as the unpack instructions leave them: within each 2 * kLanes elements, the first
// vector holds elements {0-3, 8-11, ...}, the second {4-7, 12-15, ...}; store_output puts them back.
#pragma once

#include "kernels/cpu/attention_keys.h"

namespace sigma::SIGMA_ISA {

template <int n>
struct Constant {
  static constexpr int value = n;
};

// Where V rows lie: values, and scales where the format is q8_0.
struct ValueRows {
  const std::byte* row[kAttentionBlock];
  const std::byte* scales[kAttentionBlock];
};

inline void find_rows(ValueRows& rows, const PagedView& cache, const KvLayout& layout, const PageId* pages,
                      int64_t begin, int64_t count, int64_t head_offset) {
  int64_t page = begin / layout.page_tokens;
  int slot = static_cast<int>(begin % layout.page_tokens);
  const int64_t scale_row = layout.padded_dim / kQuantBlock * 2;
  for (int64_t t = 0; t < count; ++page, slot = 0) {
    const std::byte* head = cache.data + pages[page] * cache.page_stride + head_offset;
    for (; slot < layout.page_tokens && t < count; ++slot, ++t) {
      rows.row[t] = head + slot * layout.row_bytes;
      rows.scales[t] = head + layout.scales + slot * scale_row;
    }
  }
}

// Sources of a step's vectors, from one element of the rows on. offset: bytes to it from where the rows point.
struct PairsBf16 {
  static constexpr bool kPairs = true;
  const std::byte* const* row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const std::byte *a = row[2 * step] + offset, *b = row[2 * step + 1] + offset;
    SIGMA_UNROLL
    for (int i = 0; i < N / 2; ++i) {
      const I32 x = load_raw(a + i * kLanes * 4), y = load_raw(b + i * kLanes * 4);
      v[2 * i] = as_f32(unpack_low(x, y));
      v[2 * i + 1] = as_f32(unpack_high(x, y));
    }
  }
};
struct RowsF32 {
  static constexpr bool kPairs = false;
  const std::byte* const* row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const float*>(row[step] + offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load(x + i * kLanes);
  }
};
struct RowsF16 {
  static constexpr bool kPairs = false;
  const std::byte* const* row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const f16*>(row[step] + offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load_f16(x + i * kLanes);
  }
};
struct RowsQ8 {
  static constexpr bool kPairs = false;
  const std::byte* const* row;
  const std::byte* const* scales;
  int64_t offset, scale_offset;
  int element;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const int8_t*>(row[step] + offset);
    const auto* scale = reinterpret_cast<const f16*>(scales[step] + scale_offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load_i8(x + i * kLanes) * set_f16(scale + (element + i * kLanes) / kQuantBlock);
  }
};
// Vectors as another source left them, `stride` floats from step to step.
template <bool pairs>
struct Staged {
  static constexpr bool kPairs = pairs;
  const float* data;
  int64_t stride;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load(data + step * stride + i * kLanes);
  }
};

// p: rows of p_stride bytes, 4 bytes per step; o: rows of o_stride floats; factor: one per row.
struct ValueTile {
  const std::byte* p;
  int64_t p_stride;
  float* o;
  int64_t o_stride;
  const float* factor;
  int64_t begin, end;  // steps
};

template <int M, int N, class Source>
inline void accumulate(const ValueTile& t, const Source& source) {
  F32 acc[M][N];
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    const F32 factor = set(t.factor[m]);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) acc[m][i] = load(t.o + m * t.o_stride + i * kLanes) * factor;
  }
  for (int64_t step = t.begin; step < t.end; ++step) {
    F32 v[N];
    source.template read<N>(step, v);
    SIGMA_UNROLL
    for (int m = 0; m < M; ++m) {
      const I32 p = set_raw(t.p + m * t.p_stride + step * 4);
      SIGMA_UNROLL
      for (int i = 0; i < N; ++i) {
        if constexpr (Source::kPairs)
          acc[m][i] = dot_bf16(acc[m][i], p, as_i32(v[i]));
        else
          acc[m][i] = fma(as_f32(p), v[i], acc[m][i]);
      }
    }
  }
  SIGMA_UNROLL
  for (int m = 0; m < M; ++m) {
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) store(t.o + m * t.o_stride + i * kLanes, acc[m][i]);
  }
}

template <int N, class Source>
inline void accumulate(int rows, const ValueTile& t, const Source& source) {
  switch (rows) {
    case 1:
      return accumulate<1, N>(t, source);
    case 2:
      return accumulate<2, N>(t, source);
    case 3:
      return accumulate<3, N>(t, source);
    case 4:
      return accumulate<4, N>(t, source);
    case 5:
      return accumulate < kTileRows < 5 ? 1 : 5, N > (t, source);
    default:
      return accumulate<kTileRows, N>(t, source);
  }
}

// Rows of one V head from `first` on.
struct ValueHead {
  const ValueRows* rows;
  int64_t first;
  const KvLayout* layout;
  int64_t offset;  // bytes from where the rows point to the head's
};

// f(source) for the vectors of a row from `vector` on.
template <class F>
inline void with_rows(const ValueHead& head, int vector, const F& f) {
  const int64_t element = vector * int64_t{kLanes};
  const std::byte* const* row = head.rows->row + head.first;
  switch (head.layout->format) {
    case Format::bf16:
      return f(PairsBf16{row, head.offset + element * 2});
    case Format::f16:
      return f(RowsF16{row, head.offset + element * 2});
    case Format::q8_0:
      return f(
          RowsQ8{row, head.rows->scales + head.first, head.offset + element, head.offset, static_cast<int>(element)});
    default:
      return f(RowsF32{row, head.offset + element * 4});
  }
}

// f(constant number of vectors, first vector) over a padded row's vectors: multiples of kTileCols, then pairs.
template <class F>
inline void for_vectors(int padded_dim, const F& f) {
  const int vectors = padded_dim / kLanes;
  int i = 0;
  for (; i + kTileCols <= vectors; i += kTileCols) f(Constant<kTileCols>{}, i);
  if constexpr (kTileCols > 2) {
    for (; i < vectors; i += 2) f(Constant<2>{}, i);
  }
}

// A tile of vectors with V rows where they lie.
inline void accumulate_rows(int rows, const ValueTile& tile, const ValueHead& head) {
  for_vectors(head.layout->padded_dim, [&](auto n, int i) {
    ValueTile t = tile;
    t.o += i * kLanes;
    with_rows(head, i, [&](const auto& source) { accumulate<n.value>(rows, t, source); });
  });
}

// Steps [0, steps) of the rows as the tiles' sources leave them, for use by many tiles. out: [steps][padded_dim].
inline void stage_rows(float* out, const ValueHead& head, int64_t steps) {
  const int64_t stride = head.layout->padded_dim;
  for_vectors(head.layout->padded_dim, [&](auto n, int i) {
    with_rows(head, i, [&](const auto& source) {
      for (int64_t step = 0; step < steps; ++step) {
        F32 v[n.value];
        source.read(step, v);
        SIGMA_UNROLL
        for (int j = 0; j < n.value; ++j) store(out + step * stride + (i + j) * kLanes, v[j]);
      }
    });
  });
}

template <bool pairs>
inline void accumulate_staged(int rows, const ValueTile& tile, const float* staged, int padded_dim) {
  for_vectors(padded_dim, [&](auto n, int i) {
    ValueTile t = tile;
    t.o += i * kLanes;
    accumulate<n.value>(rows, t, Staged<pairs>{staged + i * kLanes, padded_dim});
  });
}

// out[dim] = o * scale, elements put back in order.
inline void store_output(float* out, const float* o, float scale, const KvLayout& layout) {
  for (int i = 0; i < layout.padded_dim; i += kLanes) {
    float scaled[kLanes];
    store(scaled, load(o + i) * set(scale));
    for (int j = 0; j < kLanes; j += 4) {
      int element = i + j;
      if (layout.format == Format::bf16) {
        const int pair = i / (2 * kLanes) * (2 * kLanes);
        element = pair + 2 * j + (i - pair) / kLanes * 4;
      }
      for (int e = 0; e < 4 && element + e < layout.dim; ++e) out[element + e] = scaled[j + e];
    }
  }
}

}  // namespace sigma::SIGMA_ISA
