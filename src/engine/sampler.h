// From logits to a token. Order of the steps: logit bias, penalties, temperature, top-k, top-p, min-p, typical.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "text/tokenizer.h"

namespace sigma {

struct SamplingParams {
  double temperature = 0;         // 0: greedy, the largest logit (ties: the lower id)
  int64_t top_k = 0;              // keep the k likeliest; 0: all
  double top_p = 1;               // keep the fewest likeliest tokens with at least this probability together
  double min_p = 0;               // keep tokens with at least this share of the likeliest one's probability
  double typical_p = 1;           // keep the tokens closest to the expected surprise (Meister et al. 2022)
  double repetition_penalty = 1;  // over prompt and output: positive logits divided, negative ones multiplied
  double presence_penalty = 0;    // subtracted once from every token of the output
  double frequency_penalty = 0;   // subtracted for every occurrence in the output
  std::vector<std::pair<TokenId, double>> logit_bias;
  uint64_t seed = 0;

  // Error when a value makes no sense (temperature < 0, top_p outside (0, 1], a bias for a token that is not there
  // ...).
  void validate(int vocab) const;
};

// One sequence's sampler: same parameters, seed and stream give the same tokens on every machine with the same logits.
class Sampler {
 public:
  // stream: number of the completion within its request.
  Sampler(const SamplingParams& params, uint64_t stream);
  // logits: [vocab]; prompt and output: the tokens so far. NaN logits are never chosen unless there is nothing else.
  TokenId sample(std::span<const float> logits, std::span<const TokenId> prompt, std::span<const TokenId> output);

 private:
  struct Candidate {
    TokenId id;
    double logit, probability;
  };
  void apply_penalties(std::span<const TokenId> prompt, std::span<const TokenId> output);
  void keep_top_k();
  void normalise();
  void keep_top_p();
  void keep_min_p();
  void keep_typical();

  SamplingParams params_;
  Rng rng_;
  bool plain_greedy_;
  std::vector<float> logits_;          // a copy that bias and penalties change
  std::vector<Candidate> candidates_;  // likeliest first
};

// Natural log-probabilities under softmax(logits): of one token, and the `count` likeliest, likeliest first.
struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};
float token_logprob(std::span<const float> logits, TokenId id);
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int count);
TokenId argmax(std::span<const float> logits);

}  // namespace sigma
