// config.json <-> ModelConfig.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "model/config.h"

namespace sigma {

namespace {

// Keys that say nothing about the mathematics of inference.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {"_name_or_path",
                                             "architectures",
                                             "attention_dropout",
                                             "auto_map",
                                             "bos_token_id",
                                             "chunk_size_feed_forward",
                                             "dtype",
                                             "eos_token_id",
                                             "finetuning_task",
                                             "generation_config",
                                             "gradient_checkpointing",
                                             "hidden_dropout",
                                             "id2label",
                                             "initializer_range",
                                             "is_llama_config",
                                             "label2id",
                                             "license",
                                             "max_window_layers",
                                             "model_max_length",
                                             "model_type",
                                             "name",
                                             "name_or_path",
                                             "num_labels",
                                             "output_attentions",
                                             "output_hidden_states",
                                             "pad_token_id",
                                             "problem_type",
                                             "return_dict",
                                             "rope_interleaved_note",
                                             "task_specific_params",
                                             "tokenizer_class",
                                             "torch_dtype",
                                             "transformers.js_config",
                                             "transformers_version",
                                             "unk_token_id",
                                             "unsloth_fixed",
                                             "unsloth_version",
                                             "use_cache",
                                             "vocab_size",
                                             "use_bfloat16",
                                             "torchscript",
                                             "problem",
                                             "description",
                                             "comment"};
  return keys;
}

// Reads keys one by one, remembers which were read, and refuses the rest.
class Reader {
 public:
  Reader(const Json& json, const std::string& where) : json_(json), where_(where) {
    if (!json.is_object()) throw Error(where, "a JSON object", json.type_name());
  }

  const Json* find(const char* key) {
    read_.insert(key);
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }

  int integer(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) throw Error(where_, fmt::format("a number at {}", key), "none");
    return integer_of(key, *value);
  }
  int integer(const char* key, int fallback) { return has(key) ? integer(key) : (read_.insert(key), fallback); }
  int integer_of(const char* key, const Json& value) const {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > kMax) ||
        value.get<int64_t>() > static_cast<int64_t>(kMax) || value.get<int64_t>() < 0)
      throw Error(where_, fmt::format("a whole number from 0 to {} at {}", kMax, key), shown(value));
    return value.get<int>();
  }
  double number(const char* key, double fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) throw Error(where_, fmt::format("a number at {}", key), shown(*value));
    return value->get<double>();
  }
  std::vector<float> numbers(const char* key) {
    const Json* value = find(key);
    const bool good = value != nullptr && value->is_array() &&
                      std::all_of(value->begin(), value->end(), [](const Json& x) { return x.is_number(); });
    if (!good)
      throw Error(where_, fmt::format("a list of numbers at {}", key), value == nullptr ? "none" : shown(*value));
    return value->get<std::vector<float>>();
  }
  bool boolean(const char* key, bool fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) throw Error(where_, fmt::format("true or false at {}", key), shown(*value));
    return value->get<bool>();
  }
  std::string word(const char* key, const std::string& fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_string()) throw Error(where_, fmt::format("a string at {}", key), shown(*value));
    return value->get<std::string>();
  }

  // The key, when present, must hold the one value this program implements.
  void require(const char* key, const Json& supported) {
    const Json* value = find(key);
    if (value != nullptr && *value != supported)
      throw Error(where_, fmt::format("{} {} (all that is supported)", key, supported.dump()), shown(*value));
  }

  void refuse_unread() const {
    for (const auto& [key, value] : json_.items()) {
      if (read_.contains(key) || harmless_keys().contains(key)) continue;
      if (value.is_null() || value == Json(false)) continue;  // a feature that is switched off
      throw Error(where_, "only keys whose meaning is known", fmt::format("{}: {}", printable(key), shown(value)));
    }
  }

  static std::string shown(const Json& value) {
    return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
  }
  const std::string& where() const { return where_; }

 private:
  static constexpr uint64_t kMax = std::numeric_limits<int>::max();
  const Json& json_;
  std::string where_;
  std::set<std::string> read_;
};

