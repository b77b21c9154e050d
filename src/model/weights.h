// The weights of a model, and the only list of its tensors: visit_weights names each with its shape. Loading, saving,
// quantising and counting are visitors; an optional tensor is simply not visited where the configuration has none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fmt.h"
#include "model/config.h"

namespace sigma {

enum class WeightRole : uint8_t { embedding, projection, norm, bias, expansion };

struct WeightSpec {
  std::string name;  // in Hugging Face files
  std::string gguf_name;
  int64_t rows = 0, cols = 0;  // cols 0: a vector of `rows`
  WeightRole role = WeightRole::projection;
  int rotated_heads = 0;  // heads whose rows GGUF files of architecture `llama` hold interleaved; 0: none

  int64_t elements() const { return rows * (cols == 0 ? 1 : cols); }
  std::vector<int64_t> shape() const {
    return cols == 0 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, cols};
  }
};

// Matrix: what products read; Vector: small tensors kept as f32 (norms, biases, the key expansion).
template <class Matrix, class Vector>
struct LayerWeights {
  Vector attn_norm;             // [dim]
  Matrix q, k, v;               // [heads * head_dim, dim]
  Matrix q_gate, q_up, q_down;  // augmented query: [aug_dim, q_width] twice, [q_width, aug_dim]
  Vector q_bias, k_bias, v_bias, o_bias;
  Vector q_norm, k_norm;  // [q_dim], [k_dim]
  Vector k_expand;        // [q_dim, k_dim]; a running model in the key_dim form holds its transpose
  Matrix o;               // [dim, q_heads * v_dim]
  Vector ffn_norm;        // [dim]
  Matrix gate, up, down;  // [ffn_dim, dim] twice, [dim, ffn_dim]
};

template <class Matrix, class Vector>
struct WeightsOf {
  Matrix embedding;  // [vocab, dim]
  std::vector<LayerWeights<Matrix, Vector>> layers;
  Vector final_norm;  // [dim]
  Matrix head;        // [vocab, dim]; not visited when tied
};

// Calls f(const WeightSpec&, leaf&) for every tensor of the model, in file order. w.layers must have config.layers
// entries.
template <class W, class F>
void visit_weights(const ModelConfig& c, W& w, F&& f) {
  using enum WeightRole;
  const AttentionShape& a = c.attn;
  f(WeightSpec{"model.embed_tokens.weight", "token_embd.weight", c.vocab, c.dim, embedding}, w.embedding);
  for (int i = 0; i < c.layers; ++i) {
    auto& l = w.layers[static_cast<size_t>(i)];
    const auto visit = [&](const char* name, const char* gguf_name, int64_t rows, int64_t cols, WeightRole role,
                           auto& leaf, int rotated_heads = 0) {
      f(WeightSpec{fmt::format("model.layers.{}.{}", i, name), fmt::format("blk.{}.{}", i, gguf_name), rows, cols, role,
                   rotated_heads},
        leaf);
    };
    const bool bias_qkv = c.attention_bias != AttentionBias::none;
    visit("input_layernorm.weight", "attn_norm.weight", c.dim, 0, norm, l.attn_norm);
    visit("self_attn.q_proj.weight", "attn_q.weight", a.q_width(), c.dim, projection, l.q, a.q_heads);
    if (bias_qkv) visit("self_attn.q_proj.bias", "attn_q.bias", a.q_width(), 0, bias, l.q_bias, a.q_heads);
    if (a.aug_dim > 0) {
      visit("self_attn.q_gate_proj.weight", "attn_q_gate.weight", a.aug_dim, a.q_width(), projection, l.q_gate);
      visit("self_attn.q_up_proj.weight", "attn_q_up.weight", a.aug_dim, a.q_width(), projection, l.q_up);
      visit("self_attn.q_down_proj.weight", "attn_q_down.weight", a.q_width(), a.aug_dim, projection, l.q_down);
    }
    visit("self_attn.k_proj.weight", "attn_k.weight", a.k_width(), c.dim, projection, l.k, a.k_heads);
    if (bias_qkv) visit("self_attn.k_proj.bias", "attn_k.bias", a.k_width(), 0, bias, l.k_bias, a.k_heads);
    if (a.key_rope != KeyRope::full)
      visit("self_attn.k_up_proj.weight", "attn_k_up.weight", a.q_dim, a.k_dim, expansion, l.k_expand);
    visit("self_attn.v_proj.weight", "attn_v.weight", a.v_width(), c.dim, projection, l.v);
    if (bias_qkv) visit("self_attn.v_proj.bias", "attn_v.bias", a.v_width(), 0, bias, l.v_bias);
    if (c.qk_norm) {
      visit("self_attn.q_norm.weight", "attn_q_norm.weight", a.q_dim, 0, norm, l.q_norm);
      visit("self_attn.k_norm.weight", "attn_k_norm.weight", a.k_dim, 0, norm, l.k_norm);
    }
    visit("self_attn.o_proj.weight", "attn_output.weight", c.dim, a.out_width(), projection, l.o);
    if (c.attention_bias == AttentionBias::qkvo)
      visit("self_attn.o_proj.bias", "attn_output.bias", c.dim, 0, bias, l.o_bias);
    visit("post_attention_layernorm.weight", "ffn_norm.weight", c.dim, 0, norm, l.ffn_norm);
    visit("mlp.gate_proj.weight", "ffn_gate.weight", c.ffn_dim, c.dim, projection, l.gate);
    visit("mlp.up_proj.weight", "ffn_up.weight", c.ffn_dim, c.dim, projection, l.up);
    visit("mlp.down_proj.weight", "ffn_down.weight", c.dim, c.ffn_dim, projection, l.down);
  }
  f(WeightSpec{"model.norm.weight", "output_norm.weight", c.dim, 0, norm}, w.final_norm);
  if (!c.tied) f(WeightSpec{"lm_head.weight", "output.weight", c.vocab, c.dim, embedding}, w.head);
}

// The same list without weights.
std::vector<WeightSpec> weight_specs(const ModelConfig& config);

}  // namespace sigma
