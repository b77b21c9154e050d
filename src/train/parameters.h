// The numbers that training changes: one flat array of real weights, their gradients, and the copy that products read
// where activations have a type of their own. visit_weights decides the order; a tensor begins on a cache line.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gradients.h"
#include "kernels/kernels.h"
#include "model/export.h"
#include "model/weights.h"
#include "train/precision.h"

namespace sigma {

using WeightViews = WeightsOf<TensorView, TensorView>;  // vectors as [1, n]

// Where gradients lie. whole: one flat array, as the weights. buckets: two layers' worth, taken by turns while backward
// comes down the layers, and one for what is in no layer; whoever owns a gradient has to fetch it from there.
enum class GradientMemory : uint8_t { whole, buckets };

class Parameters {
 public:
  struct Tensor {
    WeightSpec spec;
    int layer = -1;               // -1: in none
    int64_t offset = 0;           // elements into the flat arrays
    TensorView weight, gradient;  // real
    TensorView copy;              // what products read: activations' type; null data: `weight` itself
    bool decays() const { return spec.role != WeightRole::norm && spec.role != WeightRole::bias; }
  };

  Parameters(const ModelConfig& config, Precision precision, GradientMemory memory = GradientMemory::whole);

  const ModelConfig& config() const { return config_; }
  Precision precision() const { return precision_; }
  const WeightViews& weights() const { return weights_; }      // as products read them
  const WeightViews& gradients() const { return gradients_; }  // real
  const std::vector<Tensor>& tensors() const { return tensors_; }
  int64_t elements() const { return elements_; }  // of a flat array, padding included (it stays zero)
  TensorView flat_weights() const;                // real [1, elements]
  TensorView flat_gradients() const;              // real [1, elements]
  uint64_t bytes() const { return real_.size() + gradient_.size() + copy_.size(); }

  // Every weight from what `reader` has, then refresh().
  void load(ThreadPool& threads, const WeightReader& reader);
  // Copies weights to what products read.
  void refresh(const Context& context);
  void clear_gradients(ThreadPool& threads);             // all there are
  void clear_gradients(ThreadPool& threads, int layer);  // of one layer, -1: of what is in none
  // For export_model. Valid while this lives.
  WeightReader reader() const;

 private:
  void place_gradients();
  ModelConfig config_;
  Precision precision_;
  GradientMemory memory_;
  int64_t elements_ = 0;
  Buffer real_, gradient_, copy_;
  std::vector<Tensor> tensors_;
  WeightViews weights_, gradients_;
};

}  // namespace sigma
