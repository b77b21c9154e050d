// Rows of f32 or bf16 as vectors of f32, and loops over them, for kernels that take either.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace sigma::SIGMA_ISA {

inline F32 load_any(const float* p) { return load(p); }
inline F32 load_any(const bf16* p) { return load_bf16(p); }
inline void store_any(float* p, F32 v) { store(p, v); }
inline void store_any(bf16* p, F32 v) { store_bf16(p, v); }

// The first n lanes; the others 0 / untouched.
inline F32 load_first(const float* p, int n) { return load_some(p, n); }
inline F32 load_first(const bf16* p, int n) {
  if (n == kLanes) return load_bf16(p);
  bf16 lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load_bf16(lanes);
}
inline void store_first(float* p, F32 v, int n) { store_some(p, v, n); }
inline void store_first(bf16* p, F32 v, int n) {
  if (n == kLanes) return store_bf16(p, v);
  bf16 lanes[kLanes];
  store_bf16(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

// Full vectors of [0, n) and the rest: f(i, kLanes) ... f(last, n % kLanes). The count is a constant in the first.
template <class F>
inline void for_vectors(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, kLanes);
  if (i < n) f(i, static_cast<int>(n - i));
}

// Below this many elements a task is not worth handing to another thread.
inline constexpr int64_t kTaskElements = 8192;

// Calls f(row) for every row, in parallel where there is enough to do.
template <class F>
void for_rows(const Context& context, int64_t rows, int64_t elements_per_row, const F& f) {
  const int64_t per_task = ceil_div(kTaskElements, elements_per_row > 0 ? elements_per_row : 1);
  context.threads.run(ceil_div(rows, per_task), [&](int64_t task) {
    const int64_t end = (task + 1) * per_task < rows ? (task + 1) * per_task : rows;
    for (int64_t row = task * per_task; row < end; ++row) f(row);
  });
}

// Calls f with a null pointer of the type that a view holds.
template <class F>
inline void with_type(DType type, const F& f) {
  if (type == DType::bf16) {
    f(static_cast<bf16*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}

}  // namespace sigma::SIGMA_ISA
