// Block structs of the quantised formats, as they lie in GGUF files. In a file a block may start at any byte: copy it
// out (std::memcpy) before looking inside.
#pragma once

#include <cstdint>

#include "base/numeric.h"

namespace sigma {

inline constexpr int kSmallBlock = 32;   // elements of a q*_0 or q*_1 block
inline constexpr int kSuperBlock = 256;  // elements of a q*_k block

// 32 values: d * q.
struct BlockQ8_0 {
  f16 d;
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// 32 values: d * (q - 8); byte i holds value i in its low half and value i + 16 in its high half.
struct BlockQ4_0 {
  f16 d;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

// 32 values: d * q + m.
struct BlockQ4_1 {
  f16 d, m;
  uint8_t q[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

// 32 values: d * (q - 16); the low four bits as in q4_0, the fifth bit of value i is bit i % 8 of high[i / 8].
struct BlockQ5_0 {
  f16 d;
  uint8_t high[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

// 32 values: d * q + m; bits as in q5_0.
struct BlockQ5_1 {
  f16 d, m;
  uint8_t high[4];
  uint8_t q[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// 256 values in 8 groups of 32: d * scale[g] * q - dmin * min[g]. Groups 2p and 2p + 1 are the low and high halves of
// bytes [32p, 32p + 32) of q. The 8 scales and 8 mins have six bits each: for g < 4 they are the low six bits of
// scales[g] and scales[g + 4]; for g >= 4 their low four bits are the halves of scales[g + 4] and their upper two bits
// are the upper two of scales[g - 4] and scales[g].
struct BlockQ4_K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t q[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

// As q4_k, with a fifth bit: of value i of group g it is bit g of high[i].
struct BlockQ5_K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

// 256 values in 16 groups of 16: d * scale[g] * (q - 32). Each half of the block (128 values: 64 bytes of low, 32 of
// high, 8 scales) has four runs of 32; value i of run r takes four bits from low[i + 32 * (r % 2)] (the upper half for
// r >= 2) and two from high[i] (bits 2r and 2r + 1).
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];
  f16 d;
};
static_assert(sizeof(BlockQ6_K) == 210);

}  // namespace sigma
