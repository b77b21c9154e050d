// Kernels::attention with v_top: which positions are kept, and with what weights.
#include <gtest/gtest.h>

#include "contract/attention_check.h"

namespace sigma::test {
namespace {

class Selective : public testing::TestWithParam<std::tuple<const Kernels*, Format>> {
 protected:
  Attention shape(int64_t v_top, VWeights weights, int k_dim = 20) const {
    return {.q_heads = 12,
            .k_heads = 4,
            .v_heads = 6,
            .q_dim = 20,
            .k_dim = k_dim,
            .v_dim = 28,
            .k_format = std::get<1>(GetParam()),
            .v_format = std::get<1>(GetParam()),
            .v_top = v_top,
            .v_weights = weights};
  }

  World world{*std::get<0>(GetParam())};
  Rng rng{97};
};

constexpr std::array kBothWeights{VWeights::all, VWeights::kept};

TEST_P(Selective, KeepsTheBestInPrefillAndDecode) {
  for (const VWeights weights : kBothWeights)
    for (const int64_t v_top : {1, 2, 7, 36, 37, 1000})
      for (const int k_dim : {20, 10}) {
        const Attention a = shape(v_top, weights, k_dim);
        const Sequences sequences = make_sequences(a, std::array<int64_t, 1>{37}, rng);
        Player player(world, a, sequences);
        player.play({{{0, 20}}, {{0, 1}}, {{0, 15}}, {{0, 1}}});
        Checker(player, 0).check_all();
      }
}

// v_top of the context's length or more is dense attention: the same tolerance to the dense reference.
TEST_P(Selective, AsManyAsThereAreIsDense) {
  const Attention dense = shape(0, VWeights::all);
  const Sequences sequences = make_sequences(dense, std::array<int64_t, 1>{37}, rng);
  for (const VWeights weights : kBothWeights)
    for (const int64_t v_top : {int64_t{37}, int64_t{38}, int64_t{1} << 40}) {
      Player player(world, shape(v_top, weights), sequences);
      player.play({{{0, 37}}});
      Attention as_dense = player.attention();
      as_dense.v_top = 0;
      Player reference(world, as_dense, sequences);
      reference.play({{{0, 37}}});
      Checker(player, 0).check_all();
      const std::vector<float> a = player.out(0).values(), b = reference.out(0).values();
      for (size_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(a[i], b[i], 2 * kUnitBf16) << "of values of the order of 1, v_top " << v_top;
    }
}

// Integer scores on a few levels, so that most are tied: the lower positions win, exactly.
TEST_P(Selective, TiesGoToTheLowerPosition) {
  const std::vector<int64_t> tops =
      quick_sweep() ? std::vector<int64_t>{3, 33} : std::vector<int64_t>{1, 3, 10, 16, 33, 64};
  const std::vector<int> level_counts = quick_sweep() ? std::vector{2, 5} : std::vector{1, 2, 5, 40};
  for (const VWeights weights : kBothWeights)
    for (const int64_t v_top : tops)
      for (const int levels : level_counts) {
        Attention a = shape(v_top, weights);
        a.scale = 0x1p-12;
        const int64_t tokens = 70;
        const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
        const Sequence& s = sequences[0];
        // All keys of a level are the same, per head.
        const GuardedMatrix kinds(levels, s.k.cols());
        kinds.fill([&](int64_t, int64_t c) { return exact_integer(rng, c % 20); });
        std::vector<int64_t> level(static_cast<size_t>(tokens));
        for (int64_t& l : level) l = static_cast<int64_t>(rng.below(static_cast<uint64_t>(levels)));
        s.q.fill([&](int64_t, int64_t c) { return exact_integer(rng, c % 20); });
        s.k.fill([&](int64_t r, int64_t c) { return kinds.at(level[static_cast<size_t>(r)], c); });
        Player player(world, a, sequences);
        player.play({{{0, 45}}, {{0, 1}}, {{0, 24}}});
        Checker(player, 0, Scores::exact).check_all();
      }
}

// Of equal scores everywhere the first v_top positions are kept: their mean, or the share of it that they have.
TEST_P(Selective, EqualScoresKeepTheFirst) {
  const int64_t tokens = quick_sweep() ? 300 : 1500, v_top = 100;
  for (const VWeights weights : kBothWeights) {
    Attention a = shape(v_top, weights);
    a.page_tokens = 64;
    const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
    const Sequence& s = sequences[0];
    s.q.fill([](int64_t, int64_t) { return 0.0; });
    s.v.fill([&](int64_t r, int64_t) { return r < v_top ? 1.0 : 1e4; });
    Player player(world, a, sequences);
    player.store_all();
    player.attend_at(0, tokens - 3, 3);
    for (int64_t p = tokens - 3; p < tokens; ++p)
      for (int64_t c = 0; c < player.out(0).cols(); ++c) {
        const double expected =
            weights == VWeights::kept ? 1.0 : static_cast<double>(v_top) / static_cast<double>(p + 1);
        ASSERT_NEAR(player.out(0).at(p, c), expected, expected * (2 * kUnitBf16 + gamma(tokens)));
      }
  }
}

TEST_P(Selective, LongContexts) {
  const int64_t tokens = quick_sweep() ? 700 : 3000;
  for (const VWeights weights : kBothWeights)
    for (const int64_t v_top : {int64_t{1}, int64_t{100}, tokens / 2, tokens - 1}) {
      Attention a = shape(v_top, weights);
      a.q_heads = 4;
      a.k_heads = 1;
      a.v_heads = 2;
      const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
      Player player(world, a, sequences);
      player.store_all();
      Checker checker(player, 0);
      player.attend_at(0, tokens - 1, 1);
      checker.check_row(tokens - 1);
      player.attend_at(0, 490, 30);
      for (int64_t p = 490; p < 520; p += 7) checker.check_row(p);
    }
}

// Rising, falling and spiked scores, within a few units and over thousands: the order in which the best ones come must
// not matter.
TEST_P(Selective, AnyOrderOfScores) {
  const int64_t tokens = 400;
  for (const auto& [pattern, scale] : {std::pair{0, 0x1p-12},
                                       {1, 0x1p-12},
                                       {2, 0x1p-12},
                                       {3, 0x1p-12},
                                       {0, 0x1p-2},
                                       {1, 0x1p-2},
                                       {2, 0x1p-2},
                                       {3, 0x1p-2}}) {
    Attention a = shape(50, VWeights::all);
    a.scale = scale;
    const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
    const Sequence& s = sequences[0];
    const auto height = [&, pattern = pattern](int64_t r) {
      switch (pattern) {
        case 0:
          return r % 127;
        case 1:
          return (tokens - r) % 127;
        case 2:
          return r / 4;
        default:
          return r % 64 == 63 ? int64_t{120} : int64_t{1};
      }
    };
    // Two coordinates only: 127 keeps the block's scale, and its query is 0.
    s.q.fill([](int64_t, int64_t c) { return c % 20 == 0 ? 127.0 : 0.0; });
    s.k.fill([&](int64_t r, int64_t c) {
      return c % 20 == 0 ? static_cast<double>(height(r)) : c % 20 == 1 ? 127.0 : 0.0;
    });
    Player player(world, a, sequences);
    player.store_all();
    player.attend_at(0, tokens - 40, 40);
    Checker checker(player, 0, Scores::exact);
    for (int64_t p = tokens - 40; p < tokens; p += 13) checker.check_row(p);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Selective,
                         testing::Combine(testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                                          testing::ValuesIn(kCacheFormats)),
                         [](const auto& test) {
                           return set_name(std::get<0>(test.param)) + "_" +
                                  std::string(format_info(std::get<1>(test.param)).name);
                         });

}  // namespace
}  // namespace sigma::test
