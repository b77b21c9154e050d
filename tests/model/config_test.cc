#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "model/weights.h"

namespace sigma {
namespace {

const std::string kConfigs = std::string(SIGMA_SOURCE_DIR) + "/configs/";

Json sigma_json() {
  return parse_json(R"({"model_type": "sigma", "hidden_size": 52, "num_hidden_layers": 3, "intermediate_size": 76,
    "num_attention_heads": 12, "num_key_heads": 2, "num_value_heads": 4, "query_head_dim": 20, "key_head_dim": 10,
    "value_head_dim": 28, "augmented_query_size": 44, "key_rope": "key_dim", "rope_theta": 50000.0, "rms_norm_eps": 1e-5,
    "vocab_size": 97, "max_position_embeddings": 128, "tie_word_embeddings": true})",
                    "test");
}

Json llama_json() {
  return parse_json(R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 97, "max_position_embeddings": 128})",
                    "test");
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string error_with(Json json, const char* key, const Json& value) {
  json[key] = value;
  return error_of([&] { config_from_hf(json, "c"); });
}

TEST(Config, ReadsEverySize) {
  const ModelConfig c = config_from_hf(sigma_json(), "c");
  EXPECT_EQ(c.attn.q_heads, 12);
  EXPECT_EQ(c.attn.k_heads, 2);
  EXPECT_EQ(c.attn.v_heads, 4);
  EXPECT_EQ(c.attn.q_dim, 20);
  EXPECT_EQ(c.attn.k_dim, 10);
  EXPECT_EQ(c.attn.v_dim, 28);
  EXPECT_EQ(c.attn.aug_dim, 44);
  EXPECT_EQ(c.attn.key_rope, KeyRope::key_dim);
  EXPECT_TRUE(c.tied);
}

TEST(Config, LlamaDerivesWhatItsFilesLeaveOut) {
  const ModelConfig c = config_from_hf(llama_json(), "c");
  EXPECT_EQ(c.attn.q_dim, 16);
  EXPECT_EQ(c.attn.k_dim, 16);
  EXPECT_EQ(c.attn.v_dim, 16);
  EXPECT_EQ(c.attn.k_heads, 2);
  EXPECT_EQ(c.attn.key_rope, KeyRope::full);
  EXPECT_EQ(c.rope.theta, 10000.0);
  EXPECT_EQ(c.norm_eps, 1e-6);
  EXPECT_FALSE(c.tied);
}

TEST(Config, WritesWhatItReads) {
  for (const Json& json : {sigma_json(), llama_json()}) {
    const Json once = config_to_hf(config_from_hf(json, "c"));
    EXPECT_EQ(once, config_to_hf(config_from_hf(once, "c")));
  }
}

TEST(Config, PublishedShapesCountAsTheFormulasSay) {
  const ParameterCount sigma = count_parameters(config_from_hf(read_json(kConfigs + "sigma-1.5b.json"), "c"));
  EXPECT_NEAR(static_cast<double>(sigma.total()), 2.02e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(sigma.total() - sigma.augmented_q), 1.53e9, 0.01e9);
  const ParameterCount large = count_parameters(config_from_hf(read_json(kConfigs + "sigma-10b.json"), "c"));
  EXPECT_NEAR(static_cast<double>(large.total()), 9.99e9, 0.01e9);
}

TEST(Config, CountsEqualTheListOfTensors) {
  for (const char* name : {"sigma-1.5b.json", "sigma-10b.json", "std-1.5b.json"}) {
    const ModelConfig c = config_from_hf(read_json(kConfigs + name), name);
    int64_t listed = 0;
    for (const WeightSpec& spec : weight_specs(c)) listed += spec.elements();
    EXPECT_EQ(listed, count_parameters(c).total()) << name;
  }
}

TEST(Config, RefusesByName) {
  const Json sigma = sigma_json(), llama = llama_json();
  EXPECT_NE(error_with(llama, "model_type", "gpt_neox").find("gpt_neox"), std::string::npos);
  EXPECT_NE(error_with(llama, "surprise_gate", 3).find("surprise_gate"), std::string::npos);
  EXPECT_NE(error_with(llama, "hidden_act", "gelu").find("gelu"), std::string::npos);
  EXPECT_NE(error_with(llama, "mlp_bias", true).find("mlp_bias"), std::string::npos);
  EXPECT_NE(error_with(llama, "quantization_config", {{"bits", 4}}).find("quantised"), std::string::npos);
  EXPECT_NE(error_with(llama, "rope_scaling", {{"type", "yarn"}, {"factor", 4}}).find("yarn"), std::string::npos);
  EXPECT_NE(error_with(llama, "num_key_value_heads", 3).find("4 query heads and 3 key heads"), std::string::npos);
  EXPECT_NE(error_with(sigma, "num_value_heads", 5).find("5 value heads"), std::string::npos);
  EXPECT_NE(error_with(sigma, "key_rope", "sideways").find("sideways"), std::string::npos);
  EXPECT_NE(error_with(llama, "layer_types", {"full_attention", "sliding_attention"}).find("layer_types"),
            std::string::npos);
  Json mistral = llama;
  mistral["model_type"] = "mistral";
  EXPECT_NE(error_with(mistral, "sliding_window", 64).find("sliding_window"), std::string::npos);
  EXPECT_EQ(error_with(mistral, "sliding_window", nullptr), "");
  EXPECT_EQ(error_with(llama, "torch_dtype", "bfloat16"), "");
  EXPECT_EQ(error_with(llama, "some_switch", false), "");
}

TEST(Config, RefusesNumbersThatMakeNoModel) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size"})
    for (const Json& bad : {Json(0), Json(-1), Json(1e300), Json(1ull << 40), Json("4"), Json(2.5), Json::array()})
      EXPECT_NE(error_with(llama_json(), key, bad), "") << key << " " << bad;
  EXPECT_NE(error_with(llama_json(), "rope_theta", -1.0), "");
  EXPECT_NE(error_with(llama_json(), "rms_norm_eps", "small"), "");
  EXPECT_NE(error_with(llama_json(), "eos_token_id", 97), "");
  EXPECT_NE(error_with(sigma_json(), "key_head_dim", 9), "");  // odd rotated width
}

TEST(Rope, Llama3ScalingKeepsShortAndStretchesLongWaves) {
  Rope rope{.theta = 500000.0, .scaling = Rope::Scaling::llama3, .factor = 8.0};
  Rope plain = rope;
  plain.scaling = Rope::Scaling::none;
  const auto scaled = rope.frequencies(128), base = plain.frequencies(128);
  ASSERT_EQ(scaled.size(), 64u);
  EXPECT_EQ(scaled[0], base[0]);
  EXPECT_DOUBLE_EQ(scaled[63], base[63] / 8.0);
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_LE(scaled[i], base[i]);
    EXPECT_GE(scaled[i], base[i] / 8.0);
  }
}

}  // namespace
}  // namespace sigma
