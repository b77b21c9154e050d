// Activations as the tile kernels read them. Rows are grouped in tiles of R rows; a tile holds ceil(cols / 32) blocks
// of 32 k, the rows interleaved so that a kernel reads it front to back:
//
//   q8     s8 q[8][R][4], f32 d[R], f32 dsum[R], i32 bias[R], i32 bias0[R]
//          x = d * q (d = max|x| / 127 of the block, q rounded to nearest even); dsum = d * sum(q); bias = -128 *
//          sum(q), what products with weights biased by 128 start from; bias0: of the first 16 alone
//   bf16   bf16 x[16][R][2]
//   f32    f32 x[32][R]
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sigma::SIGMA_ISA {

enum class Activations : int { q8, bf16, f32 };
inline constexpr int kActivationKinds = 3;
inline constexpr int kMaxTileRows = 6;

// Bytes of one row's share of a block.
inline constexpr int64_t kActivationBytes[kActivationKinds] = {48, 64, 128};

// Rows cut into as few tiles as possible, of sizes that differ by one at most.
struct Tiling {
  explicit Tiling(int64_t rows)
      : tiles(ceil_div(rows, kMaxTileRows)), small(rows / tiles), large(rows - small * tiles) {}
  int64_t first_row(int64_t tile) const { return tile * small + (tile < large ? tile : large); }
  int rows(int64_t tile) const { return static_cast<int>(small + (tile < large ? 1 : 0)); }
  int64_t tiles;
  int64_t small;  // rows of a tile, one more in the first `large`
  int64_t large;
};

// x (f32 [rows, cols]) in the tiles of Tiling(x.rows), in scratch memory of the caller's scope.
const std::byte* pack_activations(const Context& context, Activations kind, ConstTensorView x);

}  // namespace sigma::SIGMA_ISA
