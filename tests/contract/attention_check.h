// Compares what a Player got with the reference in double, within the error bound of docs/numerics.md.
#pragma once

#include "contract/attention.h"
#include "kernels/ref/reference.h"

namespace sigma::test {

// exact: queries, keys and scale are such that no permitted rounding changes a score (exact_integer, powers of two).
enum class Scores { rounded, exact };

class Checker {
 public:
  Checker(const Player& player, size_t sequence, Scores scores = Scores::rounded)
      : a_(player.attention()), scores_(scores), seq_(player.sequence(sequence)), out_(player.out(sequence)) {
    const std::vector<float> k = player.keys(sequence), v = player.values(sequence);
    values_.assign(v.begin(), v.end());
    keys_.assign(k.begin(), k.end());
    sizes_.resize(keys_.size());
    std::transform(keys_.begin(), keys_.end(), sizes_.begin(), [](double key) { return std::fabs(key); });
    if (a_.expands()) expand(player.expansion());
  }

  void check_row(int64_t position) {
    for (int head = 0; head < a_.q_heads && !testing::Test::HasFatalFailure(); ++head) check_head(position, head);
  }
  void check_all() {
    for (int64_t p = 0; p < seq_.tokens && !testing::Test::HasFatalFailure(); ++p) check_row(p);
    if (a_.v_top == 0 && scores_ == Scores::rounded) ratio_.check();
  }

 private:
  // One query head at one position: what it should give, and all that its tolerance is made of.
  struct Head {
    const float* q;
    Rounded rounded;
    int64_t tokens;
    const double *k, *k_sizes, *v;                  // of position 0
    std::vector<double> expected, scores, weights;  // weights: 0 where not kept
    std::vector<int32_t> order;                     // selective: the kept positions first
    int64_t kept_ = 0;                              // 0: all
  };

  int64_t k_stride() const { return int64_t{a_.k_heads} * a_.q_dim; }
  int64_t v_stride() const { return int64_t{a_.v_heads} * a_.v_dim; }
  Rounding query_rounding() const;
  Rounding weight_rounding() const;
  void expand(const Expansion& e);
  Head reference(int64_t position, int head) const;
  double score_error(const Head& h) const;
  std::vector<double> tolerances(const Head& h) const;
  std::vector<double> naive(const Head& h) const;
  void check_head(int64_t position, int head);

