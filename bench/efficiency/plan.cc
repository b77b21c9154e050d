#include "bench/efficiency/plan.h"

#include <algorithm>

#include "base/error.h"
#include "bench/machine.h"

namespace sigma::bench {

namespace {

ModelConfig std_config() {
  ModelConfig c;
  c.family = "llama";
  c.dim = 2048, c.layers = 26, c.ffn_dim = 6144, c.vocab = 128256, c.max_tokens = 131072 + 256;
  c.attn = {.q_heads = 32, .k_heads = 16, .v_heads = 16, .q_dim = 64, .k_dim = 64, .v_dim = 64};
  c.rope.theta = 50000.0;
  c.tied = true;
  return c;
}

ModelConfig sigma_config(int k_heads, int k_dim, KeyRope rope) {
  ModelConfig c = std_config();
  c.family = "sigma";
  c.attn.k_heads = k_heads;
  c.attn.k_dim = k_dim;
  c.attn.key_rope = rope;
  c.attn.aug_dim = 3072;
  return c;
}

// What runs beside the caches: layers' weights in every format, scratch, the program itself.
constexpr double kOtherBytes = 4.0 * (1 << 30);

std::vector<int64_t> up_to(std::vector<int64_t> values, int64_t most) {
  std::erase_if(values, [&](int64_t value) { return value > most; });
  return values;
}

}  // namespace

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = {
      {"std", "STD 32/16/16", std_config(), Keys::std},
      {"sigma", "Sigma 32/4/16", sigma_config(4, 64, KeyRope::full), Keys::sigma},
      {"repeated", "Sigma, K repeated to 16 heads", sigma_config(16, 64, KeyRope::full), Keys::repeated},
      {"half_after", "Sigma, half-dim K, expanded", sigma_config(4, 32, KeyRope::after_expansion), Keys::half},
      {"half_key", "Sigma, half-dim K, narrow queries", sigma_config(4, 32, KeyRope::key_dim), Keys::half},
      {"v_top", "Sigma, v-top 100", sigma_config(4, 64, KeyRope::full), Keys::sigma, Format::bf16, 100},
      {"q8_k", "Sigma, q8 K", sigma_config(4, 64, KeyRope::full), Keys::sigma_q8, Format::q8_0},
      {"q8_k_v_top", "Sigma, q8 K, v-top 100", sigma_config(4, 64, KeyRope::full), Keys::sigma_q8, Format::q8_0, 100},
  };
  return all;
}

const Variant& variant(const std::string& name) {
  const auto& all = variants();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Variant& v) { return v.name == name; });
  SIGMA_CHECK(found != all.end());
  return *found;
}

CacheShape key_shape(const Variant& v) { return {v.config.attn.k_heads, v.config.attn.k_dim, v.k_format, kPageTokens}; }

CacheShape value_shape(const Variant& v) {
  return {v.config.attn.v_heads, v.config.attn.v_dim, v.v_format, kPageTokens};
}

int64_t ring_slots(int64_t slot_bytes, int64_t touched_bytes, int64_t ring_bytes) {
  // Where a context is so short that pages are mostly empty, what else is read in between pushes it out of caches.
  const int64_t most = ceil_div(ring_bytes, slot_bytes);
  return std::min(ceil_div(ring_bytes, touched_bytes), most);
}

double cell_bytes(int64_t prefix, int64_t batch, int64_t ring_bytes) {
  const int64_t tokens = batch * round_up(prefix + kTokens, kPageTokens);
  double total = 0;
  const auto add = [&](const CacheShape& shape) {
    const double row = static_cast<double>(shape.heads * format_row_bytes(shape.format, shape.dim));
    const auto slot = static_cast<int64_t>(row * static_cast<double>(tokens));
    const auto touched = static_cast<int64_t>(row * static_cast<double>(batch * (prefix + 1)));
    total += static_cast<double>(slot) * static_cast<double>(ring_slots(slot, touched, ring_bytes));
  };
  add(value_shape(variants()[0]));
  for (int keys = 0; keys < kKeysCount; ++keys)
    add(key_shape(*std::find_if(variants().begin(), variants().end(),
                                [&](const Variant& v) { return v.keys == static_cast<Keys>(keys); })));
  return total + kOtherBytes;
}

