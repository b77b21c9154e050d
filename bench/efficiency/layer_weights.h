// The weights of the studied models in one format, layer after layer from rings: what a step reads besides its caches.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>

#include "bench/efficiency/rings.h"

namespace sigma::bench {

// Variants whose key projections have different shapes; the others have one of theirs.
inline constexpr const char* kKeyShapes[] = {"std", "sigma", "half_after", "half_key"};
std::string key_shape_of(const Variant& v);

class LayerWeights {
 public:
  LayerWeights(const Context& context, Format format, int64_t ring_bytes);

  // Seconds of one layer, `batch` rows.
  double common(int64_t batch);       // q, v and output projections, FFN, norms, rotation: the same in every variant
  double augmented_q(int64_t batch);  // W_down (silu(W_gate q) * (W_up q))
  double keys(const std::string& key_shape, int64_t batch);  // its k projection, and the narrowing of q
  double head(int64_t batch);                                // once a step

 private:
  double product(std::initializer_list<const PackedMatrix*> w, int64_t batch);
  ConstTensorView input(int64_t rows, int64_t cols);

  const Context& context_;
  Noise noise_{19};
  std::vector<float> input_, norm_;
  MatrixRing q_, v_, o_, gate_, up_, down_, head_, q_gate_, q_up_, q_down_, narrow_;
  std::map<std::string, std::unique_ptr<MatrixRing>> k_;
};

}  // namespace sigma::bench
