// A study whose times follow a known law: what analysis and reports say of it can be computed by hand.
#pragma once

#include "bench/efficiency/analysis.h"

namespace sigma::bench::test {

// Seconds of a step's attention: so much, and so much a token of context.
struct Law {
  double fixed = 0, per_token = 0;
  double at(int64_t prefix) const { return fixed + per_token * context_of(prefix); }
};
inline Law law_of(const std::string& variant) {
  if (variant == "std" || variant == "repeated") return {1e-4, 4e-6};
  if (variant == "v_top" || variant == "q8_k_v_top") return {1e-3, 1e-6};
  return {1e-4, 2.5e-6};
}

inline constexpr double kStore = 2e-4, kAugmented = 15e-3, kRead = 3e10;

inline StepCell step_cell(int64_t prefix, int64_t batch) {
  StepCell cell{.prefix = prefix, .batch = batch};
  for (int round = 0; round < 9; ++round) {
    // The machine changes its speed from round to round; all variants with it.
    const double slow = 1.0 + 0.1 * round;
    cell.read.push_back(kRead / slow);
    cell.read_alone.push_back(kRead / slow);
    for (const Variant& v : variants()) {
      const double seconds = law_of(v.name).at(prefix) * static_cast<double>(batch) * slow;
      StepRounds& step = cell.steps[v.name];
      step.attention.push_back(seconds);
      step.split.push_back(seconds * 0.9);
      step.combine.push_back(seconds * 0.1);
      step.store.push_back(kStore * slow);
    }
    for (const char* format : {"q4_0", "q8_0", "bf16"}) {
      WeightRounds& weights = cell.weights[format];
      weights.common.push_back(0.05 * slow);
      weights.augmented_q.push_back(kAugmented * slow);
      for (const char* keys : kKeyShapes) weights.keys[keys].push_back(1e-3 * slow);
    }
  }
  cell.operations = {1e15, 1e15, 1e15};
  return cell;
}

inline Results synthetic_study() {
  Results results;
  Grid& grid = results.grid;
  grid = make_grid({.quick = true, .max_prefix = 32768, .max_output = 8192, .memory_bytes = 1e15, .ring_bytes = 1});
  results.whole_output = 2048;
  results.header = header_json({{"machine", "a law <of> time"}, {"kernels", "none"}, {"threads", 2}}, grid, 2048);
  for (const int64_t prefix : grid.samples) results.steps.push_back(step_cell(prefix, 1));
  for (const int64_t prefix : grid.batch_samples) results.steps.push_back(step_cell(prefix, grid.batch));
  for (const Variant& v : variants()) {
    VariantWork& work = results.work[v.name];
    work.prefix = {1014, 2038};
    for (size_t at = 0; at < 2; ++at) work.seconds[at] = Rounds(9, law_of(v.name).at(work.prefix[at]) / 4);
  }
  const Rounds nine(9, 1.0);
  results.forward.push_back({4096, nine, {{"std", nine}, {"sigma", nine}}});
  results.memory = {{"std", 4096, 106496.0 * 4096}, {"sigma", 4096, 66560.0 * 4096}};
  results.quality = {{.name = "f32 caches", .k_cache = "f32", .v_cache = "f32", .tokens = 9, .perplexity = 12},
                     {.name = "v-top 100",
                      .v_top = 100,
                      .k_cache = "bf16",
                      .v_cache = "bf16",
                      .tokens = 9,
                      .perplexity = 12.1,
                      .change = 0.8,
                      .error = 0.1}};
  for (int part = 0; part < kWholeParts; ++part) {
    WholePart whole{.part = part, .read = {kRead, kRead}};
    for (const char* name : {"std", "sigma"}) {
      whole.typical[name] = law_of(name).per_token * 2048 * 2049 / 2 / kWholeParts;
      whole.seconds[name] = 1.2 * whole.typical[name];
      whole.integrated[name] = 1.01 * whole.typical[name];
    }
    results.whole.push_back(whole);
  }
  return results;
}

}  // namespace sigma::bench::test
