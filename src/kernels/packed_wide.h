// The quantised formats without a layout of their own, taken apart into numbers that represent them exactly.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/format.h"

namespace sigma {

// 32 weights: w[k] = d[k / 16] * (q[k] - 128) + m.
struct WideBlock {
  float d[2], m;
  uint8_t q[32];
};

// Weights [32 * b, 32 * b + 32) of a row of q5_0, q5_1, q4_k, q5_k or q6_k.
WideBlock wide_block(Format format, const std::byte* row, int64_t b);

}  // namespace sigma
