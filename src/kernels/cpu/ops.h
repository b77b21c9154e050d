// The kernels of one ISA, by the file that has them; their contracts are in kernels/kernels.h. Declared once per ISA.
#pragma once

#include "kernels/gradients.h"
#include "kernels/kernels.h"

namespace sigma::SIGMA_ISA {

// matmul.cc
void matmul(const Context& context, ConstTensorView x, std::span<const MatmulJob> jobs);

// rows.cc
void rms_norm(const Context& context, TensorView out, ConstTensorView x, const float* weight, float eps);
void rope(const Context& context, TensorView x, int64_t dim, ConstTensorView cos, ConstTensorView sin);
void swiglu(const Context& context, TensorView out, ConstTensorView gate, ConstTensorView up);

// attention.cc
int64_t page_bytes(CacheKind kind, const CacheShape& shape);
void kv_store(const Context& context, CacheKind kind, const PagedView& cache, ConstTensorView x,
              std::span<const SeqSlice> seqs);
void kv_load(CacheKind kind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out);
void attention(const Context& context, const AttentionArgs& args);

// gradients.cc
extern const GradientKernels gradients;

}  // namespace sigma::SIGMA_ISA
