#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"

namespace sigma {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 0.0f, -1.0f};

std::map<TokenId, int> draw(const SamplingParams& params, int count, std::span<const float> logits = kLogits,
                            std::vector<TokenId> prompt = {}, std::vector<TokenId> output = {}) {
  Sampler sampler(params, 0);
  std::map<TokenId, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sampler.sample(logits, prompt, output)];
  return seen;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowerOfEquals) {
  EXPECT_EQ(argmax(kLogits), 1);
  EXPECT_EQ(argmax(std::vector<float>{2.0f, 5.0f, 5.0f}), 1);
  EXPECT_EQ(argmax(std::vector<float>{NAN, 1.0f, NAN}), 1);
  EXPECT_EQ(argmax(std::vector<float>{NAN, NAN}), 1);  // nothing else: any token of the vocabulary
}

TEST(Sampler, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  for (const double temperature : {0.5, 1.0, 2.0}) {
    constexpr int kDraws = 40000;
    const auto seen = draw({.temperature = temperature, .seed = 7}, kDraws);
    double sum = 0;
    for (const float x : kLogits) sum += std::exp(x / temperature);
    for (size_t i = 0; i < kLogits.size(); ++i) {
      const double p = std::exp(kLogits[i] / temperature) / sum;
      const double got = seen.contains(static_cast<TokenId>(i)) ? seen.at(static_cast<TokenId>(i)) / double{kDraws} : 0;
      EXPECT_NEAR(got, p, 5 * std::sqrt(p * (1 - p) / kDraws) + 1e-4) << "token " << i << " at " << temperature;
    }
  }
}

std::vector<TokenId> ids_of(const std::map<TokenId, int>& seen) {
  std::vector<TokenId> ids;
  for (const auto& [id, count] : seen) ids.push_back(id);
  return ids;
}

TEST(Sampler, CutsKeepWhatTheyNameAndNothingElse) {
  // probabilities: 1: 0.636, 2: 0.234, 0: 0.086, 3: 0.032, 4: 0.012
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(ids_of(draw({.temperature = 1, .top_k = 2}, 2000)), (Ids{1, 2}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .top_p = 0.6}, 2000)), (Ids{1}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .top_p = 0.7}, 2000)), (Ids{1, 2}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .min_p = 0.3}, 2000)), (Ids{1, 2}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .min_p = 0.1}, 4000)), (Ids{0, 1, 2}));
  // Surprise expected: 0.985; -log p: 0.45, 1.45, 2.45, 3.45, 4.45: token 2 (off by 0.47) before token 1 (0.53).
  EXPECT_EQ(ids_of(draw({.temperature = 1, .typical_p = 0.2}, 2000)), (Ids{2}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .typical_p = 0.5}, 2000)), (Ids{1, 2}));
  EXPECT_EQ(ids_of(draw({.temperature = 1, .top_k = 3, .top_p = 0.95, .min_p = 0.2}, 4000)), (Ids{1, 2}));
}

TEST(Sampler, PenaltiesAndBiasMoveTheirTokens) {
  // Repetition over prompt and output: positive divided, negative multiplied.
  EXPECT_EQ(ids_of(draw({.repetition_penalty = 2.0}, 1, kLogits, {1}, {})), (std::vector<TokenId>{2}));
  EXPECT_EQ(ids_of(draw({.repetition_penalty = 2.0}, 1, kLogits, {}, {1})), (std::vector<TokenId>{2}));
  const std::vector<float> negative = {-1.0f, -1.5f};
  EXPECT_EQ(ids_of(draw({.repetition_penalty = 2.0}, 1, negative, {0}, {})), (std::vector<TokenId>{1}));
  // Presence and frequency over the output only.
  EXPECT_EQ(ids_of(draw({.presence_penalty = 1.5}, 1, kLogits, {1}, {})), (std::vector<TokenId>{1}));
  EXPECT_EQ(ids_of(draw({.presence_penalty = 1.5}, 1, kLogits, {}, {1, 1})), (std::vector<TokenId>{2}));
  EXPECT_EQ(ids_of(draw({.frequency_penalty = 0.6}, 1, kLogits, {}, {1})), (std::vector<TokenId>{1}));
  EXPECT_EQ(ids_of(draw({.frequency_penalty = 0.6}, 1, kLogits, {}, {1, 1})), (std::vector<TokenId>{2}));
  EXPECT_EQ(ids_of(draw({.logit_bias = {{4, 10.0}}}, 1)), (std::vector<TokenId>{4}));
  EXPECT_EQ(ids_of(draw({.logit_bias = {{1, -std::numeric_limits<double>::infinity()}}}, 1)),
            (std::vector<TokenId>{2}));
}

TEST(Sampler, SeedAndStreamDecideAndDiffer) {
  const auto sequence = [](uint64_t seed, uint64_t stream) {
    Sampler sampler({.temperature = 1.5, .seed = seed}, stream);
    std::vector<TokenId> ids;
    for (int i = 0; i < 64; ++i) ids.push_back(sampler.sample(kLogits, {}, {}));
    return ids;
  };
  EXPECT_EQ(sequence(3, 0), sequence(3, 0));
  EXPECT_NE(sequence(3, 0), sequence(4, 0));
  EXPECT_NE(sequence(3, 0), sequence(3, 1));
}

TEST(Sampler, LogprobsAreTheLogSoftmax) {
  double sum = 0;
  for (const float x : kLogits) sum += std::exp(x);
  const auto top = top_logprobs(kLogits, 3);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_EQ(top[1].id, 2);
  EXPECT_EQ(top[2].id, 0);
  EXPECT_NEAR(top[0].logprob, 3.0 - std::log(sum), 1e-6);
  EXPECT_NEAR(token_logprob(kLogits, 4), -1.0 - std::log(sum), 1e-6);
  EXPECT_EQ(top_logprobs(kLogits, 99).size(), kLogits.size());
}

TEST(Sampler, SurvivesNanAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits :
       {std::vector<float>{NAN, 1.0f, NAN}, {NAN, NAN}, {-inf, -inf}, {inf, 1.0f}, {inf, inf, -inf}}) {
    const auto seen = draw({.temperature = 1, .top_p = 0.9, .min_p = 0.01, .typical_p = 0.9}, 50, logits);
    for (const auto& [id, count] : seen) EXPECT_LT(static_cast<size_t>(id), logits.size());
  }
  EXPECT_EQ(ids_of(draw({.temperature = 1}, 50, std::vector<float>{NAN, 1.0f, NAN})), (std::vector<TokenId>{1}));
}

TEST(SamplingParams, RefusesNonsense) {
  EXPECT_NO_THROW(SamplingParams{}.validate(5));
  for (const SamplingParams& bad : {SamplingParams{.temperature = -1},
                                    {.temperature = NAN},
                                    {.top_k = -1},
                                    {.top_p = 0},
                                    {.top_p = 1.5},
                                    {.min_p = -0.1},
                                    {.typical_p = 0},
                                    {.repetition_penalty = 0},
                                    {.presence_penalty = INFINITY},
                                    {.logit_bias = {{5, 1.0}}},
                                    {.logit_bias = {{-1, 1.0}}},
                                    {.logit_bias = {{0, NAN}}}})
    EXPECT_THROW(bad.validate(5), Error);
}

}  // namespace
}  // namespace sigma
