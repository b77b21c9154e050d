// Activations as the tile kernels read them. Rows are grouped in tiles of R rows; a tile holds ceil(cols / 32) blocks
// of 32 k, the rows interleaved so that a kernel reads it front to back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace sigma::SIGMA_ISA {

enum class Activations : int { q8, bf16, f32 };
inline constexpr int kActivationKinds = 3;
inline constexpr int kMaxTileRows = 8;
// With many rows, tiles whose accumulators all stay in registers are best; up to kFewRows, as few tiles as there can
// be, so that weights on their way from memory are not waited for twice.
inline constexpr int kManyTileRows = 6, kFewRows = 2 * kMaxTileRows;

// x[r] = d[r] * q[..][r][..], d = max|x[r]| / 127, q rounded to nearest even.
template <int R>
struct Q8Rows {
  int8_t q[8][R][4];               // [k / 4][r][k % 4]
  float d[R], dsum[R];             // dsum = d * sum(q)
  int32_t bias[R], first_bias[R];  // -128 * sum(q), where sums with weights biased by 128 start; of k < 16 alone
};
template <int R>
struct Bf16Rows {
  bf16 x[16][R][2];  // [k / 2][r][k % 2], rounded to nearest even
};
template <int R>
struct F32Rows {
  float x[32][R];
};

// Bytes of one row's share of a block.
inline constexpr int64_t kActivationBytes[kActivationKinds] = {sizeof(Q8Rows<1>), sizeof(Bf16Rows<1>),
                                                               sizeof(F32Rows<1>)};

// Rows cut into as few tiles as possible, of sizes that differ by one at most.
struct Tiling {
  explicit Tiling(int64_t rows)
      : tiles(ceil_div(rows, rows <= kFewRows ? kMaxTileRows : kManyTileRows)),
        small(rows / tiles),
        large(rows - small * tiles) {}
  int64_t first_row(int64_t tile) const { return tile * small + (tile < large ? tile : large); }
  int rows(int64_t tile) const { return static_cast<int>(small + (tile < large ? 1 : 0)); }
  int64_t tiles;
  int64_t small;  // rows of a tile, one more in the first `large`
  int64_t large;
};

// x (f32 [rows, cols]) in the tiles of Tiling(x.rows), in scratch memory of the caller's scope.
const std::byte* pack_activations(const Context& context, Activations kind, ConstTensorView x);

}  // namespace sigma::SIGMA_ISA
