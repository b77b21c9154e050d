// Key expansion (half-dim K, "after_expansion"): the keys of a strip brought up to the query's dimension and rotated,
//     e[i] = sum_j E[i, j] k[j]
//     (e[i], e[i + h]) -> (e[i] cos - e[i + h] sin, e[i + h] cos + e[i] sin),  h = q_dim / 2
// once per K head, as strips of f32 for the plain dot products to follow.
#pragma once

#include "kernels/cpu/attention_keys.h"

namespace sigma::SIGMA_ISA {

// Blocks of one strip each.
inline KvLayout expanded_layout(const KvLayout& layout, int q_dim) {
  const int width = strip_columns(layout) * kLanes;
  return {.format = Format::f32, .dim = q_dim, .padded_dim = q_dim, .key_block = width, .key_step = width * 4};
}

// Room for the strips of a block of positions, and for one strip's keys and angles.
inline int64_t expanded_floats(const KvLayout& layout, int q_dim) {
  const int64_t width = strip_columns(layout) * kLanes;
  return (int64_t{kAttentionBlock} * q_dim + layout.padded_dim + q_dim) * width;
}

// keys: f32 [padded k_dim][width].
inline void widen_strip(float* keys, const Strip& strip, int64_t head, const KvLayout& layout) {
  const int width = strip_columns(layout) * kLanes;
  for (int c = 0; c < width; c += kLanes)
    for (int64_t j = 0; j < layout.padded_dim; ++j) {
      float* out = keys + j * width + c;
      const std::byte* in = strip.keys + head;
      switch (layout.format) {
        case Format::f32:
          store(out, load(reinterpret_cast<const float*>(in + j * layout.key_step) + c));
          break;
        case Format::f16:
          store(out, load_f16(reinterpret_cast<const f16*>(in + j * layout.key_step) + c));
          break;
        case Format::bf16: {
          const I32 pair = load_raw(in + j / 2 * layout.key_step + c * 4);
          store(out, j % 2 == 0 ? first_of(pair) : second_of(pair));
          break;
        }
        default: {
          const I32 quad = load_raw(in + j / 4 * layout.key_step + c * 4);
          const std::byte* scales = strip.scales + head + j / kQuantBlock * layout.key_block * 2;
          const I32 byte = (quad >> static_cast<int>(8 * (j % 4))) & set(0xff);
          store(out, to_f32(byte + set(-128)) * load_f16(reinterpret_cast<const f16*>(scales) + c));
        }
      }
    }
}

// Outputs [i, i + rows) of the matrix times keys.
template <int N, int rows>
inline void expand_rows(float* out, const float* matrix, int64_t k_dim, const float* keys, int64_t i) {
  F32 acc[rows][N];
  SIGMA_UNROLL
  for (int r = 0; r < rows; ++r) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) acc[r][c] = zero_f32();
  }
  for (int64_t j = 0; j < k_dim; ++j) {
    SIGMA_UNROLL
    for (int r = 0; r < rows; ++r) {
      const F32 e = set(matrix[(i + r) * k_dim + j]);
      SIGMA_UNROLL
      for (int c = 0; c < N; ++c) acc[r][c] = fma(e, load(keys + (j * N + c) * kLanes), acc[r][c]);
    }
  }
  SIGMA_UNROLL
  for (int r = 0; r < rows; ++r) {
    SIGMA_UNROLL
    for (int c = 0; c < N; ++c) store(out + ((i + r) * N + c) * kLanes, acc[r][c]);
  }
}

template <int N>
inline void expand_strip(float* out, const float* matrix, int64_t q_dim, int64_t k_dim, const float* keys) {
  int64_t i = 0;
  for (; i + kScoreRows <= q_dim; i += kScoreRows) expand_rows<N, kScoreRows>(out, matrix, k_dim, keys, i);
  for (; i < q_dim; ++i) expand_rows<N, 1>(out, matrix, k_dim, keys, i);
}

// In place. first: position of the strip's first lane; positions beyond the context take the angles of its end.
inline void rotate_strip(float* keys, int64_t width, int64_t q_dim, const KeyExpansion& expansion, int64_t first,
                         int64_t positions, float* angles) {
  const int64_t half = q_dim / 2;
  float* sines = angles + half * width;
  for (int64_t lane = 0; lane < width; ++lane) {
    const int64_t t = first + lane < positions ? first + lane : positions - 1;
    const auto* cos = reinterpret_cast<const float*>(expansion.cos.data + t * expansion.cos.row_bytes);
    const auto* sin = reinterpret_cast<const float*>(expansion.sin.data + t * expansion.sin.row_bytes);
    for (int64_t i = 0; i < half; ++i) angles[i * width + lane] = cos[i];
    for (int64_t i = 0; i < half; ++i) sines[i * width + lane] = sin[i];
  }
  for (int64_t i = 0; i < half * width; i += kLanes) {
    const F32 a = load(keys + i), b = load(keys + half * width + i);
    const F32 cos = load(angles + i), sin = load(sines + i);
    store(keys + i, a * cos - b * sin);
    store(keys + half * width + i, b * cos + a * sin);
  }
}

// The strips of one head (at `head`, bytes) over positions [begin, begin + count), expanded into `room`
// (expanded_floats): of expanded_layout, head 0.
inline void expand_strips(Strips& expanded, const Strips& strips, const AttentionArgs& args, const KvLayout& layout,
                          int64_t head, int64_t begin, int64_t count, float* room) {
  const KeyExpansion& expansion = *args.expansion;
  const int columns = strip_columns(layout);
  const int64_t width = columns * kLanes, strip_floats = width * args.q_dim;
  float* keys = room + kAttentionBlock * strip_floats;
  float* angles = keys + layout.padded_dim * width;
  expanded.count = strips.count;
  for (int i = 0; i < strips.count; ++i) {
    float* out = room + i * strip_floats;
    widen_strip(keys, strips.strip[i], head, layout);
    if (columns == kScoreColumns)
      expand_strip<kScoreColumns>(out, expansion.matrix, args.q_dim, layout.dim, keys);
    else
      expand_strip<1>(out, expansion.matrix, args.q_dim, layout.dim, keys);
    rotate_strip(out, width, args.q_dim, expansion, begin + strips.strip[i].first, begin + count, angles);
    expanded.strip[i] = {
        .keys = reinterpret_cast<const std::byte*>(out), .scales = nullptr, .first = strips.strip[i].first};
  }
}

}  // namespace sigma::SIGMA_ISA