  const Attention& a_;
  Scores scores_;
  const Sequence& seq_;
  const GuardedMatrix& out_;
  std::vector<double> keys_, sizes_, values_;  // sizes_: of the terms that a key's elements are sums of
  ErrorRatio ratio_;
};

inline Rounding Checker::query_rounding() const {
  switch (a_.k_format) {
    case Format::f32:
      return Rounding::none;
    case Format::f16:
      return Rounding::f16;
    case Format::q8_0:
      return a_.expands() ? Rounding::bf16 : Rounding::int8;
    default:
      return Rounding::bf16;
  }
}

inline Rounding Checker::weight_rounding() const {
  switch (a_.v_format) {
    case Format::f32:
      return Rounding::none;
    case Format::f16:
      return Rounding::f16;
    default:
      return Rounding::bf16;
  }
}

inline double unit_of(Rounding rounding) {
  return rounding == Rounding::none ? 0.0 : rounding == Rounding::f16 ? kUnitF16 : kUnitBf16;
}

// From cached keys to keys as scores use them.
inline void Checker::expand(const Expansion& e) {
  const std::vector<double> cached = keys_;
  const int64_t n = a_.q_dim, half = n / 2, rows = seq_.tokens * a_.k_heads;
  keys_.assign(static_cast<size_t>(rows * n), 0.0);
  sizes_ = keys_;
  std::vector<double> plain(static_cast<size_t>(n));
  for (int64_t r = 0; r < rows; ++r) {
    const double* key = cached.data() + r * a_.k_dim;
    const int64_t t = r / a_.k_heads;
    ref::expand_key(keys_.data() + r * n, key, e.matrix.row(0), n, a_.k_dim, e.cos.row(t), e.sin.row(t));
    for (int64_t i = 0; i < n; ++i) {
      double& size = plain[static_cast<size_t>(i)] = 0.0;
      for (int64_t j = 0; j < a_.k_dim; ++j) size += std::fabs(static_cast<double>(e.matrix.at(i, j)) * key[j]);
    }
    for (int64_t i = 0; i < n; ++i) {
      const double cos = static_cast<double>(e.cos.at(t, i % half)), sin = static_cast<double>(e.sin.at(t, i % half));
      sizes_[static_cast<size_t>(r * n + i)] =
          std::fabs(cos) * plain[static_cast<size_t>(i)] + std::fabs(sin) * plain[static_cast<size_t>((i + half) % n)];
    }
  }
}

inline Checker::Head Checker::reference(int64_t position, int head) const {
  const int64_t tokens = position + 1, k_head = int64_t{head} * a_.k_heads / a_.q_heads;
  const int64_t v_head = int64_t{head} * a_.v_heads / a_.q_heads;
  const float* q = seq_.q.row(position) + int64_t{head} * a_.q_dim;
  const std::vector<double> zeros(static_cast<size_t>(tokens));
  Head h{.q = q,
         .rounded = round_activations(query_rounding(), q, a_.q_dim),
         .tokens = tokens,
         .k = keys_.data() + k_head * a_.q_dim,
         .k_sizes = sizes_.data() + k_head * a_.q_dim,
         .v = values_.data() + v_head * a_.v_dim,
         .expected = std::vector<double>(static_cast<size_t>(a_.v_dim)),
         .scores = zeros,
         .weights = zeros,
         .order = std::vector<int32_t>(static_cast<size_t>(tokens)),
         .kept_ = a_.v_top < tokens ? a_.v_top : 0};
  const std::vector<double> q_exact(q, q + a_.q_dim);
  std::vector<double> sums(h.expected);
  ref::attention_head<double>({.out = h.expected.data(),
                               .q = q_exact.data(),
                               .k = h.k,
                               .v = h.v,
                               .k_stride = k_stride(),
                               .v_stride = v_stride(),
                               .q_dim = a_.q_dim,
                               .v_dim = a_.v_dim,
                               .tokens = tokens,
                               .scale = static_cast<double>(a_.actual_scale()),
                               .v_top = a_.v_top,
                               .v_weights = a_.v_weights},
                              {h.scores.data(), h.weights.data(), sums.data(), h.order.data()});
  return h;
}

// How far a kernel's scores may be from the reference's.
inline double Checker::score_error(const Head& h) const {
  // An expanded key may be rounded to the cache's precision, and so may the matrix that expands it.
  const double key_rounding = a_.expands() ? 2 * unit_of(query_rounding()) : 0.0;
  const double sums = gamma(a_.q_dim + (a_.expands() ? a_.k_dim : 0) + 8);
  double worst = 0.0, largest = 0.0;
  for (int64_t t = 0; t < h.tokens; ++t) {
    double error = 0.0;
    for (int64_t i = 0; i < a_.q_dim; ++i) {
      const double delta = h.rounded.delta[static_cast<size_t>(i)], q = std::fabs(static_cast<double>(h.q[i]));
      error += delta * std::fabs(h.k[t * k_stride() + i]) +
               (key_rounding + sums) * (q + delta) * h.k_sizes[t * k_stride() + i];
    }
    worst = std::max(worst, error);
    largest = std::max(largest, std::fabs(h.scores[static_cast<size_t>(t)]));
  }
  return (scores_ == Scores::exact ? 0.0 : static_cast<double>(a_.actual_scale()) * worst) + 4 * kUnit * largest;
}

inline std::vector<double> Checker::tolerances(const Head& h) const {
  const double error = score_error(h);
  // A softmax of scores that are each off by `error` is off by 2 * error; which ones are kept adds as much again.
  const double relative = std::expm1((h.kept_ > 0 ? 4 : 2) * error) + gamma(h.tokens + 40) + unit_of(weight_rounding());
  const auto best = static_cast<size_t>(std::max_element(h.scores.begin(), h.scores.end()) - h.scores.begin());
  double threshold = h.scores[best];
  for (int64_t i = 0; i < h.kept_; ++i)
    threshold = std::min(threshold, h.scores[static_cast<size_t>(h.order[static_cast<size_t>(i)])]);
  std::vector<double> tolerance(static_cast<size_t>(a_.v_dim), kTiny);
  for (int64_t t = 0; t < h.tokens; ++t) {
    const auto at = static_cast<size_t>(t);
    double weight_error = relative * h.weights[at] + kTiny;
    // Selective V: a position whose score is this near to the last one kept may be taken for it.
    if (h.kept_ > 0 && scores_ == Scores::rounded && std::fabs(h.scores[at] - threshold) <= 2 * error)
      weight_error += (1.0 + relative) * h.weights[best] * std::exp(h.scores[at] - h.scores[best]);
    for (int64_t i = 0; i < a_.v_dim; ++i)
      tolerance[static_cast<size_t>(i)] += weight_error * std::fabs(h.v[t * v_stride() + i]);
  }
  return tolerance;
}

// What plain f32 loops on rounded queries and rounded weights give.
inline std::vector<double> Checker::naive(const Head& h) const {
  std::vector<float> weights(static_cast<size_t>(h.tokens)), out(static_cast<size_t>(a_.v_dim));
  float largest = -HUGE_VALF, sum = 0.0f;
  for (int64_t t = 0; t < h.tokens; ++t) {
    float score = 0.0f;
    for (int64_t i = 0; i < a_.q_dim; ++i)
      score += h.rounded.value[static_cast<size_t>(i)] * static_cast<float>(h.k[t * k_stride() + i]);
    weights[static_cast<size_t>(t)] = score * a_.actual_scale();
    largest = std::max(largest, score * a_.actual_scale());
  }
  for (float& weight : weights) sum += weight = std::exp(weight - largest);
  const Rounded w = round_activations(weight_rounding(), weights.data(), h.tokens);
  for (int64_t t = 0; t < h.tokens; ++t)
    for (int64_t i = 0; i < a_.v_dim; ++i)
      out[static_cast<size_t>(i)] += w.value[static_cast<size_t>(t)] * static_cast<float>(h.v[t * v_stride() + i]);
  for (float& value : out) value /= sum;
  return {out.begin(), out.end()};
}

inline void Checker::check_head(int64_t position, int head) {
  const Head h = reference(position, head);
  const std::vector<double> tolerance = tolerances(h), plain = naive(h);
  const float* got = out_.row(position) + int64_t{head} * a_.v_dim;
  for (int64_t i = 0; i < a_.v_dim; ++i) {
    const auto at = static_cast<size_t>(i);
    ASSERT_NEAR(static_cast<double>(got[i]), h.expected[at], tolerance[at])
        << a_.describe() << "; position " << position << ", head " << head << ", column " << i;
    ratio_.add(h.expected[at], static_cast<double>(got[i]), plain[at]);
  }
}

}  // namespace sigma::test
