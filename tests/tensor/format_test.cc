// Storage formats against golden blocks of the reference implementation (format_golden.h), and what NaN and rounding
// do.
#include "tensor/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "base/numeric.h"
#include "base/rng.h"
#include "tensor/format_golden.h"

namespace sigma {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint64_t fnv1a(std::span<const std::byte> bytes) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (const std::byte b : bytes) h = (h ^ static_cast<uint64_t>(b)) * 0x100000001b3ull;
  return h;
}

std::vector<float> dequantise(Format format, std::span<const std::byte> blocks) {
  const FormatInfo& info = format_info(format);
  std::vector<float> out(blocks.size() / info.block_bytes * info.block_elements);
  info.dequantise(blocks.data(), out.data(), static_cast<int64_t>(out.size()));
  return out;
}

std::vector<std::byte> quantise(Format format, const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<size_t>(format_row_bytes(format, n)));
  format_info(format).quantise(values.data(), blocks.data(), n);
  return blocks;
}

// As tools/make_format_golden.py makes them: random bytes whose f16 scales are finite and below 2.
std::vector<std::byte> random_blocks(Format format, size_t count, uint64_t seed) {
  const auto block_bytes = static_cast<size_t>(format_info(format).block_bytes);
  std::vector<std::byte> bytes(count * block_bytes);
  Rng rng(seed);
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng.next() >> 56);
  std::vector<size_t> scales = {0};
  if (format == Format::q6_k) scales = {208};
  if (format == Format::q4_1 || format == Format::q5_1 || format == Format::q4_k || format == Format::q5_k) {
    scales = {0, 2};
  }
  for (size_t b = 0; b < count; ++b) {
    for (const size_t at : scales) bytes[b * block_bytes + at + 1] &= std::byte{0xbf};
  }
  return bytes;
}

std::vector<float> random_values(size_t count, uint64_t seed, float step) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(static_cast<int64_t>(rng.next() >> 48) - 32768) * step;
  return values;
}

TEST(Format, TableIsConsistent) {
  std::set<std::string_view> names;
  std::set<uint32_t> numbers;
  ASSERT_EQ(all_formats().size(), static_cast<size_t>(kFormatCount));
  for (const FormatInfo& info : all_formats()) {
    EXPECT_EQ(&format_info(info.format), &info);
    EXPECT_EQ(format_from_name(info.name), info.format);
    EXPECT_EQ(format_from_ggml(info.ggml_type), info.format);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(numbers.insert(info.ggml_type).second) << info.name;
  }
  EXPECT_EQ(format_from_name("q2_k"), std::nullopt);
  EXPECT_EQ(format_from_ggml(10), std::nullopt);
  EXPECT_EQ(format_row_bytes(Format::q4_1, 96), 60);
  EXPECT_EQ(format_row_bytes(Format::q6_k, 512), 420);
  EXPECT_EQ(format_row_bytes(Format::bf16, 7), 14);
}

TEST(Format, DequantisesGoldenBlocks) {
  for (const test::GoldenBlock& golden : test::kGoldenBlocks) {
    const std::vector<float> out = dequantise(golden.format, std::as_bytes(std::span(golden.bytes)));
    ASSERT_EQ(out.size(), golden.values.size());
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(out[i], static_cast<float>(golden.values[i])) << format_info(golden.format).name << " value " << i;
    }
  }
}

TEST(Format, DequantisesRandomBlocksToTheSameBits) {
  uint64_t seed = 100;
  for (const test::GoldenHash& golden : test::kDequantised) {
    const std::vector<float> out = dequantise(golden.format, random_blocks(golden.format, 64, seed++));
    EXPECT_EQ(fnv1a(std::as_bytes(std::span(out))), golden.hash) << format_info(golden.format).name;
  }
}

