// Products of the trainer: oneDNN for f32 and bf16 (f32 accumulation), plain loops for f64. The result depends on the
// shapes alone, not on the number of threads. Unlike Kernels::matmul a row's bits may depend on how many rows there
// are: gradients need products over rows, and no engine runs on these.
#pragma once

#include <string>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace sigma {

enum class Op : uint8_t { plain, transposed };

struct Gemm {
  TensorView out;  // [m, n]: real, or the type of a and b
  ConstTensorView a;
  Op a_op = Op::plain;  // plain: a is [m, k]; transposed: [k, m]
  ConstTensorView b;
  Op b_op = Op::plain;  // plain: b is [k, n]; transposed: [n, k]
  Store store = Store::overwrite;
};

// out (=|+=) op(a) op(b) on the calling thread.
void gemm_tile(const Gemm& gemm);
// On all threads, out cut into pieces.
void gemm(ThreadPool& threads, const Gemm& gemm);

// y (=|+=) x w^T: a linear layer, w [outputs, inputs].
inline void linear(ThreadPool& threads, TensorView y, ConstTensorView x, ConstTensorView w,
                   Store store = Store::overwrite) {
  gemm(threads, {.out = y, .a = x, .b = w, .b_op = Op::transposed, .store = store});
}
// dx (=|+=) dy w
inline void linear_dx(ThreadPool& threads, TensorView dx, ConstTensorView dy, ConstTensorView w,
                      Store store = Store::overwrite) {
  gemm(threads, {.out = dx, .a = dy, .b = w, .store = store});
}
// dw += dy^T x
inline void linear_dw(ThreadPool& threads, TensorView dw, ConstTensorView dy, ConstTensorView x) {
  gemm(threads, {.out = dw, .a = dy, .a_op = Op::transposed, .b = x, .store = Store::add});
}

// Whether this machine multiplies bf16 in hardware that oneDNN uses.
bool gemm_has_bf16();
std::string gemm_library();  // "oneDNN 2.6.3"
// Additions and multiplications per second of a large product [512, 2048] x [2048, 2048] on all threads: the best of
// several, a fraction of a second. What shares of the peak refer to.
double measure_gemm_rate(ThreadPool& threads, DType activations);

}  // namespace sigma
