// Curves of one or several runs as an SVG picture: loss (training, smoothed, and validation) and learning rate over
// tokens.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace sigma {

struct PlotRun {
  std::string name;
  std::vector<Json> lines;  // of its metrics.jsonl
};

// Error when no run has a step.
std::string plot_runs(const std::vector<PlotRun>& runs);

}  // namespace sigma
