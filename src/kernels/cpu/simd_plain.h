// What ISAs without instructions of their own for it make of the other primitives; included at the end of their files,
// which have round(v), to the nearest even integer, |v| < 2^22.
#pragma once

namespace sigma::SIGMA_ISA {

template <class T, class V>
inline void store_lanes(T* p, V v, uint32_t lanes) {
  T all[kLanes];
  store(all, v);
  for (; lanes != 0; lanes &= lanes - 1) *p++ = all[__builtin_ctz(lanes)];
}

inline F32 split_power(F32 x, F32& f) {
  const F32 t = max(set(-160.0f), x);  // this order lets NaN through
  const F32 n = round(t);
  f = t - n;
  return n;
}
inline F32 scale_by_power(F32 p, F32 n) {
  const F32 power = as_f32((to_i32(max(n, set(-127.0f))) + set(127)) << 23);  // 2^-127 is 0 here
  return p * power;
}

}  // namespace sigma::SIGMA_ISA
