#include "model/gguf_config.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"

namespace sigma {

namespace {

// Reads "<architecture>.<key>" values and remembers which were read.
class Reader {
 public:
  Reader(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  bool has(const std::string& key) {
    read_.insert(prefix_ + key);
    return file_.has(prefix_ + key);
  }
  int integer(const std::string& key) {
    read_.insert(prefix_ + key);
    const uint64_t value = file_.get_uint(prefix_ + key);
    if (value > static_cast<uint64_t>(std::numeric_limits<int>::max()))
      throw Error(file_.where(), fmt::format("{}{} below 2^31", prefix_, key), fmt::format("{}", value));
    return static_cast<int>(value);
  }
  int integer(const std::string& key, int fallback) { return has(key) ? integer(key) : fallback; }
  double number(const std::string& key, double fallback) {
    return has(key) ? file_.get_float(prefix_ + key) : fallback;
  }
  std::string word(const std::string& key, const std::string& fallback) {
    return has(key) ? std::string(file_.get_string(prefix_ + key)) : fallback;
  }
  void refuse_unread() const {
    for (const std::string_view key : file_.keys())
      if (key.starts_with(prefix_) && !read_.contains(std::string(key)))
        throw Error(file_.where(), "only keys whose meaning is known", printable(key));
  }
  const std::string& where() const { return file_.where(); }

 private:
  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string> read_;
};

void read_attention(ModelConfig& c, Reader& r) {
  AttentionShape& a = c.attn;
  a.q_heads = r.integer("attention.head_count");
  const int derived = a.q_heads > 0 ? c.dim / a.q_heads : 0;
  a.q_dim = a.k_dim = a.v_dim = r.integer("attention.key_length", derived);
  a.v_dim = r.integer("attention.value_length", a.v_dim);
  if (c.family != "sigma") {
    a.k_heads = a.v_heads = r.integer("attention.head_count_kv", a.q_heads);
    const int rotated = r.integer("rope.dimension_count", a.q_dim);
    if (rotated != a.q_dim)
      throw Error(r.where(), fmt::format("a rotated width of {}, the head's", a.q_dim), fmt::format("{}", rotated));
    if (a.v_dim != a.q_dim)
      throw Error(r.where(), fmt::format("attention.value_length {} (architecture sigma has others)", a.q_dim),
                  fmt::format("{}", a.v_dim));
    return;
  }
  a.k_heads = r.integer("attention.head_count_k");
  a.v_heads = r.integer("attention.head_count_v");
  a.q_dim = r.integer("attention.query_length", a.k_dim);
  a.aug_dim = r.integer("attention.augmented_query_length", 0);
  const std::string key_rope = r.word("attention.key_rope", "after_expansion");
  if (key_rope != "after_expansion" && key_rope != "key_dim")
    throw Error(r.where(), "key_rope after_expansion or key_dim", printable(key_rope));
  if (a.k_dim != a.q_dim) a.key_rope = key_rope == "key_dim" ? KeyRope::key_dim : KeyRope::after_expansion;
}

// Files hold only the divisors; the published Llama 3 settings are recognised so that they can be written back by name.
void recognise_llama3(Rope& rope, int rotated) {
  for (const double factor : {8.0, 32.0, 4.0, 16.0, 2.0}) {
    Rope guess = rope;
    guess.scaling = Rope::Scaling::llama3;
    guess.factor = factor;
    Rope plain = rope;
    plain.scaling = Rope::Scaling::none;
    const std::vector<double> scaled = guess.frequencies(rotated), base = plain.frequencies(rotated);
    bool same = scaled.size() == rope.divisors.size();
    for (size_t i = 0; same && i < scaled.size(); ++i)
      same = std::abs(base[i] / scaled[i] - static_cast<double>(rope.divisors[i])) <= 1e-5 * base[i] / scaled[i];
    if (!same) continue;
    rope = guess;
    rope.divisors.clear();
    return;
  }
}

void read_rope(ModelConfig& c, Reader& r, const GgufFile& file) {
  c.rope.theta = r.number("rope.freq_base", 10000.0);
  const std::string scaling = r.word("rope.scaling.type", "none");
  if (scaling == "linear") {
    c.rope.scaling = Rope::Scaling::linear;
    c.rope.factor = r.number("rope.scaling.factor", 1.0);
  } else if (scaling != "none") {
    throw Error(r.where(), "RoPE scaling none or linear (or a rope_freqs tensor)", printable(scaling));
  }
  r.integer("rope.scaling.original_context_length", 0);
  const GgufTensor* divisors = file.find(kRopeDivisorsTensor);
  if (divisors == nullptr) return;
  if (scaling != "none" || divisors->format != Format::f32 || divisors->shape.size() != 1)
    throw Error(r.where(), "rope_freqs.weight as a vector of f32 and no other RoPE scaling", "something else");
  c.rope.scaling = Rope::Scaling::divisors;
  c.rope.divisors.resize(divisors->bytes.size() / sizeof(float));
  std::memcpy(c.rope.divisors.data(), divisors->bytes.data(), divisors->bytes.size());
  recognise_llama3(c.rope, c.attn.key_rope == KeyRope::key_dim ? c.attn.k_dim : c.attn.q_dim);
}

// What the tensors say and the metadata does not.
void read_from_tensors(ModelConfig& c, const GgufFile& file) {
  c.tied = file.find("output.weight") == nullptr;
  c.qk_norm = file.find("blk.0.attn_q_norm.weight") != nullptr;
  if (file.find("blk.0.attn_q.bias") != nullptr)
    c.attention_bias = file.find("blk.0.attn_output.bias") != nullptr ? AttentionBias::qkvo : AttentionBias::qkv;
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr) throw Error(file.where(), "a tensor token_embd.weight", "none");
  const int64_t rows = embedding->shape[0];
  if (rows > std::numeric_limits<int>::max())
    throw Error(file.where(), "a vocabulary below 2^31", fmt::format("{}", rows));
  c.vocab = static_cast<int>(rows);
}

int token_id(const GgufFile& file, const char* key) {
  const uint64_t id = file.get_uint(key);
  if (id > static_cast<uint64_t>(std::numeric_limits<int>::max()))
    throw Error(file.where(), fmt::format("{} below 2^31", key), fmt::format("{}", id));
  return static_cast<int>(id);
}

}  // namespace

bool gguf_interleaves(const ModelConfig& c) { return c.family == "llama" || c.family == "mistral"; }

ModelConfig config_from_gguf(const GgufFile& file) {
  ModelConfig c;
  c.family = file.get_string("general.architecture");
  const std::set<std::string> families = {"sigma", "llama", "qwen2", "qwen3"};
  if (!families.contains(c.family))
    throw Error(file.where(), "architecture sigma, llama, qwen2 or qwen3", printable(c.family));
  Reader r(file, c.family + ".");
  c.dim = r.integer("embedding_length");
  c.layers = r.integer("block_count");
  c.ffn_dim = r.integer("feed_forward_length");
  c.max_tokens = r.integer("context_length");
  c.norm_eps = r.number("attention.layer_norm_rms_epsilon", 1e-5);
  read_attention(c, r);
  read_rope(c, r, file);
  read_from_tensors(c, file);
  if (r.has("vocab_size") && r.integer("vocab_size") != c.vocab)
    throw Error(file.where(), fmt::format("vocab_size {}, the rows of token_embd.weight", c.vocab),
                fmt::format("{}", r.integer("vocab_size")));
  if (r.integer("expert_count", 0) != 0) throw Error(file.where(), "a dense model", "a mixture of experts");
  r.integer("expert_used_count", 0);
  r.refuse_unread();
  if (file.has("tokenizer.ggml.bos_token_id")) c.bos = token_id(file, "tokenizer.ggml.bos_token_id");
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    if (file.has(key)) c.eos.push_back(token_id(file, key));
  c.validate(file.where());
  return c;
}

void config_to_gguf(const ModelConfig& c, GgufWriter& w) {
  const AttentionShape& a = c.attn;
  const std::string architecture = c.family == "mistral" ? "llama" : c.family;
  const auto set = [&](const char* key, auto value) { w.set(architecture + "." + key, value); };
  const auto set_count = [&](const char* key, int value) { set(key, static_cast<uint32_t>(value)); };
  w.set("general.architecture", architecture);
  set_count("vocab_size", c.vocab);
  set_count("context_length", c.max_tokens);
  set_count("embedding_length", c.dim);
  set_count("block_count", c.layers);
  set_count("feed_forward_length", c.ffn_dim);
  set_count("attention.head_count", a.q_heads);
  if (c.family == "sigma") {
    set_count("attention.head_count_k", a.k_heads);
    set_count("attention.head_count_v", a.v_heads);
    set_count("attention.query_length", a.q_dim);
    set_count("attention.augmented_query_length", a.aug_dim);
    set("attention.key_rope", std::string_view(a.key_rope == KeyRope::key_dim ? "key_dim" : "after_expansion"));
  } else {
    set_count("attention.head_count_kv", a.k_heads);
    set_count("rope.dimension_count", a.q_dim);
  }
  set_count("attention.key_length", a.k_dim);
  set_count("attention.value_length", a.v_dim);
  set("attention.layer_norm_rms_epsilon", static_cast<float>(c.norm_eps));
  set("rope.freq_base", static_cast<float>(c.rope.theta));
  if (c.rope.scaling == Rope::Scaling::linear) {
    set("rope.scaling.type", std::string_view("linear"));
    set("rope.scaling.factor", static_cast<float>(c.rope.factor));
  }
  // The tokenizer writes these too; a model without one still has them.
  if (c.bos) w.set("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*c.bos));
  if (!c.eos.empty()) w.set("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(c.eos[0]));
  if (c.eos.size() > 1) w.set("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(c.eos[1]));
}

std::vector<float> rope_divisors(const ModelConfig& c) {
  if (c.rope.scaling == Rope::Scaling::divisors) return c.rope.divisors;
  if (c.rope.scaling != Rope::Scaling::llama3) return {};
  const int rotated = c.attn.key_rope == KeyRope::key_dim ? c.attn.k_dim : c.attn.q_dim;
  Rope plain = c.rope;
  plain.scaling = Rope::Scaling::none;
  const std::vector<double> base = plain.frequencies(rotated), scaled = c.rope.frequencies(rotated);
  std::vector<float> divisors;
  for (size_t i = 0; i < base.size(); ++i) divisors.push_back(static_cast<float>(base[i] / scaled[i]));
  return divisors;
}

}  // namespace sigma
