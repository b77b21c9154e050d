// Values: o[m] = o[m] * factor[m] + sum_t p[m][t] V[t] for the vectors m that share a V head.
// A step is what one instruction per vector takes in: two tokens where V is bf16 and the ISA multiplies pairs of it (p
// rounded to bf16), else one (p in f32). Accumulators of pairs lie as the unpack instructions leave them: within each 2
// * kLanes elements, the first vector holds elements {0-3, 8-11, ...}, the second {4-7, 12-15, ...}; store_output puts
// them back.
#pragma once

#include "kernels/cpu/attention_keys.h"

namespace sigma::SIGMA_ISA {

// Register tiles: rows (vectors of weights) by columns (vectors of a V row).
inline constexpr int kTileRows = kLanes == 16 ? 6 : 4;
inline constexpr int kTileCols = kLanes == 16 ? 4 : 2;

// Rows of the next tile when `left` are to be cut into as few and as equal tiles as can be.
inline int next_tile(int64_t left) {
  if (left <= kTileRows) return static_cast<int>(left);
  const int64_t tiles = (left + kTileRows - 1) / kTileRows;
  return static_cast<int>((left + tiles - 1) / tiles);
}

template <int n>
struct Constant {
  static constexpr int value = n;
};

inline bool in_pairs(const KvLayout& v) { return kBf16Products && v.format == Format::bf16; }

// Where the rows of a block lie: in runs of consecutive rows, each within a page, or one by one. Addresses are of head
// 0.
struct ValueRun {
  const std::byte *row, *scales;  // of token 0, were it in this run
  int64_t begin, end;             // tokens
};
struct ValueRows {
  int runs = 0;  // 0: one by one
  ValueRun run[kAttentionBlock / 2 + 1];
  const std::byte* row[kAttentionBlock];
  const std::byte* scales[kAttentionBlock];
};

inline int64_t scale_row_bytes(const KvLayout& layout) { return layout.padded_dim / kQuantBlock * 2; }

inline void set_row(ValueRows& rows, int64_t i, const std::byte* page, int64_t slot, const KvLayout& layout) {
  rows.row[i] = page + slot * layout.row_bytes;
  rows.scales[i] = page + layout.scales + slot * scale_row_bytes(layout);
}

// Rows of positions [begin, begin + count), begin even. Runs must not part a pair of tokens: pages of an odd number of
// tokens are taken row by row.
inline void find_rows(ValueRows& rows, const PagedView& cache, const KvLayout& layout, const PageId* pages,
                      int64_t begin, int64_t count) {
  int64_t page = begin / layout.page_tokens, slot = begin % layout.page_tokens;
  rows.runs = 0;
  for (int64_t t = 0; t < count; ++page, slot = 0) {
    const std::byte* data = cache.data + pages[page] * cache.page_stride;
    if (layout.page_tokens % 2 != 0) {
      for (; slot < layout.page_tokens && t < count; ++slot, ++t) set_row(rows, t, data, slot, layout);
      continue;
    }
    const int64_t left = layout.page_tokens - slot, tokens = left < count - t ? left : count - t;
    rows.run[rows.runs++] = {.row = data + (slot - t) * layout.row_bytes,
                             .scales = data + layout.scales + (slot - t) * scale_row_bytes(layout),
                             .begin = t,
                             .end = t + tokens};
    t += tokens;
  }
}

inline const std::byte* row_of(const ValueRows& rows, int64_t token, const KvLayout& layout) {
  for (int r = 0; r < rows.runs; ++r)
    if (token < rows.run[r].end) return rows.run[r].row + token * layout.row_bytes;
  return rows.row[token];
}

struct RowList {
  static constexpr bool kStream = false;
  const std::byte* const* rows;
  const std::byte* operator[](int64_t token) const { return rows[token]; }
};
struct RowRun {
  static constexpr bool kStream = true;
  const std::byte* row;
  int64_t stride;
  const std::byte* operator[](int64_t token) const { return row + token * stride; }
};

// Fetches ahead of `bytes` bytes at x of a row.
template <class Rows, int bytes>
inline void fetch_values(const void* x) {
  if constexpr (kFetchesAll && Rows::kStream) {
    SIGMA_UNROLL
    for (int i = 0; i < bytes; i += 64) prefetch_far(static_cast<const std::byte*>(x) + kFarBytes + i);
  }
}

// Sources of a step's vectors, from one element of the rows on. offset: bytes to it from where the rows point.
template <class Rows>
struct PairsBf16 {
  static constexpr bool kPairs = true;
  Rows row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const std::byte *a = row[2 * step] + offset, *b = row[2 * step + 1] + offset;
    I32 x[N / 2], y[N / 2];
    SIGMA_UNROLL
    for (int i = 0; i < N / 2; ++i) x[i] = in_order(load_raw(a + i * kLanes * 4));
    SIGMA_UNROLL
    for (int i = 0; i < N / 2; ++i) y[i] = in_order(load_raw(b + i * kLanes * 4));
    SIGMA_UNROLL
    for (int i = 0; i < N / 2; ++i) {
      v[2 * i] = as_f32(unpack_low(x[i], y[i]));
      v[2 * i + 1] = as_f32(unpack_high(x[i], y[i]));
    }
  }
};
template <class Rows>
struct PlainF32 {
  static constexpr bool kPairs = false;
  Rows row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const float*>(row[step] + offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load(x + i * kLanes);
  }
};
template <class Rows, class Element>
struct PlainHalf {
  static constexpr bool kPairs = false;
  Rows row;
  int64_t offset;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const Element*>(row[step] + offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = widen(x + i * kLanes);
    fetch_values<Rows, N * kLanes * sizeof(Element)>(x);
  }
  static F32 widen(const f16* p) { return load_f16(p); }
  static F32 widen(const bf16* p) { return load_bf16(p); }
};
template <class Rows>
struct PlainQ8 {
  static constexpr bool kPairs = false;
  Rows row, scales;
  int64_t offset, scale_offset;
  int element;
  template <int N>
  void read(int64_t step, F32 (&v)[N]) const {
    const auto* x = reinterpret_cast<const int8_t*>(row[step] + offset);
    const auto* scale = reinterpret_cast<const f16*>(scales[step] + scale_offset);
    SIGMA_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load_i8(x + i * kLanes) * set_f16(scale + (element + i * kLanes) / kQuantBlock);
    fetch_values<Rows, N * kLanes>(x);
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

// p: rows of p_stride bytes, 4 bytes per step; o: rows of o_stride floats; factor: one per row, or
// null for 1.
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
    const F32 factor = set(t.factor != nullptr ? t.factor[m] : 1.0f);
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

// One V head of some rows. offset: bytes from where the rows point to the head's.
struct ValueHead {
  const ValueRows* rows;
  const KvLayout* layout;
  int64_t offset;
};

// f(source) for the vectors of a row from `vector` on.
template <class Rows, class F>
inline void with_source(const ValueHead& head, Rows row, Rows scales, int vector, const F& f) {
  const int64_t element = vector * int64_t{kLanes};
  switch (head.layout->format) {
    case Format::bf16:
      if constexpr (kBf16Products) return f(PairsBf16<Rows>{row, head.offset + element * 2});
      return f(PlainHalf<Rows, bf16>{row, head.offset + element * 2});
    case Format::f16:
      return f(PlainHalf<Rows, f16>{row, head.offset + element * 2});
    case Format::q8_0:
      return f(PlainQ8<Rows>{row, scales, head.offset + element, head.offset, static_cast<int>(element)});
    default:
      return f(PlainF32<Rows>{row, head.offset + element * 4});
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

// f(source, constant number of vectors, first vector, begin, end) over the runs of steps [begin, end).
template <class F>
inline void for_sources(const ValueHead& head, int64_t begin, int64_t end, const F& f) {
  const ValueRows& rows = *head.rows;
  const int64_t tokens = in_pairs(*head.layout) ? 2 : 1;
  for_vectors(head.layout->padded_dim, [&](auto n, int i) {
    if (rows.runs == 0) {
      with_source(head, RowList{rows.row}, RowList{rows.scales}, i, [&](const auto& s) { f(s, n, i, begin, end); });
      return;
    }
    for (int r = 0; r < rows.runs; ++r) {
      const ValueRun& run = rows.run[r];
      const int64_t from = run.begin / tokens > begin ? run.begin / tokens : begin;
      const int64_t to = run.end / tokens < end ? run.end / tokens : end;
      if (from >= to) continue;
      with_source(head, RowRun{run.row, head.layout->row_bytes}, RowRun{run.scales, scale_row_bytes(*head.layout)}, i,
                  [&](const auto& s) { f(s, n, i, from, to); });
    }
  });
}

inline void scale_only(int rows, const ValueTile& tile, int padded_dim) {
  if (tile.factor == nullptr) return;
  for (int m = 0; m < rows; ++m)
    for (int i = 0; i < padded_dim; i += kLanes) {
      float* o = tile.o + m * tile.o_stride + i;
      store(o, load(o) * set(tile.factor[m]));
    }
}

// A tile of vectors with V rows where they lie.
inline void accumulate_rows(int rows, const ValueTile& tile, const ValueHead& head) {
  if (tile.begin >= tile.end) return scale_only(rows, tile, head.layout->padded_dim);
  for_sources(head, tile.begin, tile.end, [&](const auto& source, auto n, int i, int64_t begin, int64_t end) {
    ValueTile t = tile;
    t.o += i * kLanes;
    t.begin = begin;
    t.end = end;
    if (begin > tile.begin) t.factor = nullptr;
    accumulate<n.value>(rows, t, source);
  });
}

// Steps [begin, end) of the rows as the tiles' sources leave them, for use by many tiles. out: [steps][padded_dim].
inline void stage_rows(float* out, const ValueHead& head, int64_t begin, int64_t end) {
  const int64_t stride = head.layout->padded_dim;
  for_sources(head, begin, end, [&](const auto& source, auto n, int i, int64_t from, int64_t to) {
    for (int64_t step = from; step < to; ++step) {
      F32 v[n.value];
      source.read(step, v);
      SIGMA_UNROLL
      for (int j = 0; j < n.value; ++j) store(out + (step - begin) * stride + (i + j) * kLanes, v[j]);
    }
  });
}

// A tile of vectors with V rows staged from step `first` on.
inline void accumulate_staged(int rows, const ValueTile& tile, const ValueHead& head, const float* staged,
                              int64_t first) {
  const int64_t stride = head.layout->padded_dim;
  for_vectors(head.layout->padded_dim, [&](auto n, int i) {
    ValueTile t = tile;
    t.o += i * kLanes;
    const float* data = staged - first * stride + i * kLanes;
    if (in_pairs(*head.layout))
      accumulate<n.value>(rows, t, Staged<kBf16Products>{data, stride});
    else
      accumulate<n.value>(rows, t, Staged<false>{data, stride});
  });
}

// out[dim] = o * scale, elements put back in order.
inline void store_output(float* out, const float* o, float scale, const KvLayout& layout) {
  for (int i = 0; i < layout.padded_dim; i += kLanes) {
    float scaled[kLanes];
    store(scaled, load(o + i) * set(scale));
    for (int j = 0; j < kLanes; j += 4) {
      int element = i + j;
      if (in_pairs(layout)) {
        const int pair = i / (2 * kLanes) * (2 * kLanes);
        element = pair + 2 * j + (i - pair) / kLanes * 4;
      }
      for (int e = 0; e < 4 && element + e < layout.dim; ++e) out[element + e] = scaled[j + e];
    }
  }
}

}  // namespace sigma::SIGMA_ISA
