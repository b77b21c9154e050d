// What a decode step of a model costs: sigma inspect --cost.
#pragma once

#include "base/json.h"
#include "model/checkpoint.h"
#include "model/cost.h"

namespace sigma {

// Cost of one step, the prediction for this machine (whose limits are measured, which takes a second), and what is
// saved against the plain form of the model: K heads as many and as wide as a standard model's, no augmented query.
Json cost_json(const Checkpoint& checkpoint, const CostCase& c);
void print_cost(const Json& cost);

}  // namespace sigma
