// AVX2 with FMA and F16C. See simd.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "base/numeric.h"

namespace sigma::SIGMA_ISA {

inline constexpr int kLanes = 8;
inline constexpr int kRegisters = 16;
inline constexpr bool kFetchesAll = false;
using F32 = __m256;
using I32 = int32_t __attribute__((vector_size(32)));

inline F32 set(float x) { return _mm256_set1_ps(x); }
inline I32 set(int32_t x) { return (I32)_mm256_set1_epi32(x); }
inline F32 zero_f32() { return _mm256_setzero_ps(); }
inline I32 zero_i32() { return (I32)_mm256_setzero_si256(); }

inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline F32 load(const float* p) { return _mm256_loadu_ps(p); }
inline I32 load(const int32_t* p) { return (I32)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
inline void store(int32_t* p, I32 v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)v); }
inline F32 load_n(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store_n(float* p, F32 v, int n) { _mm256_maskstore_ps(p, first_lanes(n), v); }

inline F32 load_bf16(const bf16* p) {
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
inline F32 load_f16(const f16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline F32 load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline void store_bf16(bf16* p, F32 v) {
  const __m256i u = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i bits = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half);
}
inline void store_f16(f16* p, F32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
inline void store_i8(int8_t* p, I32 v) {
  const __m256i w = (__m256i)v;
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}

inline I32 load_raw(const void* p) { return (I32)_mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline I32 set_raw(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}

inline F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
inline F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
inline F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
inline F32 abs(F32 a) { return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
inline F32 sqrt(F32 a) { return _mm256_sqrt_ps(a); }
inline float sum(F32 v) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float max_of(F32 v) {
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
inline I32 max(I32 a, I32 b) { return (I32)_mm256_max_epi32((__m256i)a, (__m256i)b); }
inline int32_t max_of(I32 v) {
  const __m128i a = _mm_max_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  const __m128i b = _mm_max_epi32(a, _mm_shuffle_epi32(a, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
inline int32_t sum(I32 v) {
  const __m128i a = _mm_add_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  const __m128i b = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
inline F32 select_lt(F32 a, F32 b, F32 x, F32 y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
inline uint32_t lanes_ge(F32 a, F32 b) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
}

inline I32 to_i32(F32 v) { return (I32)_mm256_cvtps_epi32(v); }
inline F32 to_f32(I32 v) { return _mm256_cvtepi32_ps((__m256i)v); }
inline I32 as_i32(F32 v) { return (I32)_mm256_castps_si256(v); }
inline F32 as_f32(I32 v) { return _mm256_castsi256_ps((__m256i)v); }

// Bytes 0 and 2, then 1 and 3, as 16-bit numbers: pmaddubsw alone would saturate.
inline I32 dot_u8s8(I32 acc, I32 u, I32 s) {
  const __m256i even_u = _mm256_and_si256((__m256i)u, _mm256_set1_epi16(0xff));
  const __m256i odd_u = _mm256_srli_epi16((__m256i)u, 8);
  const __m256i even_s = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)s, 8), 8);
  const __m256i odd_s = _mm256_srai_epi16((__m256i)s, 8);
  return acc + (I32)_mm256_madd_epi16(even_u, even_s) + (I32)_mm256_madd_epi16(odd_u, odd_s);
}
// 2 * 127 * 128 fits in 16 bits.
inline I32 dot_u7s8(I32 acc, I32 u, I32 s) {
  return acc + (I32)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)u, (__m256i)s), _mm256_set1_epi16(1));
}

inline I32 in_order(I32 v) {
  asm volatile("" : "+x"(v));
  return v;
}
inline F32 set_f16(const f16* p) { return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(p->bits))); }
inline I32 unpack_low(I32 a, I32 b) { return (I32)_mm256_unpacklo_epi16((__m256i)a, (__m256i)b); }
inline I32 unpack_high(I32 a, I32 b) { return (I32)_mm256_unpackhi_epi16((__m256i)a, (__m256i)b); }
inline F32 round(F32 v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void prefetch_far(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace sigma::SIGMA_ISA

#include "kernels/cpu/simd_plain.h"
