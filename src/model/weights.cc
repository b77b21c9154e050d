#include "model/weights.h"

namespace sigma {

std::vector<TensorSpec> tensor_specs(const ModelConfig& config) {
  struct Nothing {};
  WeightsOf<Nothing, Nothing> none;
  none.layers.resize(static_cast<size_t>(config.layers));
  std::vector<TensorSpec> specs;
  visit_weights(config, none, [&](const TensorSpec& spec, Nothing&) { specs.push_back(spec); });
  return specs;
}

}  // namespace sigma