Grid make_grid(const GridOptions& options) {
  const int64_t ring = options.ring_bytes > 0 ? options.ring_bytes : 8 * last_level_cache_bytes();
  const auto fits = [&](int64_t prefix, int64_t batch) {
    return cell_bytes(prefix, batch, ring) <= options.memory_bytes;
  };
  const int64_t longest = options.max_prefix + options.max_output;
  if (!fits(longest, 1)) {
    int64_t most = 0;
    for (int64_t context = kPageTokens; context <= longest && fits(context, 1); context *= 2) most = context;
    const double gib = 1 << 30;
    throw Error("efficiency study",
                most == 0 ? std::string("a machine with more memory")
                          : fmt::format("prefix and output of {} tokens together at most", most),
                fmt::format("{} + {} tokens, which take {:.1f} GiB of the {:.1f} there are", options.max_prefix,
                            options.max_output, cell_bytes(longest, 1, ring) / gib, options.memory_bytes / gib));
  }
  Grid grid;
  grid.quick = options.quick;
  grid.ring_bytes = ring;
  grid.kernel_prefixes = up_to({2048, 4096, 8192, 16384, 32768, 65536}, options.max_prefix);
  grid.prefixes = up_to({0, 2048, 4096, 16384, 32768, 65536}, options.max_prefix);
  grid.outputs = up_to({2048, 4096, 8192, 16384, 32768, 65536}, options.max_output);
  if (grid.outputs.empty()) grid.outputs.push_back(options.max_output);
  grid.samples = up_to({0, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 98304, 131072}, longest);
  if (grid.samples.back() < longest) grid.samples.push_back(longest);
  grid.batch = options.batch;
  std::vector<int64_t> batch_samples = {1024, 2048, 4096, 8192, 16384, 32768, 65536};
  if (options.quick) batch_samples = {1024, 4096, 16384};
  for (const int64_t prefix : up_to(batch_samples, options.max_prefix))
    (fits(prefix, options.batch) ? grid.batch_samples : grid.batch_left_out).push_back(prefix);
  grid.weights = {Format::q4_0, Format::q8_0, Format::bf16};
  if (options.quick) grid.passes = 2, grid.batch_passes = 1;
  grid.whole_seconds = options.whole_seconds > 0 ? options.whole_seconds : options.quick ? 60 : 1200;
  return grid;
}

std::vector<double> generation_weights(const std::vector<double>& contexts, int64_t prefix, int64_t output) {
  SIGMA_CHECK(!contexts.empty());
  std::vector<double> weights(contexts.size());
  size_t right = 1;
  for (int64_t i = 1; i <= output; ++i) {
    const auto x = static_cast<double>(prefix + i);
    while (right < contexts.size() - 1 && contexts[right] < x) ++right;
    if (contexts.size() == 1) {
      weights[0] += 1;
      continue;
    }
    // Beyond the first and last contexts the line through the nearest two goes on.
    const double part = (x - contexts[right - 1]) / (contexts[right] - contexts[right - 1]);
    weights[right - 1] += 1 - part;
    weights[right] += part;
  }
  return weights;
}

int64_t whole_output(const Grid& grid, double read) {
  const auto seconds = [&](int64_t output) {
    double bytes = 0;
    for (const char* name : {"std", "sigma"}) {
      const Variant& v = variant(name);
      const double weights = weight_bytes(v.config, Format::q8_0).augmented_q;
      // Linear in context: the middle step stands for all.
      const StepCost middle = step_cost(v.config, {}, v.cost_case(output / 2, 1));
      bytes += static_cast<double>(output) * (weights + middle.cache_bytes_read());
    }
    return bytes / read;
  };
  int64_t chosen = grid.outputs.front();
  for (const int64_t output : grid.outputs)
    if (seconds(output) <= grid.whole_seconds) chosen = output;
  return chosen;
}

}  // namespace sigma::bench
