// The reference itself: against values worked out by hand and against a second, slower way to say the same equations;
// in float and in double. And the registry of kernel sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/ref/reference.h"

namespace sigma::test {
namespace {

std::vector<double> random_values(size_t n, Rng& rng) {
  std::vector<double> values(n);
  for (double& v : values) v = rng.normal();
  return values;
}

TEST(Reference, DotAddsEveryTermOnce) {
  for (int n = 0; n < 40; ++n) {
    std::vector<float> a, b;
    double expected = 0;
    for (int i = 0; i < n; ++i) {
      a.push_back(static_cast<float>(i + 1));
      b.push_back(static_cast<float>(2 * i - 7));
      expected += (i + 1.0) * (2 * i - 7.0);
    }
    EXPECT_EQ(ref::dot(a.data(), b.data(), n), expected);
  }
}

TEST(Reference, MatmulColumn) {
  std::vector<float> x{1, 2, 3, 4, 5, 6}, out{10, 20, 30, 40}, w{7, -8, 9};
  const TensorView view = view_of(out.data(), 2, 2);
  ref::matmul_column<float>(view, 1, view_of(x.data(), 2, 3), w.data(), 0.5, Store::overwrite);
  EXPECT_EQ(out, (std::vector<float>{10, 18.5, 30, 42.5}));
  ref::matmul_column<float>(view, 0, view_of(x.data(), 2, 3), w.data(), 0.0, Store::add);
  EXPECT_EQ(out, (std::vector<float>{28, 18.5, 72, 42.5}));
}

TEST(Reference, RmsNorm) {
  const std::vector<double> x{3, -4, 0, 0}, weight{1, 2, 3, 4};
  std::vector<double> out(4);
  ref::rms_norm_row(out.data(), x.data(), weight.data(), 4, 0.0);
  EXPECT_DOUBLE_EQ(out[0], 3 / 2.5);
  EXPECT_DOUBLE_EQ(out[1], -8 / 2.5);
  ref::rms_norm_row(out.data(), x.data(), weight.data(), 4, 2.75);  // mean square 6.25 + 2.75 = 9
  EXPECT_DOUBLE_EQ(out[0], 1.0);
}

TEST(Reference, RopeTurnsHalfSplitPairs) {
  std::vector<double> x{1, 2, 3, 4};
  const std::vector<double> cos{0, 0.6}, sin{1, 0.8};
  ref::rope_head(x.data(), 4, cos.data(), sin.data());
  const std::vector<double> expected{-3, 2 * 0.6 - 4 * 0.8, 1, 4 * 0.6 + 2 * 0.8};
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(x[i], expected[i]);
}

TEST(Reference, Swiglu) {
  EXPECT_DOUBLE_EQ(ref::swiglu_value(0.0, 5.0), 0.0);
  EXPECT_DOUBLE_EQ(ref::swiglu_value(std::log(3.0), 4.0), std::log(3.0) * 0.75 * 4.0);
  EXPECT_FLOAT_EQ(ref::swiglu_value(-1.0f, 2.0f), -2.0f / (1.0f + std::exp(1.0f)));
}

TEST(Reference, ExpandKeyIsTheMatrixThenTheRotation) {
  const std::vector<double> matrix{1, 0, 2, 1, 0, 3, 1, 1}, key{2, 5}, cos{0.6, 1}, sin{0.8, 0};  // E: [4, 2]
  std::vector<double> out(4);
  ref::expand_key(out.data(), key.data(), matrix.data(), 4, 2, cos.data(), sin.data());
  // E k = {2, 9, 15, 7}
  const std::vector<double> expected{2 * 0.6 - 15 * 0.8, 9, 15 * 0.6 + 2 * 0.8, 7};
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(out[i], expected[i]);
}

// --- Attention, said differently: sort all positions, then add up ---

struct Case {
  int64_t tokens, q_dim, v_dim, v_top;
  VWeights weights;
};

std::vector<double> attention_by_sorting(const Case& c, const std::vector<double>& q, const std::vector<double>& k,
                                         const std::vector<double>& v) {
  std::vector<std::pair<double, int64_t>> ranked;  // -score, position: sorts ties by position
  for (int64_t t = 0; t < c.tokens; ++t) {
    long double score = 0;
    for (int64_t i = 0; i < c.q_dim; ++i)
      score += static_cast<long double>(q[static_cast<size_t>(i)]) * k[static_cast<size_t>(t * c.q_dim + i)];
    ranked.emplace_back(-static_cast<double>(score * 0.25L), t);
  }
  std::sort(ranked.begin(), ranked.end());
  const auto kept = static_cast<size_t>(c.v_top == 0 ? c.tokens : std::min(c.v_top, c.tokens));
  long double all = 0, of_kept = 0;
  std::vector<long double> sums(static_cast<size_t>(c.v_dim));
  for (size_t r = 0; r < ranked.size(); ++r) {
    const long double e = std::exp(static_cast<long double>(ranked[0].first - ranked[r].first));
    all += e;
    if (r >= kept) continue;
    of_kept += e;
    for (int64_t i = 0; i < c.v_dim; ++i)
      sums[static_cast<size_t>(i)] += e * v[static_cast<size_t>(ranked[r].second * c.v_dim + i)];
  }
  std::vector<double> out;
  for (const long double sum : sums)
    out.push_back(static_cast<double>(sum / (c.weights == VWeights::all ? all : of_kept)));
  return out;
}

template <class T>
std::vector<T> attention_by_reference(const Case& c, const std::vector<double>& q, const std::vector<double>& k,
                                      const std::vector<double>& v) {
  const std::vector<T> qt(q.begin(), q.end()), kt(k.begin(), k.end()), vt(v.begin(), v.end());
  std::vector<T> out(static_cast<size_t>(c.v_dim));
  std::vector<double> scores(static_cast<size_t>(c.tokens)), weights(scores), sums(static_cast<size_t>(c.v_dim));
  std::vector<int32_t> order(scores.size());
  ref::attention_head<T>({.out = out.data(),
                          .q = qt.data(),
                          .k = kt.data(),
                          .v = vt.data(),
                          .k_stride = c.q_dim,
                          .v_stride = c.v_dim,
                          .q_dim = c.q_dim,
                          .v_dim = c.v_dim,
                          .tokens = c.tokens,
                          .scale = 0.25,
                          .v_top = c.v_top,
                          .v_weights = c.weights},
                         {scores.data(), weights.data(), sums.data(), order.data()});
  return out;
}

TEST(Reference, AttentionOfTwoPositionsByHand) {
  // Scores 0.25 * {4 ln 3, 0}: weights 3/4 and 1/4.
  const double l = 4 * std::log(3.0);
  const std::vector<double> q{1}, k{l, 0}, v{8, 4};
  EXPECT_DOUBLE_EQ(attention_by_reference<double>({2, 1, 1, 0, VWeights::all}, q, k, v)[0], 7.0);
  EXPECT_DOUBLE_EQ(attention_by_reference<double>({2, 1, 1, 1, VWeights::all}, q, k, v)[0], 6.0);
  EXPECT_DOUBLE_EQ(attention_by_reference<double>({2, 1, 1, 1, VWeights::kept}, q, k, v)[0], 8.0);
}

TEST(Reference, AttentionAsSortingSaysIt) {
  Rng rng(3);
  for (const int64_t tokens : {1, 2, 7, 50})
    for (const int64_t v_top : {0, 1, 3, 49, 50, 99})
      for (const VWeights weights : {VWeights::all, VWeights::kept})
        for (const bool ties : {false, true}) {
          const Case c{tokens, 6, 5, v_top, weights};
          const std::vector<double> q = random_values(6, rng), v = random_values(static_cast<size_t>(tokens * 5), rng);
          std::vector<double> k = random_values(static_cast<size_t>(tokens * 6), rng);
          if (ties)
            for (size_t i = 12; i < k.size(); ++i) k[i] = k[i % 12];
          const std::vector<double> expected = attention_by_sorting(c, q, k, v);
          const std::vector<double> in_double = attention_by_reference<double>(c, q, k, v);
          const std::vector<float> in_float = attention_by_reference<float>(c, q, k, v);
          for (size_t i = 0; i < expected.size(); ++i) {
            EXPECT_NEAR(in_double[i], expected[i], 1e-13);
            if (!ties) {
              EXPECT_NEAR(static_cast<double>(in_float[i]), expected[i], 1e-5);
            }
          }
        }
}

TEST(Reference, AttentionSeesNaNAndHidesIt) {
  Rng rng(5);
  const std::vector<double> q = random_values(6, rng), v = random_values(50, rng);
  std::vector<double> k = random_values(60, rng);
  k[4 * 6] = std::nan("");
  for (const VWeights weights : {VWeights::all, VWeights::kept})
    for (const int64_t v_top : {0, 3})
      EXPECT_TRUE(std::isnan(attention_by_reference<double>({10, 6, 5, v_top, weights}, q, k, v)[0]));
  EXPECT_FALSE(std::isnan(attention_by_reference<double>({4, 6, 5, 0, VWeights::all}, q, k, v)[0]));
}

// --- The registry ---

TEST(Registry, TheReferenceComesFirst) {
  const auto sets = runnable_kernels();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), &reference_kernels());
  EXPECT_EQ(std::string(sets.front()->name), "ref");
  for (const Kernels* set : sets) EXPECT_NE(set, nullptr);
}

// In a process of their own: the choice is made once.
void print_chosen(const char* wanted) {
  if (wanted == nullptr) {
    unsetenv("SIGMA_KERNELS");
  } else {
    setenv("SIGMA_KERNELS", wanted, 1);
  }
  try {
    std::fprintf(stderr, "chose %s\n", cpu_kernels().name);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  std::exit(0);
}

TEST(Registry, ChoosesTheBestOrWhatTheEnvironmentNames) {
  const auto exits = testing::ExitedWithCode(0);
  EXPECT_EXIT(print_chosen(nullptr), exits, std::string("chose ") + runnable_kernels().back()->name);
  EXPECT_EXIT(print_chosen(""), exits, std::string("chose ") + runnable_kernels().back()->name);
  for (const Kernels* set : runnable_kernels())
    EXPECT_EXIT(print_chosen(set->name), exits, std::string("chose ") + set->name);
  EXPECT_EXIT(print_chosen("abacus"), exits, "SIGMA_KERNELS.*expected one of ref.*found abacus");
}

}  // namespace
}  // namespace sigma::test
