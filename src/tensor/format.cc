#include "tensor/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "tensor/quant.h"

namespace sigma {
namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

void dequantise_f32(const std::byte* in, float* out, int64_t n) {
  if (n == 0) return;
  std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
}
void quantise_f32(const float* in, std::byte* out, int64_t n) {
  if (n == 0) return;
  std::memcpy(out, in, static_cast<size_t>(n) * sizeof(float));
}

// T: f16 or bf16.
template <class T>
void dequantise_plain(const std::byte* in, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_f32(load<T>(in + i * sizeof(T)));
}
template <class T, T (*convert)(float)>
void quantise_plain(const float* in, std::byte* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T value = convert(in[i]);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

// Runs `one_block(block, values)` over n / elements blocks.
template <class Block, int elements, void (*one_block)(const Block&, float*)>
void dequantise_blocks(const std::byte* blocks, float* out, int64_t n) {
  for (int64_t b = 0; b < n / elements; ++b) {
    one_block(load<Block>(blocks + b * sizeof(Block)), out + b * elements);
  }
}
template <class Block, Block (*one_block)(const float*)>
void quantise_blocks(const float* in, std::byte* blocks, int64_t n) {
  for (int64_t b = 0; b < n / kSmallBlock; ++b) {
    const Block block = one_block(in + b * kSmallBlock);
    std::memcpy(blocks + b * sizeof(Block), &block, sizeof(Block));
  }
}

void dequantise_q8_0(const BlockQ8_0& block, float* out) {
  const float d = to_f32(block.d);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(block.q[i]) * d;
}

void dequantise_q4_0(const BlockQ4_0& block, float* out) {
  const float d = to_f32(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>((block.q[i] & 15) - 8) * d;
    out[i + 16] = static_cast<float>((block.q[i] >> 4) - 8) * d;
  }
}

void dequantise_q4_1(const BlockQ4_1& block, float* out) {
  const float d = to_f32(block.d), m = to_f32(block.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(block.q[i] & 15) * d + m;
    out[i + 16] = static_cast<float>(block.q[i] >> 4) * d + m;
  }
}

// The fifth bit of value i, in its place.
int fifth_bit(const uint8_t (&high)[4], int i) { return ((high[i / 8] >> (i % 8)) & 1) << 4; }

void dequantise_q5_0(const BlockQ5_0& block, float* out) {
  const float d = to_f32(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(((block.q[i] & 15) | fifth_bit(block.high, i)) - 16) * d;
    out[i + 16] = static_cast<float>(((block.q[i] >> 4) | fifth_bit(block.high, i + 16)) - 16) * d;
  }
}

void dequantise_q5_1(const BlockQ5_1& block, float* out) {
  const float d = to_f32(block.d), m = to_f32(block.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>((block.q[i] & 15) | fifth_bit(block.high, i)) * d + m;
    out[i + 16] = static_cast<float>((block.q[i] >> 4) | fifth_bit(block.high, i + 16)) * d + m;
  }
}

// Six-bit scale and min of group g (see BlockQ4_K).
struct ScaleMin {
  int scale, min;
};
ScaleMin scale_min(const uint8_t (&s)[12], int g) {
  if (g < 4) return {s[g] & 63, s[g + 4] & 63};
  return {(s[g + 4] & 15) | ((s[g - 4] >> 6) << 4), (s[g + 4] >> 4) | ((s[g] >> 6) << 4)};
}

void dequantise_q4_k(const BlockQ4_K& block, float* out) {
  const float d = to_f32(block.d), dmin = to_f32(block.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin s = scale_min(block.scales, g);
    const float scale = d * static_cast<float>(s.scale), min = dmin * static_cast<float>(s.min);
    const uint8_t* q = block.q + g / 2 * 32;
    const int shift = g % 2 * 4;
    for (int i = 0; i < 32; ++i) out[g * 32 + i] = scale * static_cast<float>((q[i] >> shift) & 15) - min;
  }
}

void dequantise_q5_k(const BlockQ5_K& block, float* out) {
  const float d = to_f32(block.d), dmin = to_f32(block.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin s = scale_min(block.scales, g);
    const float scale = d * static_cast<float>(s.scale), min = dmin * static_cast<float>(s.min);
    const uint8_t* q = block.q + g / 2 * 32;
    const int shift = g % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) | (((block.high[i] >> g) & 1) << 4);
      out[g * 32 + i] = scale * static_cast<float>(value) - min;
    }
  }
}

