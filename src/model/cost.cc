#include "model/cost.h"

#include <algorithm>
#include <cmath>

#include "model/checkpoint.h"

namespace sigma {

namespace {

// Bytes of a row that is padded to whole blocks.
double row_bytes(Format format, int64_t elements) {
  const FormatInfo& info = format_info(format);
  return static_cast<double>(ceil_div(elements, info.block_elements) * info.block_bytes);
}

// The part that a tensor belongs to; null: a step does not read it as a whole.
double WeightBytes::*part_of(const ModelConfig& config, const WeightSpec& spec) {
  switch (spec.role) {
    case WeightRole::embedding:
      return config.tied || spec.gguf_name == "output.weight" ? &WeightBytes::head : nullptr;
    case WeightRole::norm:
      return &WeightBytes::norms;
    default:
      break;
  }
  if (spec.gguf_name.find(".ffn_") != std::string::npos) return &WeightBytes::ffn;
  for (const char* name : {".attn_q_gate", ".attn_q_up", ".attn_q_down"})
    if (spec.gguf_name.find(name) != std::string::npos) return &WeightBytes::augmented_q;
  return &WeightBytes::projections;
}

CacheCost cache_cost(const ModelConfig& config, const CostCase& c, CacheKind kind) {
  const AttentionShape& a = config.attn;
  const bool k = kind == CacheKind::k;
  const int64_t heads = k ? a.k_heads : a.v_heads, dim = k ? a.k_dim : a.v_dim;
  const double bytes = row_bytes(k ? c.k_format : c.v_format, dim);
  int64_t rows_read = c.context * heads;
  if (!k && c.v_top > 0) rows_read = std::min(rows_read, std::min(c.v_top, c.context) * a.q_heads);
  const double times = static_cast<double>(config.layers) * static_cast<double>(c.batch);
  const double stored = times * static_cast<double>(heads), read = times * static_cast<double>(rows_read);
  return {stored * static_cast<double>(dim), stored * bytes, read * static_cast<double>(dim), read * bytes};
}

StepFlops step_flops(const ModelConfig& config, const CostCase& c) {
  const AttentionShape& a = config.attn;
  const ParameterCount n = count_parameters(config);
  const double layers = config.layers, batch = static_cast<double>(c.batch), context = static_cast<double>(c.context);
  const double expand = a.key_rope == KeyRope::full ? 0.0 : 1.0 * a.q_dim * a.k_dim;  // of one head
  const double values = c.v_top > 0 ? std::min(context, static_cast<double>(c.v_top)) : context;
  StepFlops f;
  f.projections = 2 * batch * (static_cast<double>(n.attention) - layers * expand);
  f.augmented_q = 2 * batch * static_cast<double>(n.augmented_q);
  f.ffn = 2 * batch * static_cast<double>(n.ffn);
  f.head = 2 * batch * config.vocab * config.dim;
  f.expansion = 2 * batch * layers * expand * (a.key_rope == KeyRope::key_dim ? a.q_heads : context * a.k_heads);
  f.scores = 2 * batch * layers * context * a.q_heads * (a.key_rope == KeyRope::key_dim ? a.k_dim : a.q_dim);
  f.values = 2 * batch * layers * values * a.q_heads * a.v_dim;
  return f;
}

}  // namespace

WeightBytes weight_bytes(const ModelConfig& config, Format format) {
  WeightBytes bytes;
  for (const WeightSpec& spec : weight_specs(config)) {
    const bool matrix = spec.role == WeightRole::embedding || spec.role == WeightRole::projection;
    const auto part = part_of(config, spec);
    if (part == nullptr) continue;
    bytes.*part += matrix ? static_cast<double>(spec.rows) * row_bytes(format, spec.cols)
                          : static_cast<double>(spec.elements()) * sizeof(float);
  }
  return bytes;
}

WeightBytes weight_bytes(const Checkpoint& checkpoint) {
  WeightBytes bytes;
  for (const WeightSpec& spec : weight_specs(checkpoint.config()))
    if (const auto part = part_of(checkpoint.config(), spec); part != nullptr)
      bytes.*part += static_cast<double>(checkpoint.tensor(spec).bytes.size());
  return bytes;
}

StepCost step_cost(const ModelConfig& config, const WeightBytes& weights, const CostCase& c) {
  return {cache_cost(config, c, CacheKind::k), cache_cost(config, c, CacheKind::v), weights, step_flops(config, c)};
}

double cache_bytes_per_token(const ModelConfig& config, Format k_format, Format v_format) {
  return step_cost(config, {}, {.k_format = k_format, .v_format = v_format}).cache_bytes_stored();
}

int64_t largest_batch(const ModelConfig& config, const WeightBytes& weights, const CostCase& c, int64_t page_tokens,
                      double memory_bytes) {
  const double sequence =
      static_cast<double>(round_up(c.context, page_tokens)) * cache_bytes_per_token(config, c.k_format, c.v_format);
  return std::max<int64_t>(0, static_cast<int64_t>(std::floor((memory_bytes - weights.total()) / sequence)));
}

Arithmetic arithmetic_of(Format format) {
  if (format == Format::f32 || format == Format::f16) return Arithmetic::f32;
  return format == Format::bf16 ? Arithmetic::bf16 : Arithmetic::int8;
}

StepTime predict_step(const StepCost& cost, const CostCase& c, Format weights, const MachineLimits& limits) {
  const auto time = [&](double bytes, double flops, Format format) {
    const double rate = limits.operations[static_cast<int>(arithmetic_of(format))];
    return std::max(bytes / limits.read, rate > 0 ? flops / rate : 0.0);
  };
  StepTime t;
  t.store = cost.cache_bytes_stored() / limits.read;
  const double work = limits.work.at(static_cast<double>(c.context)) * static_cast<double>(c.batch);
  if (work > 0) {
    const double on_values = work * cost.flops.values / cost.flops.attention();
    t.attention = std::max(cost.k.bytes_read / limits.read, work - on_values) +
                  time_by_turns(cost.v.bytes_read, on_values, limits);
  } else {
    t.attention = time(cost.cache_bytes_read(), cost.flops.attention(), c.k_format);
  }
  t.augmented_q = time(cost.weights.augmented_q, cost.flops.augmented_q, weights);
  t.rest = time(cost.weights.projections + cost.weights.norms, cost.flops.projections, weights) +
           time(cost.weights.ffn, cost.flops.ffn, weights) + time(cost.weights.head, cost.flops.head, weights);
  return t;
}

// A closed queue: threads are customers, memory is what serves them. In a state with k threads reading, parts of
// 1/threads of all bytes are read at rate(k), and threads - k end their work at 1/work each; states balance.
double time_by_turns(double bytes, double work, const MachineLimits& limits) {
  if (bytes <= 0 || work <= 0) return bytes / limits.read + work;
  const double n = limits.threads, alone = std::max(limits.read_alone, limits.read / n);
  const auto rate = [&](double reading) { return std::min(reading * alone, limits.read) * n / bytes; };
  double state = 1, all = 1, done = 0;
  for (int reading = 1; reading <= limits.threads; ++reading) {
    state *= (n - reading + 1) / work / rate(reading);
    all += state;
    done += state * rate(reading);
  }
  return n * all / done;
}

std::optional<int64_t> break_even_context(const Contender& ours, const Contender& theirs) {
  const auto extra = [&](int64_t context) {
    const auto bytes = [&](const Contender& side) {
      CostCase c = side.c;
      c.context = context;
      return step_cost(*side.config, side.weights, c).bytes();
    };
    return bytes(ours) - bytes(theirs);
  };
  // Bytes grow linearly with context, of selective V in two pieces: what ours saves grows with context, or never is.
  int64_t low = 0, high = int64_t{1} << 24;
  if (extra(high) > 0) return std::nullopt;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (extra(middle) > 0 ? low : high) = middle;
  }
  return high;
}

}  // namespace sigma
