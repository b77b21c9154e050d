// The compiler's own vectors, on whatever the target's baseline is: runs everywhere. See simd.h.
#pragma once

#include <cstdint>

#include "base/numeric.h"

namespace sigma::SIGMA_ISA {

inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 16;
inline constexpr bool kFetchesAll = false;
using F32 = float __attribute__((vector_size(16)));
using I32 = int32_t __attribute__((vector_size(16)));

inline F32 set(float x) { return F32{x, x, x, x}; }
inline I32 set(int32_t x) { return I32{x, x, x, x}; }
inline F32 zero_f32() { return set(0.0f); }
inline I32 zero_i32() { return set(0); }
inline I32 as_i32(F32 v) { return (I32)v; }
inline F32 as_f32(I32 v) { return (F32)v; }

inline I32 load_raw(const void* p) {
  I32 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline I32 set_raw(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return set(x);
}
inline F32 load(const float* p) { return as_f32(load_raw(p)); }
inline I32 load(const int32_t* p) { return load_raw(p); }
inline void store(float* p, F32 v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store(int32_t* p, I32 v) { __builtin_memcpy(p, &v, sizeof v); }
inline F32 load_n(const float* p, int n) {
  F32 v = zero_f32();
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
inline void store_n(float* p, F32 v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

inline F32 load_bf16(const bf16* p) { return F32{to_f32(p[0]), to_f32(p[1]), to_f32(p[2]), to_f32(p[3])}; }
inline F32 load_f16(const f16* p) { return F32{to_f32(p[0]), to_f32(p[1]), to_f32(p[2]), to_f32(p[3])}; }
inline F32 load_i8(const int8_t* p) {
  return F32{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])};
}
inline void store_bf16(bf16* p, F32 v) {
  for (int i = 0; i < kLanes; ++i) p[i] = to_bf16(v[i]);
}
inline void store_f16(f16* p, F32 v) {
  for (int i = 0; i < kLanes; ++i) p[i] = to_f16(v[i]);
}
inline void store_i8(int8_t* p, I32 v) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(v[i]);
}

inline F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }
inline F32 max(F32 a, F32 b) {
  const I32 m = a > b;
  return as_f32((m & as_i32(a)) | (~m & as_i32(b)));
}
inline F32 min(F32 a, F32 b) {
  const I32 m = a < b;
  return as_f32((m & as_i32(a)) | (~m & as_i32(b)));
}
inline F32 abs(F32 a) { return as_f32(as_i32(a) & set(0x7fffffff)); }
inline F32 sqrt(F32 a) {
  return F32{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3])};
}
inline float sum(F32 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float max_of(F32 v) {
  const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}
inline I32 max(I32 a, I32 b) {
  const I32 m = a > b;
  return (m & a) | (~m & b);
}
inline int32_t max_of(I32 v) {
  const int32_t a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
  return a > b ? a : b;
}
inline int32_t sum(I32 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline F32 select_lt(F32 a, F32 b, F32 x, F32 y) {
  const I32 m = a < b;
  return as_f32((m & as_i32(x)) | (~m & as_i32(y)));
}
inline uint32_t lanes_ge(F32 a, F32 b) {
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(a[i] >= b[i]) << i;
  return bits;
}

// Adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the low bits.
inline I32 to_i32(F32 v) { return as_i32(v + set(12582912.0f)) - as_i32(set(12582912.0f)); }
inline F32 to_f32(I32 v) {
  return F32{static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2]), static_cast<float>(v[3])};
}

inline I32 dot_u8s8(I32 acc, I32 u, I32 s) {
  for (int i = 0; i < 4; ++i) acc += ((u >> (8 * i)) & set(0xff)) * ((s << (24 - 8 * i)) >> 24);
  return acc;
}
inline I32 dot_u7s8(I32 acc, I32 u, I32 s) { return dot_u8s8(acc, u, s); }

inline I32 in_order(I32 v) { return v; }
inline F32 set_f16(const f16* p) { return set(to_f32(*p)); }
using I16 = int16_t __attribute__((vector_size(16)));
inline I32 unpack_low(I32 a, I32 b) {
  const I16 x = (I16)a, y = (I16)b;
  return (I32)I16{x[0], y[0], x[1], y[1], x[2], y[2], x[3], y[3]};
}
inline I32 unpack_high(I32 a, I32 b) {
  const I16 x = (I16)a, y = (I16)b;
  return (I32)I16{x[4], y[4], x[5], y[5], x[6], y[6], x[7], y[7]};
}
inline F32 round(F32 v) { return v + set(12582912.0f) - set(12582912.0f); }

inline void prefetch(const void* p) { __builtin_prefetch(p); }
inline void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace sigma::SIGMA_ISA

#include "kernels/cpu/simd_plain.h"
