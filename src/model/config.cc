#include "model/config.h"

#include <cmath>

#include "base/error.h"

namespace sigma {

namespace {

constexpr double kTau = 6.283185307179586476925;
// No published decoder comes near these; beyond them sizes would overflow before memory runs out.
constexpr int kMaxSize = 1 << 24, kMaxHeads = 4096, kMaxHeadDim = 4096, kMaxLayers = 4096;

}  // namespace

std::vector<double> Rope::frequencies(int dim) const {
  std::vector<double> result;
  for (int i = 0; i < dim / 2; ++i) {
    double frequency = std::pow(theta, -2.0 * i / dim);
    if (scaling == Scaling::linear) frequency /= factor;
    if (scaling == Scaling::divisors) frequency /= static_cast<double>(divisors[static_cast<size_t>(i)]);
    if (scaling == Scaling::llama3) {
      // Wavelengths longer than the original context are stretched, short ones kept, the rest blended (Llama 3.1).
      const double wavelength = kTau / frequency;
      const double low = original_max_tokens / low_freq_factor, high = original_max_tokens / high_freq_factor;
      if (wavelength > low) {
        frequency /= factor;
      } else if (wavelength >= high) {
        const double smooth =
            (original_max_tokens / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
        frequency = (1.0 - smooth) * frequency / factor + smooth * frequency;
      }
    }
    result.push_back(frequency);
  }
  return result;
}

void ModelConfig::validate(const std::string& where) const {
  const auto in_range = [&](const char* name, int64_t value, int64_t most) {
    if (value < 1 || value > most)
      throw Error(where, fmt::format("{} between 1 and {}", name, most), fmt::format("{}", value));
  };
  in_range("hidden_size", dim, kMaxSize);
  in_range("num_hidden_layers", layers, kMaxLayers);
  in_range("intermediate_size", ffn_dim, kMaxSize);
  in_range("vocab_size", vocab, kMaxSize);
  in_range("max_position_embeddings", max_tokens, 1 << 30);
  in_range("num_attention_heads", attn.q_heads, kMaxHeads);
  in_range("num_key_heads", attn.k_heads, kMaxHeads);
  in_range("num_value_heads", attn.v_heads, kMaxHeads);
  in_range("query_head_dim", attn.q_dim, kMaxHeadDim);
  in_range("key_head_dim", attn.k_dim, kMaxHeadDim);
  in_range("value_head_dim", attn.v_dim, kMaxHeadDim);
  if (attn.aug_dim != 0) in_range("augmented_query_size", attn.aug_dim, kMaxSize);
  if (attn.q_heads % attn.k_heads != 0)
    throw Error(where, "num_attention_heads divisible by num_key_heads",
                fmt::format("{} query heads and {} key heads", attn.q_heads, attn.k_heads));
  if (attn.q_heads % attn.v_heads != 0)
    throw Error(where, "num_attention_heads divisible by num_value_heads",
                fmt::format("{} query heads and {} value heads", attn.q_heads, attn.v_heads));
  if (attn.key_rope == KeyRope::full && attn.k_dim != attn.q_dim)
    throw Error(where, "key_head_dim equal to query_head_dim, or key_rope set",
                fmt::format("{} and {}", attn.k_dim, attn.q_dim));
  const int rotated = attn.key_rope == KeyRope::key_dim ? attn.k_dim : attn.q_dim;
  if (rotated % 2 != 0) throw Error(where, "an even rotated head dimension", fmt::format("{}", rotated));
  if (!(rope.theta > 0) || !std::isfinite(rope.theta))
    throw Error(where, "a positive rope_theta", fmt::format("{}", rope.theta));
  if (!(rope.factor > 0) || !std::isfinite(rope.factor))
    throw Error(where, "a positive RoPE scaling factor", fmt::format("{}", rope.factor));
  if (rope.scaling == Rope::Scaling::llama3 &&
      !(rope.original_max_tokens > 0 && rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor))
    throw Error(where, "llama3 RoPE scaling with 0 < low_freq_factor < high_freq_factor and a positive original length",
                fmt::format("{}, {} and {}", rope.low_freq_factor, rope.high_freq_factor, rope.original_max_tokens));
  if (rope.scaling == Rope::Scaling::divisors) {
    if (rope.divisors.size() != static_cast<size_t>(rotated / 2))
      throw Error(where, fmt::format("{} RoPE divisors", rotated / 2), fmt::format("{}", rope.divisors.size()));
    for (const float divisor : rope.divisors)
      if (!(divisor > 0) || !std::isfinite(divisor))
        throw Error(where, "positive RoPE divisors", fmt::format("{}", divisor));
  }
  if (!(norm_eps >= 0 && norm_eps < 1)) throw Error(where, "rms_norm_eps in [0, 1)", fmt::format("{}", norm_eps));
  const auto token_in_range = [&](const char* name, int id) {
    if (id < 0 || id >= vocab)
      throw Error(where, fmt::format("{} below vocab_size {}", name, vocab), fmt::format("{}", id));
  };
  if (bos) token_in_range("bos_token_id", *bos);
  for (const int id : eos) token_in_range("eos_token_id", id);
}

ParameterCount count_parameters(const ModelConfig& c) {
  const AttentionShape& a = c.attn;
  const int64_t dim = c.dim, layers = c.layers;
  ParameterCount n;
  n.embedding = int64_t{c.vocab} * dim;
  n.head = c.tied ? 0 : n.embedding;
  n.attention = dim * (a.q_width() + a.k_width() + a.v_width()) + int64_t{a.out_width()} * dim;
  if (a.key_rope != KeyRope::full) n.attention += int64_t{a.q_dim} * a.k_dim;
  if (c.attention_bias != AttentionBias::none) n.attention += a.q_width() + a.k_width() + a.v_width();
  if (c.attention_bias == AttentionBias::qkvo) n.attention += dim;
  n.attention *= layers;
  n.augmented_q = layers * 3 * int64_t{a.q_width()} * a.aug_dim;
  n.ffn = layers * 3 * dim * c.ffn_dim;
  n.norms = (2 * layers + 1) * dim + (c.qk_norm ? layers * (a.q_dim + a.k_dim) : 0);
  return n;
}

}  // namespace sigma
