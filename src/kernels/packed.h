// How the CPU kernel sets lay out a weight matrix, the same for every ISA. Outputs go in panels of 32, inputs (k) in
// blocks of 32; a panel is contiguous, block after block. The last panel is filled up with zero weights, the last block
// of a plain format with zeros. Within a block, for output n of the panel:
//
//   q8       u8 q[8][32][4]    f16 d[32]                w = d (q - 128), q[k / 4][n][k % 4]
//   q4       u8 q[4][32][4]    f16 d[32]                w = d (q - 8), low halves: k < 16, high halves: k >= 16
//   q4_min   u8 q[4][32][4]    f16 d[32], f16 m[32]     w = d q + m
//   q8_wide  u8 q[8][32][4]    f32 d[2][32], f32 m[32]  w = d[k / 16] (q - 128) + m
//   bf16     bf16 w[16][32][2]                          w[k / 2][n][k % 2]
//   f16      f16 w[32][32]                              w[k][n]
//   f32      f32 w[32][32]
//
// Q8_0, Q4_0 and Q4_1 keep the bytes they have in files; q8_wide holds every other quantised format exactly. Scales
// come after what they scale, in the order in which kernels need them: processors fetch ahead best what is read in
// order.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace sigma {

enum class Layout : int { q8, q4, q4_min, q8_wide, bf16, f16, f32 };

inline constexpr int kPanel = 32;  // outputs
inline constexpr int kBlock = 32;  // inputs

struct PackedQ8 {
  uint8_t q[8][kPanel][4];
  f16 d[kPanel];
};
struct PackedQ4 {
  uint8_t q[4][kPanel][4];
  f16 d[kPanel];
};
struct PackedQ4Min {
  uint8_t q[4][kPanel][4];
  f16 d[kPanel], m[kPanel];
};
struct PackedQ8Wide {
  uint8_t q[8][kPanel][4];
  float d[2][kPanel], m[kPanel];
};
struct PackedBf16 {
  bf16 w[kBlock / 2][kPanel][2];
};
struct PackedF16 {
  f16 w[kBlock][kPanel];
};
struct PackedF32 {
  float w[kBlock][kPanel];
};

// Kernels::pack of every CPU set.
PackedMatrix pack_panels(ThreadPool& threads, const MatrixSource& source);

}  // namespace sigma
