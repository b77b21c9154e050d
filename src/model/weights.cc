#include "model/weights.h"

namespace sigma {

std::vector<WeightSpec> weight_specs(const ModelConfig& config) {
  struct Nothing {};
  WeightsOf<Nothing, Nothing> none;
  none.layers.resize(static_cast<size_t>(config.layers));
  std::vector<WeightSpec> specs;
  visit_weights(config, none, [&](const WeightSpec& spec, Nothing&) { specs.push_back(spec); });
  return specs;
}

}  // namespace sigma
