// From measured rounds to findings: medians with confidence intervals, gains, generations by integration, crossovers.
#pragma once

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

// The sum over a generation of `output` tokens after `prefix` of a step's time, which is known at some contexts and
// taken to be linear between them, is a sum of those times with these weights.
std::vector<double> generation_weights(const std::vector<double>& contexts, int64_t prefix, int64_t output);
// Where piecewise linear y(x) first falls to 0 and stays there; none: nowhere.
std::optional<double> zero_of(const std::vector<double>& x, const std::vector<double>& y);

// The context of the steps that a cell measures, their average.
double context_of(int64_t prefix);

// A variant's step at one context.
struct Step {
  int64_t prefix = 0, batch = 1;
  Interval seconds, split, combine, store;
  Interval gain, split_gain, combine_gain;  // of attention over the first variant
  double theory = 0;                        // the gain that bytes say
  double bytes = 0, flops = 0;
  double share = 0;      // of the read bandwidth measured beside it
  double predicted = 0;  // seconds
};
// Null where it was not measured.
std::optional<Step> find_step(const Results& results, const std::string& variant, int64_t prefix, int64_t batch);

// Seconds of a generation by part, one a round.
struct Generation {
  Rounds store, attention, augmented_q;
  Rounds total() const { return sum(sum(store, attention), augmented_q); }
};
// format: of the augmented query's weights. Empty rounds when a sample is missing.
Generation generation(const Results& results, const std::string& variant, Format format, int64_t prefix,
                      int64_t output);

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

// What the whole run says of the sampled one: seconds of all steps against the samples' integral.
struct Agreement {
  double whole = 0, integrated = 0;
  double error() const { return integrated / whole - 1; }
};
Agreement agreement(const WholeCell& cell, const std::string& variant);

}  // namespace sigma::bench
