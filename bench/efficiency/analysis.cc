#include "bench/efficiency/analysis.h"

#include <algorithm>
#include <cmath>

namespace sigma::bench {

namespace {

constexpr int64_t kLongest = 1 << 17;

// The largest number of values that may be left out on each side, so that the median is outside of what remains with a
// probability of at most 2.5% on either.
size_t trimmed(size_t n) {
  double below = 0, term = std::pow(0.5, static_cast<double>(n));
  size_t k = 0;
  while (k < n) {
    below += term;  // P(no more than k of n values are below the median)
    if (below > 0.025) break;
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
    ++k;
  }
  return k == 0 ? 0 : k - 1;
}

template <class F>
Rounds combined(const Rounds& a, const Rounds& b, const F& f) {
  Rounds result;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) result.push_back(f(a[i], b[i]));
  return result;
}

// Sum over samples of weight times rounds.
Rounds weighted(const std::vector<Rounds>& samples, const std::vector<double>& weights) {
  Rounds total;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (total.empty()) total.resize(samples[i].size());
    total.resize(std::min(total.size(), samples[i].size()));
    for (size_t r = 0; r < total.size(); ++r) total[r] += weights[i] * samples[i][r];
  }
  return total;
}

double median_of(const Rounds& rounds) { return interval_of(rounds).median; }

