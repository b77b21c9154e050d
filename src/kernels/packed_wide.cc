#include "kernels/packed_wide.h"

#include <cstring>

#include "base/error.h"
#include "tensor/quant.h"

namespace sigma {

namespace {

constexpr int kBias = 128;

template <class Block>
Block load(const std::byte* row, int64_t index) {
  Block block;
  std::memcpy(&block, row + index * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

template <class Block>
void five_bits(const Block& from, int zero, WideBlock& to) {
  uint32_t high;
  std::memcpy(&high, from.high, 4);
  for (int i = 0; i < 16; ++i) {
    to.q[i] = static_cast<uint8_t>(((from.q[i] & 15) | (high >> i & 1) << 4) - zero + kBias);
    to.q[i + 16] = static_cast<uint8_t>((from.q[i] >> 4 | (high >> (i + 16) & 1) << 4) - zero + kBias);
  }
}

// d * scale and -dmin * min of group g of a q4_k or q5_k block (see quant.h).
template <class Block>
void group_scales(const Block& from, int g, WideBlock& to) {
  const uint8_t* s = from.scales;
  const int scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
  const int min = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 6) << 4;
  to.d[0] = to.d[1] = to_f32(from.d) * static_cast<float>(scale);
  to.m = -(to_f32(from.dmin) * static_cast<float>(min));
}

WideBlock q4_k(const BlockQ4_K& from, int g) {
  WideBlock to;
  group_scales(from, g, to);
  const uint8_t* q = from.q + g / 2 * 32;
  for (int i = 0; i < 32; ++i) to.q[i] = static_cast<uint8_t>((q[i] >> g % 2 * 4 & 15) + kBias);
  return to;
}

WideBlock q5_k(const BlockQ5_K& from, int g) {
  WideBlock to;
  group_scales(from, g, to);
  const uint8_t* q = from.q + g / 2 * 32;
  for (int i = 0; i < 32; ++i)
    to.q[i] = static_cast<uint8_t>(((q[i] >> g % 2 * 4 & 15) | (from.high[i] >> g & 1) << 4) + kBias);
  return to;
}

WideBlock q6_k(const BlockQ6_K& from, int g) {
  WideBlock to;
  const float d = to_f32(from.d);
  for (int half = 0; half < 2; ++half) to.d[half] = d * static_cast<float>(from.scales[g * 2 + half]);
  to.m = 0.0f;
  const int run = g % 4;
  const uint8_t* low = from.low + g / 4 * 64 + run % 2 * 32;
  const uint8_t* high = from.high + g / 4 * 32;
  for (int i = 0; i < 32; ++i) {
    const int q = (low[i] >> run / 2 * 4 & 15) | (high[i] >> 2 * run & 3) << 4;
    to.q[i] = static_cast<uint8_t>(q - 32 + kBias);
  }
  return to;
}

}  // namespace

WideBlock wide_block(Format format, const std::byte* row, int64_t b) {
  constexpr int64_t groups = kSuperBlock / kSmallBlock;
  const int g = static_cast<int>(b % groups);
  switch (format) {
    case Format::q5_0: {
      const auto from = load<BlockQ5_0>(row, b);
      WideBlock to{{to_f32(from.d), to_f32(from.d)}, 0.0f, {}};
      five_bits(from, 16, to);
      return to;
    }
    case Format::q5_1: {
      const auto from = load<BlockQ5_1>(row, b);
      WideBlock to{{to_f32(from.d), to_f32(from.d)}, to_f32(from.m), {}};
      five_bits(from, 0, to);
      return to;
    }
    case Format::q4_k:
      return q4_k(load<BlockQ4_K>(row, b / groups), g);
    case Format::q5_k:
      return q5_k(load<BlockQ5_K>(row, b / groups), g);
    case Format::q6_k:
      return q6_k(load<BlockQ6_K>(row, b / groups), g);
    default:
      SIGMA_CHECK_EQ(format_info(format).name, "a quantised format");
      return {};
  }
}

}  // namespace sigma
