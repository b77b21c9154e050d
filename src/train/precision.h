// The types of a training run: what activations lie in memory as, and what real numbers (the residual stream,
// statistics, weights and their gradients) are.
#pragma once

#include "tensor/tensor.h"

namespace sigma {

struct Precision {
  DType activations = DType::f32;
  DType real = DType::f32;

  static constexpr Precision f64() { return {DType::f64, DType::f64}; }  // gradient checks
  static constexpr Precision f32() { return {DType::f32, DType::f32}; }
  static constexpr Precision bf16() { return {DType::bf16, DType::f32}; }
  bool mixed() const { return activations != real; }
};

}  // namespace sigma