// The shortest length in [0, kLongest] with cheaper(length); cheaper must not change back.
template <class F>
std::optional<int64_t> first_true(const F& cheaper) {
  int64_t low = -1, high = kLongest;
  if (!cheaper(high)) return std::nullopt;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (cheaper(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace

Interval interval_of(Rounds rounds) {
  if (rounds.empty()) return {};
  std::sort(rounds.begin(), rounds.end());
  const size_t n = rounds.size(), cut = trimmed(n);
  const double median = n % 2 == 1 ? rounds[n / 2] : (rounds[n / 2 - 1] + rounds[n / 2]) / 2;
  return {median, rounds[cut], rounds[n - 1 - cut]};
}

Interval gain_of(const Rounds& ours, const Rounds& theirs) { return interval_of(combined(ours, theirs, gain_over)); }

Rounds sum(const Rounds& a, const Rounds& b) {
  return combined(a, b, [](double x, double y) { return x + y; });
}

std::optional<double> zero_of(const std::vector<double>& x, const std::vector<double>& y) {
  if (y.empty() || y.back() > 0) return std::nullopt;
  size_t i = y.size() - 1;
  while (i > 0 && y[i - 1] <= 0) --i;
  if (i == 0) return x[0];
  return x[i - 1] + (x[i] - x[i - 1]) * y[i - 1] / (y[i - 1] - y[i]);
}

MachineLimits limits_of(const Results& results, const StepCell& cell, const std::string& name, size_t round) {
  MachineLimits limits{.read = cell.read[round], .read_alone = cell.read_alone[round]};
  std::copy(cell.operations.begin(), cell.operations.end(), limits.operations);
  limits.threads = results.header.at("request").at("threads");
  limits.work = work_of(results.work, name);
  return limits;
}

AttentionWork work_of(const WorkCell& cell, const std::string& name) {
  const auto found = cell.find(name);
  if (found == cell.end()) return {};
  const VariantWork& work = found->second;
  const double x[] = {context_of(work.prefix[0]), context_of(work.prefix[1])};
  const double y[] = {median_of(work.seconds[0]), median_of(work.seconds[1])};
  const double slope = (y[1] - y[0]) / (x[1] - x[0]);
  return {.fixed = y[0] - slope * x[0], .per_position = slope};
}

double context_of(int64_t prefix) { return static_cast<double>(prefix) + (1 + kTokens) / 2.0; }

std::optional<Step> find_step(const Results& results, const std::string& name, int64_t prefix, int64_t batch) {
  const StepCell* cell = results.find(prefix, batch);
  if (cell == nullptr || !cell->steps.contains(name)) return std::nullopt;
  const Variant &v = variant(name), &first = variants()[0];
  const StepRounds &ours = cell->steps.at(name), &theirs = cell->steps.at(first.name);
  const auto context = static_cast<int64_t>(context_of(prefix));
  const CostCase c = v.cost_case(context, batch);
  const StepCost cost = step_cost(v.config, {}, c),
                 other = step_cost(first.config, {}, first.cost_case(context, batch));
  Step step{.prefix = prefix, .batch = batch};
  step.seconds = interval_of(ours.attention);
  step.split = interval_of(ours.split);
  step.combine = interval_of(ours.combine);
  step.store = interval_of(ours.store);
  step.gain = gain_of(ours.attention, theirs.attention);
  step.split_gain = gain_of(ours.split, theirs.split);
  step.combine_gain = gain_of(ours.combine, theirs.combine);
  step.theory = gain_over(cost.cache_bytes_read(), other.cache_bytes_read());
  step.bytes = cost.cache_bytes_read();
  step.flops = cost.flops.attention();
  Rounds predicted;
  for (size_t r = 0; r < cell->read.size(); ++r)
    predicted.push_back(predict_step(cost, c, Format::bf16, limits_of(results, *cell, name, r)).attention);
  step.predicted = median_of(predicted);
  step.off = median_of(combined(predicted, ours.attention, [](double p, double s) { return p / s - 1; }));
  step.share = median_of(combined(ours.attention, cell->read, [&](double s, double r) { return step.bytes / s / r; }));
  return step;
}

Generation generation(const Results& results, const std::string& name, Format format, int64_t prefix, int64_t output,
                      const RoundsOf& value) {
  std::vector<double> contexts;
  std::vector<Rounds> store, attention, augmented;
  for (const int64_t sample : prefixes_of(results, 1)) {
    const StepCell& cell = *results.find(sample, 1);
    const auto step = cell.steps.find(name);
    const auto weights = cell.weights.find(std::string(format_info(format).name));
    if (step == cell.steps.end() || weights == cell.weights.end()) return {};
    contexts.push_back(context_of(sample));
    store.push_back(value(step->second.store, cell));
    attention.push_back(value(step->second.attention, cell));
    augmented.push_back(value(weights->second.augmented_q, cell));
  }
  if (contexts.empty()) return {};
  const std::vector<double> weights = generation_weights(contexts, prefix, output);
  Generation g{weighted(store, weights), weighted(attention, weights), weighted(augmented, weights)};
  if (!variant(name).augmented())
    for (double& x : g.augmented_q) x = 0;
  return g;
}

namespace {

bool cheaper(const Results& results, const std::string& name, Format format, int64_t prefix, int64_t output) {
  const Rounds ours = generation(results, name, format, prefix, output).total();
  return median_of(ours) < median_of(generation(results, variants()[0].name, format, prefix, output).total());
}

}  // namespace

std::optional<int64_t> crossover_prefix(const Results& results, const std::string& name, Format format,
                                        int64_t output) {
  return first_true([&](int64_t prefix) { return cheaper(results, name, format, prefix, output); });
}

std::optional<int64_t> crossover_output(const Results& results, const std::string& name, Format format,
                                        int64_t prefix) {
  return first_true([&](int64_t output) { return output > 0 && cheaper(results, name, format, prefix, output); });
}

std::vector<int64_t> prefixes_of(const Results& results, int64_t batch) {
  std::vector<int64_t> prefixes;
  for (const StepCell& cell : results.steps)
    if (cell.batch == batch) prefixes.push_back(cell.prefix);
  std::sort(prefixes.begin(), prefixes.end());
  return prefixes;
}

WholeStep whole_step(const Results& results, const std::string& name, Format format, int64_t prefix, int64_t batch) {
  const StepCell* cell = results.find(prefix, batch);
  if (cell == nullptr) return {};
  const auto weights = cell->weights.find(std::string(format_info(format).name));
  if (weights == cell->weights.end()) return {};
  const Variant& v = variant(name);
  const WeightRounds& w = weights->second;
  const StepRounds& step = cell->steps.at(name);
  WholeStep whole{sum(w.common, w.keys.at(key_shape_of(v))), w.augmented_q, step.attention, step.store};
  if (!v.augmented())
    for (double& x : whole.augmented_q) x = 0;
  return whole;
}

BreakEven break_even(const Results& results, const std::string& name, Format format, int64_t batch) {
  const Variant &v = variant(name), &first = variants()[0];
  BreakEven found;
  found.computed = break_even_context({&v.config, weight_bytes(v.config, format), v.cost_case(1, batch)},
                                      {&first.config, weight_bytes(first.config, format), first.cost_case(1, batch)});
  std::vector<double> contexts;
  std::vector<Rounds> extra;  // seconds that a step takes longer than the first variant's
  size_t rounds = SIZE_MAX;
  for (const int64_t prefix : prefixes_of(results, batch)) {
    const Rounds ours = whole_step(results, name, format, prefix, batch).total();
    const Rounds theirs = whole_step(results, first.name, format, prefix, batch).total();
    if (ours.empty()) continue;
    contexts.push_back(context_of(prefix));
    extra.push_back(combined(ours, theirs, [](double a, double b) { return a - b; }));
    rounds = std::min(rounds, extra.back().size());
  }
  if (contexts.empty()) return found;
  Rounds zeros;
  for (size_t r = 0; r < rounds; ++r) {
    std::vector<double> y;
    for (const Rounds& e : extra) y.push_back(e[r]);
    if (const auto zero = zero_of(contexts, y)) zeros.push_back(*zero);
  }
  if (2 * zeros.size() > rounds) found.measured = interval_of(zeros);
  return found;
}

Agreement agreement(const Results& results, const std::string& name) {
  Agreement all;
  Rounds read;
  for (const WholePart& part : results.whole) {
    all.seconds += part.seconds.at(name);
    all.typical += part.typical.at(name);
    all.integrated += part.integrated.at(name);
    read.insert(read.end(), part.read.begin(), part.read.end());
  }
  // Seconds times bandwidth: bytes that could have been read.
  const auto bytes = [](const Rounds& seconds, const StepCell& cell) {
    return combined(seconds, cell.read, [](double s, double r) { return s * r; });
  };
  all.rings =
      median_of(generation(results, name, Format::q8_0, 0, results.whole_output, bytes).total()) / median_of(read);
  return all;
}

}  // namespace sigma::bench