TEST(Format, DequantisesAtAnyAddress) {
  for (const FormatInfo& info : all_formats()) {
    const std::vector<std::byte> blocks = random_blocks(info.format, 3, 7);
    std::vector<std::byte> shifted(blocks.size() + 1);
    std::memcpy(shifted.data() + 1, blocks.data(), blocks.size());
    const std::vector<float> a = dequantise(info.format, blocks);
    const std::vector<float> b = dequantise(info.format, std::span(shifted).subspan(1));
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << info.name;
  }
}

// A half has 1 + 5 + 10 bits, a bf16 1 + 8 + 7: every one of them against its definition, and back again.
TEST(Format, SixteenBitFormatsAreExact) {
  struct Layout {
    Format format;
    int exponent_bits, mantissa_bits;
  };
  for (const Layout layout : {Layout{Format::f16, 5, 10}, Layout{Format::bf16, 8, 7}}) {
    std::vector<uint16_t> bits(65536);
    for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
    const std::vector<float> out = dequantise(layout.format, std::as_bytes(std::span(bits)));
    const int bias = (1 << (layout.exponent_bits - 1)) - 1, top = (1 << layout.exponent_bits) - 1;
    for (int i = 0; i < 65536; ++i) {
      const int exponent = (i >> layout.mantissa_bits) & top, mantissa = i & ((1 << layout.mantissa_bits) - 1);
      const double significand = std::ldexp(mantissa, -layout.mantissa_bits) + (exponent == 0 ? 0 : 1);
      const double magnitude = std::ldexp(significand, std::max(exponent, 1) - bias);
      if (exponent == top && mantissa != 0) {
        EXPECT_TRUE(std::isnan(out[i])) << i;
        continue;
      }
      const double expected = exponent == top ? static_cast<double>(kInfinity) : magnitude;
      ASSERT_EQ(static_cast<double>(out[i]), i < 32768 ? expected : -expected) << format_info(layout.format).name << i;
    }
    const std::vector<std::byte> back = quantise(layout.format, out);
    for (size_t i = 0; i < bits.size(); ++i) {
      uint16_t found = 0;
      std::memcpy(&found, back.data() + i * 2, 2);
      if (std::isnan(out[i])) {
        ASSERT_TRUE(std::isnan(dequantise(layout.format, std::span(back).subspan(i * 2, 2))[0]));
      } else {
        ASSERT_EQ(found, bits[i]);
      }
    }
  }
}

TEST(Format, QuantisesGoldenBlocks) {
  const std::vector<float> values = random_values(32, 200, 1.0f / 512);
  for (const test::GoldenBytes& golden : test::kQuantisedBlocks) {
    const std::vector<std::byte> bytes = quantise(golden.format, values);
    const std::string_view found(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_EQ(found, golden.bytes) << format_info(golden.format).name;
  }
}

TEST(Format, QuantisesManyValuesWithTiesToTheSameBytes) {
  std::vector<float> values = random_values(4096, 300, 0.002f);
  for (float& x : values) x = std::nearbyint(x) * 0.7f;
  for (const test::GoldenHash& golden : test::kQuantised) {
    EXPECT_EQ(fnv1a(quantise(golden.format, values)), golden.hash) << format_info(golden.format).name;
  }
}

TEST(Format, Q8RoundsHalvesAwayFromZero) {
  std::vector<float> values(32, 0.0f);
  const std::vector<float> in = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -2.5f, 0.25f}, expected = {127, 1, 2, 3, -1, -3, 0};
  std::copy(in.begin(), in.end(), values.begin());
  const std::vector<float> out = dequantise(Format::q8_0, quantise(Format::q8_0, values));
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(out[i], expected[i]) << in[i];
}