void read_scaling(Rope& rope, const Json& json, const std::string& where) {
  Reader scaling(json, where);
  const std::string kind = scaling.word(scaling.has("rope_type") ? "rope_type" : "type", "default");
  if (scaling.has("rope_type")) scaling.find("type");
  rope.theta = scaling.number("rope_theta", rope.theta);
  scaling.require("partial_rotary_factor", 1.0);
  if (kind == "linear" || kind == "llama3") rope.factor = scaling.number("factor", 1.0);
  if (kind == "linear") {
    rope.scaling = Rope::Scaling::linear;
  } else if (kind == "llama3") {
    rope.scaling = Rope::Scaling::llama3;
    rope.low_freq_factor = scaling.number("low_freq_factor", 1.0);
    rope.high_freq_factor = scaling.number("high_freq_factor", 4.0);
    rope.original_max_tokens = scaling.number("original_max_position_embeddings", 8192.0);
  } else if (kind == "divisors") {
    rope.scaling = Rope::Scaling::divisors;
    rope.divisors = scaling.numbers("divisors");
  } else if (kind != "default") {
    throw Error(where, "a RoPE scaling of type default, linear, llama3 or divisors", printable(kind));
  }
  scaling.refuse_unread();
}

void read_rope(ModelConfig& c, Reader& r) {
  c.rope.theta = r.number("rope_theta", 10000.0);
  r.require("partial_rotary_factor", 1.0);
  r.require("rope_interleaved", false);
  // `rope_parameters` is what newer files call rope_scaling with the base inside.
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (const Json* scaling = r.find(key)) read_scaling(c.rope, *scaling, r.where() + ": " + key);
}

void read_sliding_window(const ModelConfig& c, Reader& r) {
  const bool used = r.boolean("use_sliding_window", c.family != "qwen2" && c.family != "qwen3");
  const int window = r.integer("sliding_window", 0);
  if (used && window != 0 && window < c.max_tokens)
    throw Error(r.where(), "full attention (no sliding window)", fmt::format("sliding_window {}", window));
  if (const Json* types = r.find("layer_types")) {
    const bool full = types->is_array() && std::all_of(types->begin(), types->end(),
                                                       [](const Json& type) { return type == "full_attention"; });
    if (!full) throw Error(r.where(), "full_attention in every entry of layer_types", Reader::shown(*types));
  }
}

void read_attention_sigma(AttentionShape& a, Reader& r) {
  a.k_heads = r.integer("num_key_heads");
  a.v_heads = r.integer("num_value_heads");
  a.q_dim = r.integer("query_head_dim");
  a.k_dim = r.integer("key_head_dim", a.q_dim);
  a.v_dim = r.integer("value_head_dim", a.q_dim);
  a.aug_dim = r.integer("augmented_query_size", 0);
  const std::string key_rope = r.word("key_rope", "after_expansion");
  if (key_rope != "after_expansion" && key_rope != "key_dim")
    throw Error(r.where(), "key_rope after_expansion or key_dim", printable(key_rope));
  if (a.k_dim != a.q_dim) a.key_rope = key_rope == "key_dim" ? KeyRope::key_dim : KeyRope::after_expansion;
}

void read_attention_llama(ModelConfig& c, Reader& r) {
  AttentionShape& a = c.attn;
  a.k_heads = a.v_heads = r.integer("num_key_value_heads", a.q_heads);
  const int derived = a.q_heads > 0 ? c.dim / a.q_heads : 0;
  a.q_dim = a.k_dim = a.v_dim = r.integer("head_dim", derived);
}

void read_biases_and_norms(ModelConfig& c, Reader& r) {
  const bool bias = r.boolean("attention_bias", c.family == "qwen2");
  if (c.family == "qwen2") {
    if (!bias) throw Error(r.where(), "attention_bias true (all that qwen2 supports)", "false");
    c.attention_bias = AttentionBias::qkv;
  } else if (bias) {
    c.attention_bias = AttentionBias::qkvo;
  }
  c.qk_norm = c.family == "qwen3";
}

std::vector<int> read_token_ids(Reader& r, const char* key) {
  std::vector<int> ids;
  const Json* value = r.find(key);
  if (value == nullptr) return ids;
  if (!value->is_array()) return {r.integer_of(key, *value)};
  for (const Json& id : *value) ids.push_back(r.integer_of(key, id));
  return ids;
}

}  // namespace

