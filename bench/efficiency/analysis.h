// From measured rounds to findings: medians with confidence intervals, gains, generations by integration, crossovers.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/efficiency/results.h"

namespace sigma::bench {

// A median and the interval that holds it with 95% confidence, by ranks: no assumption on how the rounds are spread.
struct Interval {
  double median = 0, low = 0, high = 0;
};
Interval interval_of(Rounds rounds);
// Of the part of `theirs` that `ours` saves, round by round.
Interval gain_of(const Rounds& ours, const Rounds& theirs);
Rounds sum(const Rounds& a, const Rounds& b);

// Where piecewise linear y(x) first falls to 0 and stays there; none: nowhere.
std::optional<double> zero_of(const std::vector<double>& x, const std::vector<double>& y);

// A variant's work, on the line through both contexts.
AttentionWork work_of(const WorkCell& cell, const std::string& variant);
// What is known of the machine in a round of a cell, and of a variant's work.
MachineLimits limits_of(const Results& results, const StepCell& cell, const std::string& variant, size_t round);

// The context of the steps that a cell measures, their average.
double context_of(int64_t prefix);

// A variant's attention at one context.
struct Step {
  int64_t prefix = 0, batch = 1;
  Interval seconds, split, combine, store;
  Interval gain, split_gain, combine_gain;  // of attention over the first variant
  double theory = 0;                        // the gain that bytes say
  double bytes = 0, flops = 0;
  double share = 0;      // of the read bandwidth measured beside it
  double predicted = 0;  // seconds, by the cost model
  double off = 0;        // predicted over measured, less 1, round by round
};
// Null where it was not measured.
std::optional<Step> find_step(const Results& results, const std::string& variant, int64_t prefix, int64_t batch);

// Seconds of a generation by part, one a round.
struct Generation {
  Rounds store, attention, augmented_q;
  Rounds total() const { return sum(sum(store, attention), augmented_q); }
};
// What to integrate: a cell's seconds as they are, unless told otherwise.
using RoundsOf = std::function<Rounds(const Rounds& seconds, const StepCell& cell)>;
// format: of the augmented query's weights. Empty rounds when a sample is missing.
Generation generation(
    const Results& results, const std::string& variant, Format format, int64_t prefix, int64_t output,
    const RoundsOf& value = [](const Rounds& seconds, const StepCell&) { return seconds; });

// The shortest prefix (output) at which a generation of that output (after that prefix) is cheaper than the first
// variant's; none: at none of up to 2^17.
std::optional<int64_t> crossover_prefix(const Results& results, const std::string& variant, Format format,
                                        int64_t output);
std::optional<int64_t> crossover_output(const Results& results, const std::string& variant, Format format,
                                        int64_t prefix);

// The whole step, weights included, seconds a round; empty where something is missing.
struct WholeStep {
  Rounds weights, augmented_q, attention, store;  // weights: all but the augmented query
  Rounds total() const { return sum(sum(weights, augmented_q), sum(attention, store)); }
};
WholeStep whole_step(const Results& results, const std::string& variant, Format format, int64_t prefix, int64_t batch);
// Prefixes measured with this batch, in order.
std::vector<int64_t> prefixes_of(const Results& results, int64_t batch);

// The context from which the whole step is cheaper than the first variant's.
struct BreakEven {
  std::optional<int64_t> computed;   // from bytes
  std::optional<Interval> measured;  // none: at no measured context
};
BreakEven break_even(const Results& results, const std::string& variant, Format format, int64_t batch);

// What the whole run says of the sampled one. Medians are compared with medians: of stretches of steps and of samples.
struct Agreement {
  double seconds = 0, typical = 0;   // of every step; each as long as the median of its stretch
  double integrated = 0, rings = 0;  // from samples beside; from rings, at the bandwidth of the whole run
  double error() const { return integrated / typical - 1; }
};
Agreement agreement(const Results& results, const std::string& variant);

}  // namespace sigma::bench
