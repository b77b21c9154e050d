// Key expansion (half-dim K, "after_expansion"): keys of a column brought up to the query's dimension and rotated,
//     e[i] = sum_j E[i, j] k[j],    (e[i], e[i + h]) -> (e[i] cos - e[i + h] sin, e[i + h] cos + e[i] sin),  h = q_dim
//     / 2
// once per K head, as columns of f32 blocks for the plain dot products to follow.
#pragma once

#include "kernels/cpu/attention_keys.h"

namespace sigma::SIGMA_ISA {

// Room for every column of a block of positions, [q_dim][16] each, one column of keys and the angles of its positions.
inline int64_t expanded_floats(int q_dim, int k_dim) {
  return (int64_t{kMaxColumns} * q_dim + k_dim + q_dim + kQuantBlock) * kKeyBlock;
}

inline KvLayout expanded_layout(int q_dim) {
  return {.format = Format::f32, .heads = 1, .dim = q_dim, .padded_dim = q_dim};
}

// keys: f32 [padded k_dim][16], kLanes of each 16.
inline void widen_column(float* keys, const std::byte* block, int part, const KvLayout& layout) {
  switch (layout.format) {
    case Format::f32:
      for (int64_t j = 0; j < layout.dim; ++j)
        store(keys + j * kKeyBlock, load(reinterpret_cast<const float*>(block + j * kKeyStep) + part));
      break;
    case Format::f16:
      for (int64_t j = 0; j < layout.dim; ++j)
        store(keys + j * kKeyBlock, load_f16(reinterpret_cast<const f16*>(block + j * (kKeyStep / 2)) + part));
      break;
    case Format::bf16:
      for (int64_t j = 0; j < layout.padded_dim; j += 2) {
        const I32 pair = load_raw(block + j / 2 * kKeyStep + part * 4);
        store(keys + j * kKeyBlock, as_f32(pair << 16));
        store(keys + (j + 1) * kKeyBlock, as_f32(pair & set(static_cast<int32_t>(0xffff0000u))));
      }
      break;
    default:
      for (int64_t j = 0; j < layout.padded_dim; j += 4) {
        const I32 quad = load_raw(block + j / 4 * kKeyStep + part * 4);
        const std::byte* scales = block + layout.scales + j / kQuantBlock * kKeyBlock * 2;
        const F32 scale = load_f16(reinterpret_cast<const f16*>(scales) + part);
        for (int e = 0; e < 4; ++e) {
          const I32 byte = (quad >> (8 * e)) & set(0xff);
          store(keys + (j + e) * kKeyBlock, to_f32(byte + set(-128)) * scale);
        }
      }
  }
}

// Outputs [i, i + n) of the matrix times the keys of a column.
template <int n>
inline void expand_rows(float* out, const float* matrix, int64_t k_dim, const float* keys, int64_t i) {
  F32 acc[n];
  SIGMA_UNROLL
  for (int r = 0; r < n; ++r) acc[r] = zero_f32();
  for (int64_t j = 0; j < k_dim; ++j) {
    const F32 key = load(keys + j * kKeyBlock);
    SIGMA_UNROLL
    for (int r = 0; r < n; ++r) acc[r] = fma(set(matrix[(i + r) * k_dim + j]), key, acc[r]);
  }
  SIGMA_UNROLL
  for (int r = 0; r < n; ++r) store(out + (i + r) * kKeyBlock, acc[r]);
}

// In place. first: position of the column's first lane; positions beyond the context take the angles of its end.
inline void rotate_column(float* keys, int64_t q_dim, const KeyExpansion& expansion, int64_t first, int64_t positions,
                          float* angles) {
  const int64_t half = q_dim / 2;
  float* sines = angles + half * kKeyBlock;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int64_t t = first + lane < positions ? first + lane : positions - 1;
    const auto* cos = reinterpret_cast<const float*>(expansion.cos.data + t * expansion.cos.row_bytes);
    const auto* sin = reinterpret_cast<const float*>(expansion.sin.data + t * expansion.sin.row_bytes);
    for (int64_t i = 0; i < half; ++i) angles[i * kKeyBlock + lane] = cos[i];
    for (int64_t i = 0; i < half; ++i) sines[i * kKeyBlock + lane] = sin[i];
  }
  for (int64_t i = 0; i < half; ++i) {
    const F32 a = load(keys + i * kKeyBlock), b = load(keys + (i + half) * kKeyBlock);
    const F32 cos = load(angles + i * kKeyBlock), sin = load(sines + i * kKeyBlock);
    store(keys + i * kKeyBlock, a * cos - b * sin);
    store(keys + (i + half) * kKeyBlock, b * cos + a * sin);
  }
}

// Replaces the columns of one head (at `head`, bytes) by expanded ones in `room` (expanded_floats), which are of
// expanded_layout and head 0. The columns cover positions [begin, begin + count).
inline void expand_columns(Columns& columns, const AttentionArgs& args, const KvLayout& layout, int64_t head,
                           int64_t begin, int64_t count, float* room) {
  const KeyExpansion& expansion = *args.expansion;
  const int64_t column_floats = int64_t{args.q_dim} * kKeyBlock;
  float* keys = room + kMaxColumns * column_floats;
  float* angles = keys + (layout.dim + kQuantBlock) * int64_t{kKeyBlock};
  for (int c = 0; c < columns.count; ++c) {
    float* out = room + c * column_floats;
    widen_column(keys, columns.block[c] + head, columns.part[c], layout);
    int64_t i = 0;
    for (; i + 4 <= args.q_dim; i += 4) expand_rows<4>(out, expansion.matrix, layout.dim, keys, i);
    for (; i < args.q_dim; ++i) expand_rows<1>(out, expansion.matrix, layout.dim, keys, i);
    rotate_column(out, args.q_dim, expansion, begin + columns.first[c], begin + count, angles);
    columns.block[c] = reinterpret_cast<const std::byte*>(out);
    columns.part[c] = 0;
  }
}

}  // namespace sigma::SIGMA_ISA
