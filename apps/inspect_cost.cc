#include "apps/inspect_cost.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/fmt.h"
#include "bench/efficiency/analysis.h"

namespace sigma {

namespace {

constexpr int kPageTokens = 256;
constexpr double kGib = 1 << 30;

// The best of a few reads and loops, and this model's attention out of the processor's caches.
MachineLimits measure_limits(const ModelConfig& config, const CostCase& c) {
  constexpr int kRounds = 9;
  ThreadPool threads;
  bench::Bench attention(cpu_kernels(), threads, {});
  bench::Machine& machine = attention.machine();
  MachineLimits limits{.threads = threads.size()};
  for (int i = 0; i < 5; ++i) {
    limits.read = std::max(limits.read, machine.read_once());
    limits.read_alone = std::max(limits.read_alone, machine.read_alone_once());
  }
  for (const auto kind : {bench::Peak::f32, bench::Peak::bf16, bench::Peak::int8}) {
    double& rate = limits.operations[static_cast<int>(kind)];
    for (int i = 0; i < 3; ++i) rate = std::max(rate, machine.peak_once(kind));
    if (rate == 0) rate = limits.operations[0];
  }
  const bench::Variant side{
      .name = "this", .config = config, .k_format = c.k_format, .v_top = c.v_top, .v_format = c.v_format};
  limits.work = bench::work_of(attention.work({&side, 1}, kRounds), side.name);
  return limits;
}

ModelConfig plain_form(ModelConfig config) {
  AttentionShape& a = config.attn;
  a.k_heads = a.v_heads;
  a.k_dim = a.q_dim;
  a.aug_dim = 0;
  a.key_rope = KeyRope::full;
  return config;
}

// The checkpoint's weights without the augmented query, K's projection as many rows as V's.
WeightBytes plain_weights(const ModelConfig& config, WeightBytes weights) {
  const double before = static_cast<double>(count_parameters(config).attention);
  const double after = static_cast<double>(count_parameters(plain_form(config)).attention);
  weights.projections *= after / before;
  weights.augmented_q = 0;
  return weights;
}

Json cache_json(const CacheCost& cache) {
  return {{"elements_stored", cache.elements_stored},
          {"bytes_stored", cache.bytes_stored},
          {"elements_read", cache.elements_read},
          {"bytes_read", cache.bytes_read}};
}

Json limits_json(const MachineLimits& limits) {
  return {{"read_bytes_per_second", limits.read},
          {"f32_per_second", limits.operations[0]},
          {"bf16_per_second", limits.operations[1]},
          {"int8_per_second", limits.operations[2]},
          {"threads", limits.threads},
          {"read_alone_bytes_per_second", limits.read_alone},
          {"attention_work_fixed_seconds", limits.work.fixed},
          {"attention_work_seconds_per_position", limits.work.per_position}};
}

Json plain_json(const ModelConfig& config, const WeightBytes& weights, const StepCost& cost, const CostCase& c) {
  const ModelConfig plain = plain_form(config);
  const WeightBytes theirs = plain_weights(config, weights);
  CostCase all = c;
  all.v_top = 0;
  const StepCost other = step_cost(plain, theirs, all);
  const auto even = break_even_context({&config, weights, c}, {&plain, theirs, all});
  return {{"cache_bytes_read_saved", gain_over(cost.cache_bytes_read(), other.cache_bytes_read())},
          {"step_bytes_saved", gain_over(cost.bytes(), other.bytes())},
          {"break_even_context", even ? Json(*even) : Json(nullptr)}};
}

}  // namespace

Json cost_json(const Checkpoint& checkpoint, const CostCase& c) {
  const ModelConfig& config = checkpoint.config();
  const WeightBytes weights = weight_bytes(checkpoint);
  const StepCost cost = step_cost(config, weights, c);
  const StepFlops& f = cost.flops;
  const MachineLimits limits = measure_limits(config, c);
  WeightSpec body;
  for (const WeightSpec& spec : weight_specs(config))
    if (spec.role == WeightRole::projection) body = spec;
  const StepTime time = predict_step(cost, c, checkpoint.tensor(body).format, limits);
  const auto memory = static_cast<double>(available_memory());
  return {{"context", c.context},
          {"batch", c.batch},
          {"v_top", c.v_top},
          {"k", cache_json(cost.k)},
          {"v", cache_json(cost.v)},
          {"weight_bytes",
           {{"projections", weights.projections},
            {"augmented_query", weights.augmented_q},
            {"ffn", weights.ffn},
            {"head", weights.head},
            {"norms", weights.norms},
            {"total", weights.total()}}},
          {"flops",
           {{"projections", f.projections},
            {"augmented_query", f.augmented_q},
            {"ffn", f.ffn},
            {"head", f.head},
            {"key_expansion", f.expansion},
            {"scores", f.scores},
            {"values", f.values},
            {"total", f.total()}}},
          {"bytes", cost.bytes()},
          {"machine", limits_json(limits)},
          {"predicted_seconds",
           {{"cache_store", time.store},
            {"attention", time.attention},
            {"augmented_query", time.augmented_q},
            {"other_weights", time.rest},
            {"total", time.total()}}},
          {"against_plain_form", plain_json(config, weights, cost, c)},
          {"available_memory", memory},
          {"largest_batch", largest_batch(config, weights, c, kPageTokens, memory)}};
}

void print_cost(const Json& cost) {
  const auto number = [&](const char* group, const char* name) { return cost[group][name].get<double>(); };
  const auto mb = [](double bytes) { return fmt::format("{:.2f} MB", bytes * 1e-6); };
  std::printf("one decode step: %lld sequences, %lld tokens of context each%s\n",
              static_cast<long long>(cost["batch"].get<int64_t>()),
              static_cast<long long>(cost["context"].get<int64_t>()),
              cost["v_top"] == 0 ? "" : fmt::format(", V rows of the {} best scores", cost["v_top"].dump()).c_str());
  std::printf("  %-18s %16s %14s %12s %12s\n", "", "elements read", "bytes read", "stored", "GFLOP");
  const auto row = [](const char* name, const std::string& elements, const std::string& read, const std::string& stored,
                      double flops) {
    std::printf("  %-18s %16s %14s %12s %12.3f\n", name, elements.c_str(), read.c_str(), stored.c_str(), flops * 1e-9);
  };
  const auto cache_row = [&](const char* name, const char* kind, double flops) {
    row(name, fmt::format("{:.0f}", number(kind, "elements_read")), mb(number(kind, "bytes_read")),
        fmt::format("{:.0f} B", number(kind, "bytes_stored")), flops);
  };
  cache_row("K cache", "k", number("flops", "scores") + number("flops", "key_expansion"));
  cache_row("V cache", "v", number("flops", "values"));
  for (const char* part : {"projections", "augmented_query", "ffn", "head"})
    row(part, "", mb(number("weight_bytes", part)), "", number("flops", part));
  row("total", "", mb(cost["bytes"].get<double>()), "", number("flops", "total"));
  std::printf(
      "at this machine's read of %.1f GB/s (%.1f by one thread alone) and peaks of %.0f f32, %.0f bf16, %.0f int8 "
      "GOP/s; attention with its work out of caches, %.2f ms:\n",
      number("machine", "read_bytes_per_second") * 1e-9, number("machine", "read_alone_bytes_per_second") * 1e-9,
      number("machine", "f32_per_second") * 1e-9, number("machine", "bf16_per_second") * 1e-9,
      number("machine", "int8_per_second") * 1e-9,
      1e3 * cost["batch"].get<double>() *
          (number("machine", "attention_work_fixed_seconds") +
           number("machine", "attention_work_seconds_per_position") * cost["context"].get<double>()));
  for (const auto& [name, seconds] : cost["predicted_seconds"].items())
    std::printf("  %-18s %10.3f ms\n", name.c_str(), seconds.get<double>() * 1e3);
  const Json& plain = cost["against_plain_form"];
  std::printf(
      "against the same with K like V and no augmented query: %.1f%% of cache bytes saved, %.1f%% of the step's\n",
      plain["cache_bytes_read_saved"].get<double>() * 100, plain["step_bytes_saved"].get<double>() * 100);
  const bool even = !plain["break_even_context"].is_null();
  std::printf("  reads less from a context of %s tokens\n", even ? plain["break_even_context"].dump().c_str() : "no");
  std::printf("sequences of this context that fit %.1f GiB: %lld\n", cost["available_memory"].get<double>() / kGib,
              static_cast<long long>(cost["largest_batch"].get<int64_t>()));
}

}  // namespace sigma
