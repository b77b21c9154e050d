// AdamW over the flat weights: f32 master weights and moments, decay by the role of each tensor (matrices and
// embeddings, not norms and biases), clipping by the global norm.
#pragma once

#include "train/parameters.h"

namespace sigma {

struct OptimiserOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  double clip = 1.0;  // largest norm of the gradient; 0: no clipping
};

class Optimiser {
 public:
  // Keeps moments for the elements [begin, end) of the flat array: all, or one rank's share.
  Optimiser(const Parameters& parameters, const OptimiserOptions& options, int64_t begin, int64_t end);

  // gradients: f32 [1, end - begin], of its elements.
  // The sum of their squares, in f64 and one fixed order.
  double gradient_squares(const Context& context, ConstTensorView gradients) const;
  // One step with the learning rate `rate`; gradient_norm is the whole model's. Refreshes the compute copies of
  // [begin, end).
  void step(const Context& context, Parameters& parameters, ConstTensorView gradients, double rate,
            double gradient_norm);

  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  std::span<float> mean() { return {mean_.as<float>(), static_cast<size_t>(end_ - begin_)}; }
  std::span<float> square() { return {square_.as<float>(), static_cast<size_t>(end_ - begin_)}; }
  uint64_t bytes() const { return mean_.size() + square_.size(); }

 private:
  OptimiserOptions options_;
  int64_t begin_, end_, updates_ = 0;
  Buffer mean_, square_;
};

}  // namespace sigma
