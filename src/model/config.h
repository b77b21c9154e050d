// What a model is: sizes and numbers, none derived from another. Every Llama-style model is a case of it
// (k_heads == v_heads, no augmented query).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace sigma {

// How positions enter the keys (spec of half-dim K). full: k_dim == q_dim, k is rotated before it is cached.
// after_expansion: score = rope(q) . rope(E k), the cache holds k unrotated. key_dim: score = rope(E^T q) . rope(k),
// everything cached is k_dim wide. E = k_up_proj [q_dim, k_dim].
enum class KeyRope : uint8_t { full, after_expansion, key_dim };

struct AttentionShape {
  int q_heads = 0, k_heads = 0, v_heads = 0;
  int q_dim = 0, k_dim = 0, v_dim = 0;  // of one head
  int aug_dim = 0;                      // width of the augmented query's SwiGLU block; 0: none
  KeyRope key_rope = KeyRope::full;

  int q_width() const { return q_heads * q_dim; }
  int k_width() const { return k_heads * k_dim; }
  int v_width() const { return v_heads * v_dim; }
  int out_width() const { return q_heads * v_dim; }  // what o_proj reads
};

struct Rope {
  enum class Scaling : uint8_t { none, linear, llama3, divisors };
  double theta = 10000.0;
  Scaling scaling = Scaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  double original_max_tokens = 8192.0;                   // llama3
  std::vector<float> divisors;                           // one per pair of dimensions, as GGUF files list them

  // Rotation per position of each pair of dimensions, [dim / 2], scaling included; radians.
  std::vector<double> frequencies(int dim) const;
};

// Which projections carry a bias: none, q/k/v (Qwen2), q/k/v/o (Llama's attention_bias).
enum class AttentionBias : uint8_t { none, qkv, qkvo };

struct ModelConfig {
  std::string family = "sigma";  // sigma, llama, mistral, qwen2, qwen3: how it is written back to disk
  int dim = 0, layers = 0, ffn_dim = 0, vocab = 0;
  int max_tokens = 0;
  AttentionShape attn;
  Rope rope;
  double norm_eps = 1e-5;
  AttentionBias attention_bias = AttentionBias::none;
  bool qk_norm = false;  // RMSNorm over each query and key head (Qwen3)
  bool tied = false;     // the output head is the embedding
  std::optional<int> bos;
  std::vector<int> eos;

  // Error "[where] expected ..., found ..." when the numbers cannot make a model.
  void validate(const std::string& where) const;
};

// config.json of a Hugging Face folder. A family, feature or key that this program does not know and that could change
// the result is refused by name.
ModelConfig config_from_hf(const Json& json, const std::string& where);
Json config_to_hf(const ModelConfig& config);

// Weights by part, as numbers of parameters.
struct ParameterCount {
  int64_t embedding = 0, head = 0, attention = 0, augmented_q = 0, ffn = 0, norms = 0;
  int64_t total() const { return embedding + head + attention + augmented_q + ffn + norms; }
};
ParameterCount count_parameters(const ModelConfig& config);

}  // namespace sigma