// The error is at most half a step (q4_0's scale is set by one end: a whole step at the other), plus f16's rounding of
// the scales.
TEST(Format, QuantisationErrorIsBounded) {
  const std::vector<float> values = random_values(4096, 400, 1.0f / 1024);
  for (const auto& [format, levels] : {std::pair{Format::q8_0, 127.0f}, {Format::q4_0, 8.0f}, {Format::q4_1, 7.5f}}) {
    const std::vector<float> out = dequantise(format, quantise(format, values));
    const float step = 32.0f / levels, share = format == Format::q4_0 ? 1.0f : 0.5f;
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_LE(std::fabs(out[i] - values[i]), step * share + 32.0f * 0x1p-10f) << format_info(format).name;
    }
  }
}

TEST(Format, ZeroAndTinyBlocksBecomeZero) {
  for (const Format format : {Format::q8_0, Format::q4_0, Format::q4_1}) {
    for (const float x : {0.0f, 1e-38f, 1e-44f, -1e-42f}) {
      std::vector<float> values(32, x);
      values[3] = 0.0f;
      for (const float y : dequantise(format, quantise(format, values))) EXPECT_EQ(y, 0.0f);
    }
  }
}

TEST(Format, NotFiniteBlocksBecomeNanAndLeaveOthersAlone) {
  for (const Format format : {Format::q8_0, Format::q4_0, Format::q4_1}) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      std::vector<float> values = random_values(96, 500, 0.001f);
      const std::vector<float> good = dequantise(format, quantise(format, values));
      values[32 + 17] = bad;
      const std::vector<float> out = dequantise(format, quantise(format, values));
      for (size_t i = 0; i < 96; ++i) {
        const bool in_bad_block = i / 32 == 1;
        EXPECT_TRUE(in_bad_block ? std::isnan(out[i]) : out[i] == good[i]) << i;
      }
    }
  }
  std::vector<float> wide(32, 3e38f);
  wide[0] = -3e38f;
  for (const float y : dequantise(Format::q4_1, quantise(Format::q4_1, wide))) EXPECT_TRUE(std::isnan(y));
}

TEST(Format, SixteenBitFormatsKeepNanAndInfinity) {
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    const std::vector<float> out = dequantise(format, quantise(format, {kNan, kInfinity, -kInfinity}));
    EXPECT_TRUE(std::isnan(out[0]));
    EXPECT_EQ(out[1], kInfinity);
    EXPECT_EQ(out[2], -kInfinity);
  }
}

// One number at a time is spoilt: a plain value, or a scale of a block.
TEST(Format, AllFiniteSeesEveryScale) {
  const std::pair<Format, std::vector<size_t>> scales[] = {
      {Format::q8_0, {0}},    {Format::q4_0, {0}},    {Format::q4_1, {0, 2}}, {Format::q5_0, {0}},
      {Format::q5_1, {0, 2}}, {Format::q4_k, {0, 2}}, {Format::q5_k, {0, 2}}, {Format::q6_k, {208}}};
  for (const auto& [format, offsets] : scales) {
    const FormatInfo& info = format_info(format);
    const std::vector<std::byte> good = random_blocks(format, 3, 600);
    EXPECT_TRUE(all_finite(format, good.data(), 3 * info.block_elements)) << info.name;
    for (const size_t offset : offsets) {
      for (const auto bad : {uint16_t{0x7c00}, uint16_t{0xfc00}, uint16_t{0x7e01}}) {
        std::vector<std::byte> bytes = good;
        std::memcpy(bytes.data() + static_cast<size_t>(2 * info.block_bytes) + offset, &bad, sizeof(bad));
        EXPECT_FALSE(all_finite(format, bytes.data(), 3 * info.block_elements)) << info.name;
        EXPECT_TRUE(all_finite(format, bytes.data(), 2 * info.block_elements)) << info.name;
      }
    }
  }
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      EXPECT_FALSE(all_finite(format, quantise(format, {1.0f, -2.0f, bad}).data(), 3));
    }
    EXPECT_TRUE(all_finite(format, quantise(format, {1.0f, -65504.0f, 0.0f}).data(), 3));
  }
}

}  // namespace
}  // namespace sigma