void dequantise_q6_k(const BlockQ6_K& block, float* out) {
  const float d = to_f32(block.d);
  for (int g = 0; g < 16; ++g) {
    const int half = g / 8, r = g / 2 % 4, first = g % 2 * 16;
    const uint8_t* low = block.low + half * 64 + r % 2 * 32 + first;
    const uint8_t* high = block.high + half * 32 + first;
    const int shift = r / 2 * 4;
    const float scale = d * static_cast<float>(block.scales[g]);
    for (int i = 0; i < 16; ++i) {
      const int value = ((low[i] >> shift) & 15) | (((high[i] >> (2 * r)) & 3) << 4);
      out[g * 16 + i] = scale * static_cast<float>(value - 32);
    }
  }
}

// 1 / d; 0 where that is no finite number (d = 0, or so small that its f16 form is 0 as well).
float reciprocal(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// What a block with a NaN, an infinity or a range beyond f32 becomes: all NaN, so that it is never mistaken for
// numbers.
template <class Block>
Block nan_block() {
  Block block{};
  block.d = to_f16(std::numeric_limits<float>::quiet_NaN());
  return block;
}

bool all_finite(const float* x) {
  float zero = 0.0f;
  for (int i = 0; i < kSmallBlock; ++i) zero += x[i] * 0.0f;
  return zero == 0.0f;
}

// d = max|x| / 127; q = round(x / d), halves away from zero.
BlockQ8_0 quantise_q8_0(const float* x) {
  if (!all_finite(x)) return nan_block<BlockQ8_0>();
  float largest = 0.0f;
  for (int i = 0; i < kSmallBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0f, inverse = reciprocal(d);
  BlockQ8_0 block;
  block.d = to_f16(d);
  for (int i = 0; i < kSmallBlock; ++i) block.q[i] = static_cast<int8_t>(std::round(x[i] * inverse));
  return block;
}

// d = (the value of largest magnitude, the first of equals) / -8; q = trunc(x / d + 8.5), at most 15. The sum is
// rounded once, as the fused multiply-add of ggml's builds does.
BlockQ4_0 quantise_q4_0(const float* x) {
  if (!all_finite(x)) return nan_block<BlockQ4_0>();
  float largest = 0.0f;
  for (int i = 0; i < kSmallBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  }
  const float d = largest / -8.0f, inverse = reciprocal(d);
  const auto level = [&](float value) { return std::min(15, static_cast<int>(value * inverse + 8.5f)); };
  BlockQ4_0 block;
  block.d = to_f16(d);
  for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>(level(x[i]) | (level(x[i + 16]) << 4));
  return block;
}

// m = min(x), d = (max(x) - m) / 15; q = trunc((x - m) / d + 0.5), at most 15.
BlockQ4_1 quantise_q4_1(const float* x) {
  float low = x[0], high = x[0];
  for (int i = 1; i < kSmallBlock; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  const float d = (high - low) / 15.0f, inverse = reciprocal(d);
  if (!all_finite(x) || !std::isfinite(d)) return nan_block<BlockQ4_1>();
  const auto level = [&](float value) {
    const float q = (value - low) * inverse + 0.5f;
    return std::min(15, static_cast<int>(q));
  };
  BlockQ4_1 block;
  block.d = to_f16(d);
  block.m = to_f16(low);
  for (int i = 0; i < 16; ++i) block.q[i] = static_cast<uint8_t>(level(x[i]) | (level(x[i + 16]) << 4));
  return block;
}

// A row of the table for a format of blocks.
template <class Block, int elements, void (*dequantise)(const Block&, float*)>
constexpr FormatInfo block_format(Format format, std::string_view name, uint32_t ggml_type,
                                  void (*quantise)(const float*, std::byte*, int64_t)) {
  return {format,    name,
          elements,  static_cast<int>(sizeof(Block)),
          ggml_type, dequantise_blocks<Block, elements, dequantise>,
          quantise};
}

constexpr std::array<FormatInfo, kFormatCount> kFormats{{
    {Format::f32, "f32", 1, 4, 0, dequantise_f32, quantise_f32},
    {Format::f16, "f16", 1, 2, 1, dequantise_plain<f16>, quantise_plain<f16, to_f16>},
    {Format::bf16, "bf16", 1, 2, 30, dequantise_plain<bf16>, quantise_plain<bf16, to_bf16>},
    block_format<BlockQ8_0, kSmallBlock, dequantise_q8_0>(Format::q8_0, "q8_0", 8,
                                                          quantise_blocks<BlockQ8_0, quantise_q8_0>),
    block_format<BlockQ4_0, kSmallBlock, dequantise_q4_0>(Format::q4_0, "q4_0", 2,
                                                          quantise_blocks<BlockQ4_0, quantise_q4_0>),
    block_format<BlockQ4_1, kSmallBlock, dequantise_q4_1>(Format::q4_1, "q4_1", 3,
                                                          quantise_blocks<BlockQ4_1, quantise_q4_1>),
    block_format<BlockQ5_0, kSmallBlock, dequantise_q5_0>(Format::q5_0, "q5_0", 6, nullptr),
    block_format<BlockQ5_1, kSmallBlock, dequantise_q5_1>(Format::q5_1, "q5_1", 7, nullptr),
    block_format<BlockQ4_K, kSuperBlock, dequantise_q4_k>(Format::q4_k, "q4_k", 12, nullptr),
    block_format<BlockQ5_K, kSuperBlock, dequantise_q5_k>(Format::q5_k, "q5_k", 13, nullptr),
    block_format<BlockQ6_K, kSuperBlock, dequantise_q6_k>(Format::q6_k, "q6_k", 14, nullptr),
}};

constexpr bool rows_in_order() {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (static_cast<size_t>(kFormats[i].format) != i) return false;
  }
  return true;
}
static_assert(rows_in_order());

}  // namespace

const FormatInfo& format_info(Format format) {
  SIGMA_CHECK_LT(static_cast<int>(format), kFormatCount);
  return kFormats[static_cast<size_t>(format)];
}

std::span<const FormatInfo> all_formats() { return kFormats; }

std::optional<Format> format_from_name(std::string_view name) {
  for (const FormatInfo& info : kFormats) {
    if (info.name == name) return info.format;
  }
  return std::nullopt;
}

std::optional<Format> format_from_ggml(uint32_t ggml_type) {
  for (const FormatInfo& info : kFormats) {
    if (info.ggml_type == ggml_type) return info.format;
  }
  return std::nullopt;
}

namespace {

// Exponent all ones, OR-ed without branches so that the loops vectorise.
template <class Bits, Bits kExponent>
bool finite_every(const std::byte* data, int64_t count, int64_t stride) {
  bool found = false;
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * stride, sizeof bits);
    found |= (bits & kExponent) == kExponent;
  }
  return !found;
}

bool finite_f16(const std::byte* data, int64_t count, int64_t stride) {
  return finite_every<uint16_t, 0x7c00>(data, count, stride);
}

}  // namespace

bool all_finite(Format format, const std::byte* blocks, int64_t n) {
  const FormatInfo& info = format_info(format);
  const int64_t count = n / info.block_elements, stride = info.block_bytes;
  switch (format) {
    case Format::f32:
      return finite_every<uint32_t, 0x7f800000u>(blocks, count, stride);
    case Format::bf16:
      return finite_every<uint16_t, 0x7f80>(blocks, count, stride);
    case Format::f16:
    case Format::q8_0:
    case Format::q4_0:
    case Format::q5_0:
      return finite_f16(blocks, count, stride);
    case Format::q4_1:
    case Format::q5_1:
    case Format::q4_k:
    case Format::q5_k:
      return finite_f16(blocks, count, stride) && finite_f16(blocks + 2, count, stride);
    case Format::q6_k:
      return finite_f16(blocks + offsetof(BlockQ6_K, d), count, stride);
  }
  return false;
}

}  // namespace sigma
