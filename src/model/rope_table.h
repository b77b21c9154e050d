// cos and sin of every position's rotary angles, computed in f64 and kept as f32; grows with the longest context seen.
#pragma once

#include <vector>

#include "base/memory.h"
#include "tensor/tensor.h"

namespace sigma {

class RopeTable {
 public:
  // Makes positions [0, positions) available. frequencies: radians per position of each pair, the same at every call.
  void extend(const std::vector<double>& frequencies, int64_t positions);
  ConstTensorView cos() const { return view_of(static_cast<const float*>(cos_.as<float>()), positions_, pairs_); }
  ConstTensorView sin() const { return view_of(static_cast<const float*>(sin_.as<float>()), positions_, pairs_); }

 private:
  Buffer cos_, sin_;
  int64_t positions_ = 0, capacity_ = 0, pairs_ = 0;
};

}  // namespace sigma
