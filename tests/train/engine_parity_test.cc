// What the trainer computes is what the engine computes: logits of a trained checkpoint from both, in f32.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "model/forward.h"
#include "support/temp_folder.h"
#include "train/checkpoint_store.h"
#include "train/network.h"

namespace sigma {
namespace {

std::vector<float> engine_logits(const std::string& path, const std::vector<int32_t>& tokens) {
  ThreadPool threads(2);
  const Kernels& kernels = cpu_kernels();
  const Model model = load_model(path, kernels, threads);
  KvCache cache(kernels, model.config,
                {.k_format = Format::f32, .v_format = Format::f32, .page_tokens = 7, .tokens = 70});
  std::vector<PageId> pages;
  while (const auto page = cache.allocate()) pages.push_back(*page);
  std::vector<int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  const SeqSlice slice{0, static_cast<int64_t>(tokens.size()), 0, pages};
  Workspace workspace;
  const ConstTensorView logits =
      forward(kernels, threads, model, cache, workspace, {.tokens = tokens, .seqs = {&slice, 1}, .logit_rows = rows});
  return {logits.row<float>(0), logits.row<float>(0) + logits.rows * logits.cols};
}

void expect_parity(const ModelConfig& config) {
  const test::TempFolder folder;
  ThreadPool threads(2);
  Parameters parameters(config, Precision::f32());
  parameters.load(threads, random_reader(config, 8));
  Rng rng(4);
  for (const Parameters::Tensor& t : parameters.tensors())
    for (int64_t i = 0; i < t.spec.elements(); ++i) t.weight.row<float>(0)[i] += static_cast<float>(0.1 * rng.normal());
  CheckpointStore store(folder.path("checkpoints"), 1);
  const std::vector<float> moments(static_cast<size_t>(parameters.elements()));
  const std::string path = store.save(1, parameters, moments, moments, Json::object(), nullptr, threads);

  constexpr int64_t kTokens = 60;
  std::vector<int32_t> tokens, targets(kTokens, -1), starts(kTokens, 0);
  for (int64_t i = 0; i < kTokens; ++i)
    tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab))));
  Network network(config, Precision::f32(), cpu_kernels(), threads);
  const std::vector<double> trained = network.logits(parameters, {1, kTokens, tokens, targets, starts});
  const std::vector<float> served = engine_logits(path, tokens);
  ASSERT_EQ(trained.size(), served.size());
  const auto vocab = static_cast<size_t>(config.vocab);
  for (size_t row = 0; row < trained.size(); row += vocab) {
    double largest = 0, difference = 0;
    for (size_t i = row; i < row + vocab; ++i) {
      largest = std::max(largest, std::abs(trained[i]));
      difference = std::max(difference, std::abs(trained[i] - static_cast<double>(served[i])));
    }
    ASSERT_LE(difference, 1e-4 * largest) << "token " << row / vocab;
    ASSERT_GT(largest, 0.1);
  }
}

ModelConfig all_sizes_differ() {
  ModelConfig c;
  c.dim = 52;
  c.layers = 3;
  c.ffn_dim = 76;
  c.vocab = 97;
  c.max_tokens = 128;
  c.attn = {.q_heads = 12, .k_heads = 4, .v_heads = 6, .q_dim = 20, .k_dim = 20, .v_dim = 28, .aug_dim = 44};
  return c;
}

TEST(EngineParity, FewerKeysThanValuesAndAugmentedQueries) { expect_parity(all_sizes_differ()); }

TEST(EngineParity, KeysOfHalfTheDimension) {
  for (const KeyRope form : {KeyRope::after_expansion, KeyRope::key_dim}) {
    ModelConfig c = all_sizes_differ();
    c.attn.k_dim = 10;
    c.attn.key_rope = form;
    c.tied = true;
    expect_parity(c);
  }
}

TEST(EngineParity, BiasesAndNormedHeads) {
  ModelConfig qwen2 = all_sizes_differ();
  qwen2.family = "qwen2";
  qwen2.attn = {.q_heads = 12, .k_heads = 4, .v_heads = 4, .q_dim = 20, .k_dim = 20, .v_dim = 20};
  qwen2.attention_bias = AttentionBias::qkv;
  expect_parity(qwen2);
  ModelConfig qwen3 = qwen2;
  qwen3.family = "qwen3";
  qwen3.attention_bias = AttentionBias::none;
  qwen3.qk_norm = true;
  expect_parity(qwen3);
}

}  // namespace
}  // namespace sigma
