// AVX-512 (F, BW, DQ, VL, VNNI), with and without BF16. See simd.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "base/numeric.h"

namespace sigma::SIGMA_ISA {

inline constexpr int kLanes = 16;
inline constexpr int kRegisters = 32;
// AMD's processors with AVX-512 have BF16 too; where memory decides, their prefetchers do better alone. Intel's, whose
// reach is a page of 4 KB, do not.
#ifdef __AVX512BF16__
inline constexpr bool kFetchesAll = false;
#else
inline constexpr bool kFetchesAll = true;
#endif
using F32 = __m512;
using I32 = int32_t __attribute__((vector_size(64)));

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline F32 set(float x) { return _mm512_set1_ps(x); }
inline I32 set(int32_t x) { return (I32)_mm512_set1_epi32(x); }
inline F32 zero_f32() { return _mm512_setzero_ps(); }
inline I32 zero_i32() { return (I32)_mm512_setzero_si512(); }

inline F32 load(const float* p) { return _mm512_loadu_ps(p); }
inline I32 load(const int32_t* p) { return (I32)_mm512_loadu_si512(p); }
inline void store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
inline void store(int32_t* p, I32 v) { _mm512_storeu_si512(p, (__m512i)v); }
inline F32 load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store_n(float* p, F32 v, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

inline F32 load_bf16(const bf16* p) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
inline F32 load_f16(const f16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline F32 load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline void store_bf16(bf16* p, F32 v) {
  // vcvtneps2bf16 flushes subnormals; the integer form is exact for all values.
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
  const __m512i bits = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}
inline void store_f16(f16* p, F32 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store_i8(int8_t* p, I32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
}

inline I32 load_raw(const void* p) { return (I32)_mm512_loadu_si512(p); }
inline I32 set_raw(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}

inline F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
inline F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
inline F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
inline F32 abs(F32 a) { return _mm512_abs_ps(a); }
inline F32 sqrt(F32 a) { return _mm512_sqrt_ps(a); }
inline float sum(F32 v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float max_of(F32 v) {
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
inline I32 max(I32 a, I32 b) { return (I32)_mm512_max_epi32((__m512i)a, (__m512i)b); }
inline int32_t max_of(I32 v) { return _mm512_reduce_max_epi32((__m512i)v); }
inline int32_t sum(I32 v) { return _mm512_reduce_add_epi32((__m512i)v); }
inline F32 select_lt(F32 a, F32 b, F32 x, F32 y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
inline uint32_t lanes_ge(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline void store_lanes(float* p, F32 v, uint32_t lanes) {
  _mm512_storeu_ps(p, _mm512_maskz_compress_ps(static_cast<__mmask16>(lanes), v));  // the form to memory is slow
}
inline void store_lanes(int32_t* p, I32 v, uint32_t lanes) {
  _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(static_cast<__mmask16>(lanes), (__m512i)v));
}

inline I32 to_i32(F32 v) { return (I32)_mm512_cvtps_epi32(v); }
inline F32 to_f32(I32 v) { return _mm512_cvtepi32_ps((__m512i)v); }
inline I32 as_i32(F32 v) { return (I32)_mm512_castps_si512(v); }
inline F32 as_f32(I32 v) { return _mm512_castsi512_ps((__m512i)v); }

#ifdef __AVX512BF16__
#define SIGMA_BF16_PRODUCTS
inline F32 dot_bf16(F32 acc, I32 a, I32 b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
inline void store_bf16_fast(bf16* p, F32 a, F32 b) { _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(b, a)); }
#endif
inline I32 dot_u8s8(I32 acc, I32 u, I32 s) { return (I32)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)u, (__m512i)s); }
inline I32 dot_u7s8(I32 acc, I32 u, I32 s) { return dot_u8s8(acc, u, s); }

inline I32 in_order(I32 v) {
  asm volatile("" : "+v"(v));
  return v;
}
inline F32 set_f16(const f16* p) { return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(p->bits))); }
inline I32 unpack_low(I32 a, I32 b) { return (I32)_mm512_unpacklo_epi16((__m512i)a, (__m512i)b); }
inline I32 unpack_high(I32 a, I32 b) { return (I32)_mm512_unpackhi_epi16((__m512i)a, (__m512i)b); }
inline F32 split_power(F32 x, F32& f) {
  f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);  // 0 of infinity
  return x - f;
}
inline F32 scale_by_power(F32 p, F32 n) { return _mm512_scalef_ps(p, n); }

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace sigma::SIGMA_ISA
