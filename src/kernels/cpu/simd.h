// Vectors for the kernel sources that are compiled once per ISA, everything in namespace sigma::SIGMA_ISA. The build
// defines SIGMA_ISA (avx512_bf16, avx512, avx2, neon, scalar) and SIGMA_SIMD_HEADER, the file with that ISA's
// primitives:
//
//   kLanes, kRegisters                  32-bit lanes of a vector; vector registers
//   F32, I32                            vectors of float and int32_t; + - * / work on F32, + - & ^ << >> on I32
//   set(x), zero_f32(), zero_i32()
//   load(p), store(p, v)                f32 or i32 by pointer type, any alignment
//   load_n(p, n), store_n(p, v, n)      the first n of kLanes lanes, the others 0 / untouched; nothing else is accessed
//   load_bf16, load_f16, load_i8        kLanes narrow values, widened to F32
//   store_bf16, store_f16, store_i8     kLanes values, rounded to nearest even (i8: of an I32 within [-128, 127])
//   load_raw(p)                         4 * kLanes bytes as I32: packed pairs of bf16, packed quads of int8
//   set_raw(p)                          4 bytes at p in every lane
//   fma(a, b, c)                        a * b + c, fused where the ISA has it
//   max(a, b), min(a, b)                b where either is NaN (NEON: NaN)
//   abs, sqrt, sum(v), max_of(v)        sums and maxima over lanes, in one fixed order; max, max_of, sum of I32 too
//   select_lt(a, b, x, y)               lane-wise a < b ? x : y
//   lanes_ge(a, b)                      bit i set where a[i] >= b[i]
//   store_lanes(p, v, lanes)            the lanes whose bits are set, side by side; may write kLanes values
//   set_f16(p)                          one f16, widened, in every lane
//   unpack_low(a, b), unpack_high(a, b) 16-bit parts of a and b in turn, of the low / high half of each 128 bits
//   split_power(x, f)                   n, an integer, and f, |f| <= 1/2, so that n + f = x, for x in [-160, 120]; NaN
//                                       stays; below, scale_by_power(p, n) is 0
//   scale_by_power(p, n)                p * 2^n; p about 1, below 2^-126 may be 0
//   in_order(v)                         v, loaded once and not before an earlier in_order: ascending reads prefetch
//   prefetch(p), prefetch_far(p)        the line at p, into the first cache or the one behind it
//   to_i32(v)                           nearest even; |v| < 2^22        to_f32(i)
//   as_i32, as_f32                      the same bits
//   dot_u8s8(acc, u, s)                 acc[i] + four products of unsigned and signed bytes, exact
//   dot_u7s8(acc, u, s)                 the same for u < 128
//   kFetchesAll                         whether prefetch_far pays wherever memory is streamed
//
// and, with SIGMA_BF16_PRODUCTS, an ISA that multiplies pairs of bf16 (kBf16Products; elsewhere bf16 is widened, and
// what it is multiplied with stays f32):
//   dot_bf16(acc, a, b)                 acc[i] + a[i].0 * b[i].0 + a[i].1 * b[i].1
//   store_bf16_fast(p, a, b)            2 * kLanes values to nearest even; subnormals may become 0
//
// A function from outside this namespace that is not inlined would be one linker symbol shared by every ISA, and the
// linker may keep the copy with instructions that this CPU lacks. So these sources use no library templates; a test
// reads their symbol tables.
#pragma once

#include <cstdint>

#include "base/numeric.h"

#include SIGMA_SIMD_HEADER

// Before a loop over a register tile, whose bounds are constants.
#ifdef __clang__
#define SIGMA_UNROLL _Pragma("unroll")
#else
#define SIGMA_UNROLL _Pragma("GCC unroll 32")
#endif

namespace sigma::SIGMA_ISA {

// The first n lanes, n in 1 .. kLanes: without a mask where there is no need.
inline F32 load_some(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
inline void store_some(float* p, F32 v, int n) {
  if (n == kLanes) {
    store(p, v);
  } else {
    store_n(p, v, n);
  }
}

// The two halves of pairs of bf16.
inline F32 first_of(I32 pairs) { return as_f32(pairs << 16); }
inline F32 second_of(I32 pairs) { return as_f32(pairs & set(static_cast<int32_t>(0xffff0000u))); }

#ifdef SIGMA_BF16_PRODUCTS
inline constexpr bool kBf16Products = true;
#else
inline constexpr bool kBf16Products = false;
// For branches that are compiled but not taken.
inline F32 dot_bf16(F32 acc, I32 a, I32 b) {
  return fma(second_of(a), second_of(b), fma(first_of(a), first_of(b), acc));
}
inline void store_bf16_fast(bf16* p, F32 a, F32 b) {
  store_bf16(p, a);
  store_bf16(p + kLanes, b);
}
#endif

// What is streamed from memory is fetched this far ahead: everything where kFetchesAll says so, else only where there
// are so many dot products for each line of memory that the processor's own prefetchers fall behind; with fewer, where
// memory decides, they do better alone.
inline constexpr int kFarDots = 6;
inline constexpr int64_t kFarBytes = 16384;

// e^x within 2 ulp; 0 below ln(2^-126) (so exp(-inf) = 0), inf above ln(FLT_MAX), NaN stays NaN.
// x = n ln 2 + r, |r| <= ln(2) / 2; e^r by its Taylor polynomial of degree 7.
inline F32 exp(F32 x) {
  const F32 low = set(-87.33654f), high = set(88.72284f);
  const F32 clamped = min(high, max(low, x));  // this order lets NaN through
  const I32 n = to_i32(clamped * set(1.44269504088896341f));
  const F32 nf = to_f32(n);
  F32 r = fma(nf, set(-0.693145751953125f), clamped);  // ln 2 in two parts; nf times the first is exact
  r = fma(nf, set(-1.42860682030941723e-6f), r);
  F32 p = set(1.0f / 5040);
  p = fma(p, r, set(1.0f / 720));
  p = fma(p, r, set(1.0f / 120));
  p = fma(p, r, set(1.0f / 24));
  p = fma(p, r, set(1.0f / 6));
  p = fma(p, r, set(0.5f));
  p = fma(p, r * r, r) + set(1.0f);
  const I32 half = n >> 1;  // 2^n in two factors: n = 128 has no exponent of its own
  F32 y = p * as_f32((half + set(127)) << 23) * as_f32((n - half + set(127)) << 23);
  y = select_lt(x, low, zero_f32(), y);
  return select_lt(high, x, set(__builtin_inff()), y);
}

// 2^x for x <= 120, relative error below 2e-7; exactly 1 at 0, 0 far below and at -inf; NaN stays NaN.
// 2^f, |f| <= 1/2, is the minimax polynomial of degree 5 that is 1 at 0.
inline F32 exp2(F32 x) {
  F32 f;
  const F32 n = split_power(x, f);
  F32 p = set(1.326472708e-03f);
  p = fma(p, f, set(9.671512649e-03f));
  p = fma(p, f, set(5.550733744e-02f));
  p = fma(p, f, set(2.402224209e-01f));
  p = fma(p, f, set(6.931469776e-01f));
  p = fma(p, f, set(1.0f));
  return scale_by_power(p, n);
}

}  // namespace sigma::SIGMA_ISA
