// Random weight matrices in every storage format, those that are only read included.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/numeric.h"
#include "base/rng.h"
#include "tensor/format.h"
#include "tensor/quant.h"

namespace sigma::test {

namespace internal {

template <class T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

// Replaces a scale made of random bits by one of the size that checkpoints have.
inline void put_scale(std::byte* at, Rng& rng, double size) {
  put(at, to_f16(static_cast<float>(size * (0.25 + rng.uniform()))));
}

inline void random_block(Format format, std::byte* block, int bytes, Rng& rng) {
  for (int i = 0; i < bytes; ++i) block[i] = static_cast<std::byte>(rng.next());
  switch (format) {
    case Format::q8_0:
      put_scale(block, rng, 0.01);
      break;
    case Format::q4_0:
      put_scale(block, rng, 0.1);
      break;
    case Format::q5_0:
      put_scale(block, rng, 0.05);
      break;
    case Format::q4_1:
      put_scale(block, rng, 0.1);
      put_scale(block + 2, rng, -1.0);
      break;
    case Format::q5_1:
      put_scale(block, rng, 0.05);
      put_scale(block + 2, rng, -1.0);
      break;
    case Format::q4_k:
    case Format::q5_k:
      put_scale(block, rng, 0.003);
      put_scale(block + 2, rng, 0.02);
      break;
    case Format::q6_k:
      put_scale(block + offsetof(BlockQ6_K, d), rng, 0.0005);
      break;
    default:
      break;
  }
}

}  // namespace internal

// rows x cols (cols a multiple of the format's block): values of the order of 1, every bit of a block in use.
inline std::vector<std::byte> random_weights(Format format, int64_t rows, int64_t cols, Rng& rng) {
  const FormatInfo& info = format_info(format);
  std::vector<std::byte> bytes(static_cast<size_t>(rows * format_row_bytes(format, cols)));
  if (info.block_elements == 1) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(rng.normal());
    info.quantise(values.data(), bytes.data(), rows * cols);
    return bytes;
  }
  for (int64_t b = 0; b < rows * cols / info.block_elements; ++b)
    internal::random_block(format, bytes.data() + b * info.block_bytes, info.block_bytes, rng);
  return bytes;
}

}  // namespace sigma::test
