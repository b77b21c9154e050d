#include "base/numeric.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/rng.h"

namespace sigma {
namespace {

static_assert(to_f32(to_bf16(-1.5f)) == -1.5f);
static_assert(to_f32(to_f16(0.1f)) == 0.0999755859375f);
static_assert(ceil_div(7, 5) == 2 && ceil_div(10, 5) == 2 && round_up(11, 5) == 15 && round_up(0, 64) == 0);

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }

// What an IEEE number with these fields is worth.
double value_of(uint32_t code, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto mantissa = static_cast<double>(code & ((1u << mantissa_bits) - 1));
  const auto exponent = static_cast<int>((code >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double sign = (code >> (exponent_bits + mantissa_bits)) != 0 ? -1.0 : 1.0;
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias));
}

template <class T>
void check_all_values(int exponent_bits, int mantissa_bits, T (*narrow)(float)) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t code = 0; code < 65536; ++code) {
    const float wide = to_f32(T{static_cast<uint16_t>(code)});
    const uint32_t magnitude = code & 0x7fffu;
    if (magnitude > infinity) {
      EXPECT_TRUE(std::isnan(wide)) << code;
      EXPECT_TRUE(std::isnan(to_f32(narrow(wide)))) << code;
      continue;
    }
    if (magnitude == infinity) {
      EXPECT_EQ(wide, code >> 15 != 0 ? -HUGE_VALF : HUGE_VALF);
    } else {
      EXPECT_EQ(static_cast<double>(wide), value_of(code, exponent_bits, mantissa_bits)) << code;
    }
    EXPECT_EQ(std::signbit(wide), code >> 15 != 0);
    ASSERT_EQ(narrow(wide).bits, code) << "there and back";
  }
}

// Between every two neighbours: just below the middle rounds down, just above up, the middle to the even one.
template <class T>
void check_all_middles(int exponent_bits, int mantissa_bits, T (*narrow)(float)) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t code = 0; code < infinity; ++code) {
    const double low = value_of(code, exponent_bits, mantissa_bits);
    const double high = code + 1 == infinity ? std::ldexp(1.0, 1 << (exponent_bits - 1))
                                             : value_of(code + 1, exponent_bits, mantissa_bits);
    const auto middle = static_cast<float>((low + high) / 2);
    for (const float sign : {1.0f, -1.0f}) {
      const uint32_t negative = sign < 0 ? 0x8000u : 0u;
      ASSERT_EQ(narrow(sign * middle).bits, negative | (code + (code & 1u))) << code;
      ASSERT_EQ(narrow(sign * std::nextafter(middle, 0.0f)).bits, negative | code) << code;
      ASSERT_EQ(narrow(sign * std::nextafter(middle, HUGE_VALF)).bits, negative | (code + 1)) << code;
    }
  }
}

TEST(Numeric, EveryBf16) { check_all_values<bf16>(8, 7, to_bf16); }
TEST(Numeric, EveryF16) { check_all_values<f16>(5, 10, to_f16); }
TEST(Numeric, Bf16RoundsToNearestEven) { check_all_middles<bf16>(8, 7, to_bf16); }
TEST(Numeric, F16RoundsToNearestEven) { check_all_middles<f16>(5, 10, to_f16); }

TEST(Numeric, NaNsOfEveryKindStayNaN) {
  for (const uint32_t code : {0x7f800001u, 0x7f80ffffu, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::bit_cast<float>(code)))));
    EXPECT_TRUE(std::isnan(to_f32(to_f16(std::bit_cast<float>(code)))));
  }
}

// The compiler's own half precision, where it has one for this target.
#if defined(__aarch64__)
#define SIGMA_TEST_HALF __fp16
#elif defined(__FLT16_MANT_DIG__) && !defined(__clang__)
#define SIGMA_TEST_HALF _Float16
#endif
#ifdef SIGMA_TEST_HALF
#pragma GCC diagnostic ignored "-Wpedantic"
using Half = SIGMA_TEST_HALF;

TEST(Numeric, F16AsTheCompilerConverts) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const float own = to_f32(f16{static_cast<uint16_t>(code)});
    const auto compiled = static_cast<float>(std::bit_cast<Half>(static_cast<uint16_t>(code)));
    if (!std::isnan(own)) {
      ASSERT_EQ(bits(own), bits(compiled)) << code;
    }
  }
  Rng rng(11);
  for (int i = 0; i < 1000000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<uint32_t>(rng.next()));
    if (!std::isnan(x)) {
      ASSERT_EQ(to_f16(x).bits, std::bit_cast<uint16_t>(static_cast<Half>(x))) << x;
    }
  }
}
#endif

}  // namespace
}  // namespace sigma