ModelConfig config_from_hf(const Json& json, const std::string& where) {
  Reader r(json, where);
  ModelConfig c;
  c.family = r.word("model_type", "");
  const std::set<std::string> families = {"sigma", "llama", "mistral", "qwen2", "qwen3"};
  if (!families.contains(c.family))
    throw Error(where, "model_type sigma, llama, mistral, qwen2 or qwen3",
                c.family.empty() ? "none" : printable(c.family));
  if (const Json* quantised = r.find("quantization_config"))
    throw Error(where, "weights that are not quantised (quantised ones: GGUF)", Reader::shown(*quantised));
  c.dim = r.integer("hidden_size");
  c.layers = r.integer("num_hidden_layers");
  c.ffn_dim = r.integer("intermediate_size");
  c.vocab = r.integer("vocab_size");
  c.max_tokens = r.integer("max_position_embeddings", 2048);
  c.attn.q_heads = r.integer("num_attention_heads");
  if (c.family == "sigma") {
    read_attention_sigma(c.attn, r);
  } else {
    read_attention_llama(c, r);
  }
  read_rope(c, r);
  read_sliding_window(c, r);
  read_biases_and_norms(c, r);
  c.norm_eps = r.number("rms_norm_eps", c.family == "sigma" ? 1e-5 : 1e-6);
  c.tied = r.boolean("tie_word_embeddings", false);
  r.require("hidden_act", "silu");
  r.require("mlp_bias", false);
  r.require("pretraining_tp", 1);
  const std::vector<int> bos = read_token_ids(r, "bos_token_id");
  if (!bos.empty()) c.bos = bos[0];
  c.eos = read_token_ids(r, "eos_token_id");
  r.refuse_unread();
  c.validate(where);
  return c;
}

Json config_to_hf(const ModelConfig& c) {
  const AttentionShape& a = c.attn;
  std::string architecture = c.family;
  architecture[0] = static_cast<char>(architecture[0] - 'a' + 'A');
  Json j = {{"architectures", {architecture + "ForCausalLM"}}, {"model_type", c.family}};
  j["hidden_size"] = c.dim;
  j["num_hidden_layers"] = c.layers;
  j["intermediate_size"] = c.ffn_dim;
  j["num_attention_heads"] = a.q_heads;
  if (c.family == "sigma") {
    j["num_key_heads"] = a.k_heads;
    j["num_value_heads"] = a.v_heads;
    j["query_head_dim"] = a.q_dim;
    j["key_head_dim"] = a.k_dim;
    j["value_head_dim"] = a.v_dim;
    j["augmented_query_size"] = a.aug_dim;
    j["key_rope"] = a.key_rope == KeyRope::key_dim ? "key_dim" : "after_expansion";
  } else {
    j["num_key_value_heads"] = a.k_heads;
    j["head_dim"] = a.q_dim;
  }
  j["rope_theta"] = c.rope.theta;
  j["rope_scaling"] = nullptr;
  if (c.rope.scaling == Rope::Scaling::linear) j["rope_scaling"] = {{"rope_type", "linear"}, {"factor", c.rope.factor}};
  if (c.rope.scaling == Rope::Scaling::llama3)
    j["rope_scaling"] = {{"rope_type", "llama3"},
                         {"factor", c.rope.factor},
                         {"low_freq_factor", c.rope.low_freq_factor},
                         {"high_freq_factor", c.rope.high_freq_factor},
                         {"original_max_position_embeddings", static_cast<int64_t>(c.rope.original_max_tokens)}};
  if (c.rope.scaling == Rope::Scaling::divisors)  // our own: from a GGUF file whose scaling has no published name
    j["rope_scaling"] = {{"rope_type", "divisors"}, {"divisors", c.rope.divisors}};
  j["rms_norm_eps"] = c.norm_eps;
  if (c.family != "qwen2") j["attention_bias"] = c.attention_bias != AttentionBias::none;
  j["hidden_act"] = "silu";
  j["tie_word_embeddings"] = c.tied;
  j["max_position_embeddings"] = c.max_tokens;
  j["vocab_size"] = c.vocab;
  j["bos_token_id"] = c.bos ? Json(*c.bos) : Json(nullptr);
  j["eos_token_id"] = c.eos.empty() ? Json(nullptr) : c.eos.size() == 1 ? Json(c.eos[0]) : Json(c.eos);
  return j;
}

}  // namespace sigma
