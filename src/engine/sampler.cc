#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace sigma {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// log(sum(exp(logits))) in f64; -infinity when nothing is finite.
double log_sum_exp(std::span<const float> logits) {
  float largest = kNever;
  for (const float x : logits)
    if (x > largest) largest = x;
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const float x : logits)
    if (!std::isnan(x)) sum += std::exp(static_cast<double>(x) - static_cast<double>(largest));
  return static_cast<double>(largest) + std::log(sum);
}

}  // namespace

void SamplingParams::validate(int vocab) const {
  const auto require = [](bool good, const char* name, const char* expected, double found) {
    if (!good) throw Error(name, expected, fmt::format("{}", found));
  };
  require(temperature >= 0 && std::isfinite(temperature), "temperature", "a number >= 0", temperature);
  require(top_k >= 0, "top_k", "a whole number >= 0", static_cast<double>(top_k));
  require(top_p > 0 && top_p <= 1, "top_p", "a number in (0, 1]", top_p);
  require(min_p >= 0 && min_p <= 1, "min_p", "a number in [0, 1]", min_p);
  require(typical_p > 0 && typical_p <= 1, "typical_p", "a number in (0, 1]", typical_p);
  require(repetition_penalty > 0 && std::isfinite(repetition_penalty), "repetition_penalty", "a number > 0",
          repetition_penalty);
  require(std::isfinite(presence_penalty), "presence_penalty", "a number", presence_penalty);
  require(std::isfinite(frequency_penalty), "frequency_penalty", "a number", frequency_penalty);
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab) throw Error("logit_bias", fmt::format("a token below {}", vocab), fmt::format("{}", id));
    require(!std::isnan(bias), "logit_bias", "a number", bias);
  }
}

Sampler::Sampler(const SamplingParams& params, uint64_t stream)
    : params_(params),
      rng_(Rng(params.seed).next() ^ Rng(~stream).next()),
      plain_greedy_(params.temperature == 0 && params.logit_bias.empty() && params.repetition_penalty == 1 &&
                    params.presence_penalty == 0 && params.frequency_penalty == 0) {}

void Sampler::apply_penalties(std::span<const TokenId> prompt, std::span<const TokenId> output) {
  for (const auto& [id, bias] : params_.logit_bias) logits_[static_cast<size_t>(id)] += static_cast<float>(bias);
  if (params_.repetition_penalty != 1) {
    std::vector<TokenId> seen(prompt.begin(), prompt.end());
    seen.insert(seen.end(), output.begin(), output.end());
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    const auto penalty = static_cast<float>(params_.repetition_penalty);
    for (const TokenId id : seen) {
      float& logit = logits_[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (params_.presence_penalty != 0 || params_.frequency_penalty != 0) {
    std::vector<TokenId> sorted(output.begin(), output.end());
    std::sort(sorted.begin(), sorted.end());
    for (size_t begin = 0; begin < sorted.size();) {
      size_t end = begin;
      while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
      logits_[static_cast<size_t>(sorted[begin])] -=
          static_cast<float>(params_.presence_penalty + params_.frequency_penalty * static_cast<double>(end - begin));
      begin = end;
    }
  }
}

// The candidates in order of likelihood (ties: the lower id), cut to k.
void Sampler::keep_top_k() {
  candidates_.clear();
  for (size_t i = 0; i < logits_.size(); ++i)
    if (logits_[i] > kNever)
      candidates_.push_back({static_cast<TokenId>(i), static_cast<double>(logits_[i]) / params_.temperature, 0});
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const size_t keep =
      params_.top_k > 0 ? std::min(candidates_.size(), static_cast<size_t>(params_.top_k)) : candidates_.size();
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(keep), candidates_.end(), likelier);
  candidates_.resize(keep);
}

void Sampler::normalise() {
  double sum = 0;
  const double largest = candidates_[0].logit;
  for (Candidate& c : candidates_) sum += c.probability = std::isinf(largest) ? 1.0 : std::exp(c.logit - largest);
  for (Candidate& c : candidates_) c.probability /= sum;
}

void Sampler::keep_top_p() {
  double sum = 0;
  size_t keep = 0;
  while (keep < candidates_.size() && sum < params_.top_p) sum += candidates_[keep++].probability;
  candidates_.resize(std::max<size_t>(keep, 1));
}

void Sampler::keep_min_p() {
  const double threshold = params_.min_p * candidates_[0].probability;
  size_t keep = 1;
  while (keep < candidates_.size() && candidates_[keep].probability >= threshold) ++keep;
  candidates_.resize(keep);
}

void Sampler::keep_typical() {
  double entropy = 0;
  for (const Candidate& c : candidates_)
    if (c.probability > 0) entropy -= c.probability * std::log(c.probability);
  const auto distance = [&](const Candidate& c) { return std::abs(-std::log(c.probability) - entropy); };
  std::vector<size_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return distance(candidates_[a]) < distance(candidates_[b]); });
  double sum = 0;
  size_t keep = 0;
  while (keep < order.size() && sum < params_.typical_p) sum += candidates_[order[keep++]].probability;
  order.resize(std::max<size_t>(keep, 1));
  std::sort(order.begin(), order.end());
  std::vector<Candidate> kept;
  kept.reserve(order.size());
  for (const size_t i : order) kept.push_back(candidates_[i]);
  candidates_ = std::move(kept);
}

TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> prompt,
                        std::span<const TokenId> output) {
  if (plain_greedy_) return argmax(logits);
  logits_.assign(logits.begin(), logits.end());
  apply_penalties(prompt, output);
  if (params_.temperature == 0) return argmax(logits_);
  keep_top_k();
  if (candidates_.empty()) return argmax(logits_);
  normalise();
  if (params_.top_p < 1) keep_top_p(), normalise();
  if (params_.min_p > 0) keep_min_p(), normalise();
  if (params_.typical_p < 1) keep_typical(), normalise();
  double rest = rng_.uniform();
  for (const Candidate& c : candidates_) {
    rest -= c.probability;
    if (rest < 0) return c.id;
  }
  return candidates_.back().id;
}

float token_logprob(std::span<const float> logits, TokenId id) {
  return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - log_sum_exp(logits));
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int count) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto keep = std::min(static_cast<int64_t>(count), static_cast<int64_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + keep, ids.end(), [&](TokenId a, TokenId b) {
    // NaN counts as never, so that the order stays an order.
    const float x = std::isnan(logits[static_cast<size_t>(a)]) ? kNever : logits[static_cast<size_t>(a)];
    const float y = std::isnan(logits[static_cast<size_t>(b)]) ? kNever : logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  const double total = log_sum_exp(logits);
  std::vector<TokenLogprob> top;
  top.reserve(static_cast<size_t>(keep));
  for (int64_t i = 0; i < keep; ++i) {
    const TokenId id = ids[static_cast<size_t>(i)];
    top.push_back({id, static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - total)});
  }
  return top;
}

TokenId argmax(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best] || std::isnan(logits[best])) best = i;
  return static_cast<TokenId>(best);
}

}  // namespace sigma
