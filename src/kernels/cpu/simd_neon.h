// AArch64 NEON, armv8-a as every such processor has it. See simd.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "base/numeric.h"

namespace sigma::SIGMA_ISA {

inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 32;
inline constexpr bool kFetchesAll = false;
using F32 = float32x4_t;
using I32 = int32x4_t;

inline F32 set(float x) { return vdupq_n_f32(x); }
inline I32 set(int32_t x) { return vdupq_n_s32(x); }
inline F32 zero_f32() { return vdupq_n_f32(0.0f); }
inline I32 zero_i32() { return vdupq_n_s32(0); }

inline F32 load(const float* p) { return vld1q_f32(p); }
inline I32 load(const int32_t* p) { return vld1q_s32(p); }
inline void store(float* p, F32 v) { vst1q_f32(p, v); }
inline void store(int32_t* p, I32 v) { vst1q_s32(p, v); }
inline F32 load_n(const float* p, int n) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
inline void store_n(float* p, F32 v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

inline F32 load_bf16(const bf16* p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p)), 16));
}
inline F32 load_f16(const f16* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))));
}
inline F32 load_i8(const int8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(quad));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
inline void store_bf16(bf16* p, F32 v) {
  const uint32x4_t u = vreinterpretq_u32_f32(v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
  vst1_u16(reinterpret_cast<uint16_t*>(p), vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet), 16));
}
inline void store_f16(f16* p, F32 v) {
  vst1_u16(reinterpret_cast<uint16_t*>(p), vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
inline void store_i8(int8_t* p, I32 v) {
  const int16x4_t words = vqmovn_s32(v);
  const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
  const int32_t quad = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
  __builtin_memcpy(p, &quad, 4);
}

inline I32 load_raw(const void* p) { return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p))); }
inline I32 set_raw(const void* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return vdupq_n_s32(x);
}

inline F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
inline F32 max(F32 a, F32 b) { return vmaxq_f32(a, b); }
inline F32 min(F32 a, F32 b) { return vminq_f32(a, b); }
inline F32 abs(F32 a) { return vabsq_f32(a); }
inline F32 sqrt(F32 a) { return vsqrtq_f32(a); }
inline float sum(F32 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float max_of(F32 v) { return vmaxvq_f32(v); }
inline I32 max(I32 a, I32 b) { return vmaxq_s32(a, b); }
inline int32_t max_of(I32 v) { return vmaxvq_s32(v); }
inline int32_t sum(I32 v) { return vaddvq_s32(v); }
inline F32 select_lt(F32 a, F32 b, F32 x, F32 y) { return vbslq_f32(vcltq_f32(a, b), x, y); }
inline uint32_t lanes_ge(F32 a, F32 b) {
  constexpr uint32_t bits[kLanes] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgeq_f32(a, b), vld1q_u32(bits)));
}

inline I32 to_i32(F32 v) { return vcvtnq_s32_f32(v); }
inline F32 to_f32(I32 v) { return vcvtq_f32_s32(v); }
inline I32 as_i32(F32 v) { return vreinterpretq_s32_f32(v); }
inline F32 as_f32(I32 v) { return vreinterpretq_f32_s32(v); }

inline I32 dot_u8s8(I32 acc, I32 u, I32 s) {
  const uint8x16_t ub = vreinterpretq_u8_s32(u);
  const int8x16_t sb = vreinterpretq_s8_s32(s);
  const int16x8_t u0 = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(ub)));
  const int16x8_t u1 = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(ub)));
  const int16x8_t s0 = vmovl_s8(vget_low_s8(sb)), s1 = vmovl_s8(vget_high_s8(sb));
  const int32x4_t p0 = vmull_s16(vget_low_s16(u0), vget_low_s16(s0)), p1 = vmull_high_s16(u0, s0);
  const int32x4_t p2 = vmull_s16(vget_low_s16(u1), vget_low_s16(s1)), p3 = vmull_high_s16(u1, s1);
  return vaddq_s32(acc, vpaddq_s32(vpaddq_s32(p0, p1), vpaddq_s32(p2, p3)));
}
inline I32 dot_u7s8(I32 acc, I32 u, I32 s) {
  const int8x16_t ub = vreinterpretq_s8_s32(u), sb = vreinterpretq_s8_s32(s);
  const int16x8_t p0 = vmull_s8(vget_low_s8(ub), vget_low_s8(sb)), p1 = vmull_high_s8(ub, sb);
  return vaddq_s32(acc, vpaddq_s32(vpaddlq_s16(p0), vpaddlq_s16(p1)));
}

inline I32 in_order(I32 v) {
  asm volatile("" : "+w"(v));
  return v;
}
inline F32 set_f16(const f16* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(p->bits))); }
inline I32 unpack_low(I32 a, I32 b) {
  return vreinterpretq_s32_s16(vzip1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));
}
inline I32 unpack_high(I32 a, I32 b) {
  return vreinterpretq_s32_s16(vzip2q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)));
}
inline F32 round(F32 v) { return vrndnq_f32(v); }

inline void prefetch(const void* p) { __builtin_prefetch(p); }
inline void prefetch_far(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace sigma::SIGMA_ISA

#include "kernels/cpu/simd_plain.h"
