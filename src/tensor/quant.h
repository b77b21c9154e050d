// Block structs of the quantised formats, as they lie in GGUF files.
#pragma once

#include <cstdint>

#include "base/numeric.h"

namespace sigma {

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

}  // namespace sigma
