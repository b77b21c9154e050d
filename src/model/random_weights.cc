// Randomly initialised weights, a row at a time, the same on every machine.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "model/export.h"

namespace sigma {

namespace {

constexpr double kDeviation = 0.02;

uint64_t hash_name(const std::string& name) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return h;
}

// The sum of four uniform 16-bit numbers, centred and scaled to deviation 1: close to normal (it ends at 3.46) and an
// order of magnitude cheaper than an exact one, which matters for billions of weights.
float near_normal(Rng& rng) {
  const uint64_t bits = rng.next();
  const auto sum =
      static_cast<double>((bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48));
  return static_cast<float>((sum - 2.0 * 65535.0) * (std::sqrt(3.0) / 65536.0));
}

}  // namespace

WeightReader random_reader(const ModelConfig& config, uint64_t seed) {
  return [layers = config.layers, seed](const WeightSpec& spec) -> WeightRows {
    const int64_t cols = std::max<int64_t>(spec.cols, 1);
    if (spec.role == WeightRole::norm || spec.role == WeightRole::bias) {
      const float value = spec.role == WeightRole::norm ? 1.0f : 0.0f;
      return {Format::f32, [value](int64_t, std::byte* out) { std::memcpy(out, &value, sizeof value); }};
    }
    // Projections back into the residual stream are smaller, so that its size does not grow with depth (GPT-2).
    const bool residual = spec.name.ends_with("o_proj.weight") || spec.name.ends_with("mlp.down_proj.weight");
    const double deviation = spec.role == WeightRole::expansion ? 1.0 / std::sqrt(static_cast<double>(cols))
                             : residual                         ? kDeviation / std::sqrt(2.0 * layers)
                                                                : kDeviation;
    const uint64_t key = Rng(seed).next() ^ hash_name(spec.name);
    return {Format::f32, [=](int64_t row, std::byte* out) {
              Rng rng(key + static_cast<uint64_t>(row) * 0xd1342543de82ef95ull);
              auto* values = reinterpret_cast<float*>(out);
              for (int64_t i = 0; i < cols; ++i) values[i] = near_normal(rng) * static_cast<float>(deviation);
            }};
  };
}

}  // namespace sigma
