// Small helpers over views.
#pragma once

#include <algorithm>

#include "kernels/gradients.h"
#include "kernels/kernels.h"

namespace sigma {

// A contiguous matrix of scratch, contents undefined.
inline TensorView take(Arena& arena, DType type, int64_t rows, int64_t cols) {
  return {arena.take<std::byte>(rows * cols * dtype_bytes(type)), type, rows, cols, cols * dtype_bytes(type)};
}

// out = in, rounded to out's type, on all threads.
inline void convert(const Context& context, TensorView out, ConstTensorView in) {
  constexpr int64_t kRows = 64;
  context.threads.run(ceil_div(out.rows, kRows), [&](int64_t task) {
    const int64_t first = task * kRows, count = std::min(kRows, out.rows - first);
    context.k.gradients->convert(out.slice_rows(first, count), in.slice_rows(first, count));
  });
}

}  // namespace sigma
