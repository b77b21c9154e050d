// Kernels::attention: every set and every pair of cache formats against the reference.
#include <gtest/gtest.h>

#include <numbers>

#include "contract/attention_check.h"

namespace sigma::test {
namespace {

class AttentionAccuracy : public testing::TestWithParam<std::tuple<const Kernels*, Format, Format>> {
 protected:
  Attention shape(int q_heads, int k_heads, int v_heads, int q_dim, int k_dim, int v_dim) const {
    return {.q_heads = q_heads,
            .k_heads = k_heads,
            .v_heads = v_heads,
            .q_dim = q_dim,
            .k_dim = k_dim,
            .v_dim = v_dim,
            .k_format = std::get<1>(GetParam()),
            .v_format = std::get<2>(GetParam())};
  }
  // Prefills, decodes and prefills again, then checks every row.
  void check(const Attention& a) {
    SCOPED_TRACE(a.describe());
    const Sequences sequences = make_sequences(a, std::array<int64_t, 1>{37}, rng);
    Player player(world, a, sequences);
    player.play({{{0, 23}}, {{0, 1}}, {{0, 1}}, {{0, 12}}});
    Checker(player, 0).check_all();
  }

  World world{*std::get<0>(GetParam())};
  Rng rng{71};
};

TEST_P(AttentionAccuracy, HeadsAndDimensionsThatNoSwapSurvives) {
  check(shape(12, 2, 4, 20, 20, 28));
  check(shape(12, 4, 6, 20, 20, 28));
  check(shape(12, 6, 4, 20, 20, 28));
  check(shape(12, 4, 6, 28, 28, 20));
}

TEST_P(AttentionAccuracy, KeysThatAreExpanded) {
  check(shape(12, 2, 4, 20, 10, 28));
  check(shape(12, 6, 4, 20, 10, 28));
  check(shape(6, 2, 3, 64, 32, 96));
  check(shape(4, 1, 2, 10, 28, 20));  // wider than the query
}

TEST_P(AttentionAccuracy, MultiplesOfTheBlock) {
  check(shape(12, 2, 4, 96, 96, 32));
  check(shape(8, 2, 4, 64, 64, 64));
  check(shape(4, 1, 2, 160, 160, 96));
}

TEST_P(AttentionAccuracy, UsualAndDegenerateShapes) {
  check(shape(6, 6, 6, 16, 16, 16));  // MHA
  check(shape(9, 3, 3, 64, 64, 64));  // GQA
  check(shape(8, 1, 1, 32, 32, 32));  // MQA
  check(shape(8, 8, 1, 20, 20, 28));
  check(shape(8, 1, 8, 20, 20, 28));
  check(shape(30, 15, 1, 2, 2, 3));
  check(shape(1, 1, 1, 2, 2, 1));
  check(shape(40, 1, 2, 20, 20, 28));  // more queries share a key than any tile holds
}

TEST_P(AttentionAccuracy, LongContexts) {
  for (const auto& [k_dim, page_tokens] : {std::pair{20, 5}, {10, 64}}) {
    Attention a = shape(4, 1, 2, 20, k_dim, 28);
    a.page_tokens = page_tokens;
    const int64_t tokens = quick_sweep() ? 700 : 3000;
    const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
    Player player(world, a, sequences);
    player.store_all();
    Checker checker(player, 0);
    for (const int64_t position : {int64_t{255}, int64_t{256}, int64_t{511}, int64_t{600}, tokens - 1}) {
      player.attend_at(0, position, 1);
      checker.check_row(position);
    }
    player.attend_at(0, tokens - 33, 33);
    for (int64_t position = tokens - 33; position < tokens; position += 8) checker.check_row(position);
  }
}

// Scores of tens of thousands: all weight goes to one position, and no exponential may overflow.
TEST_P(AttentionAccuracy, LargeScores) {
  for (const int page_tokens : {5, 64}) {
    Attention a = shape(4, 2, 1, 32, 32, 28);
    a.scale = 0.125;
    a.page_tokens = page_tokens;
    const Sequences sequences = make_sequences(a, std::array<int64_t, 1>{170}, rng);
    const Sequence& s = sequences[0];
    s.q.fill([&](int64_t, int64_t c) { return exact_integer(rng, c); });
    s.k.fill([&](int64_t, int64_t c) { return exact_integer(rng, c); });
    Player player(world, a, sequences);
    player.play({{{0, 40}}, {{0, 1}}, {{0, 129}}});
    Checker(player, 0, Scores::exact).check_all();
  }
}

// A score far above the first ones, and one above that: what there is of weights is rescaled twice, and must not be
// rounded again.
TEST_P(AttentionAccuracy, WeightsAreRoundedOnce) {
  Attention a = shape(1, 1, 1, 2, 2, 1);
  if (a.k_format != Format::f32) return;
  a.scale = std::numbers::ln2;  // scores are powers of two
  a.page_tokens = 64;
  const Sequences sequences = make_sequences(a, std::array<int64_t, 1>{65}, rng);
  const Sequence& s = sequences[0];
  s.q.fill([](int64_t, int64_t c) { return c == 0 ? 1.0 : 0.0; });
  s.k.fill([](int64_t r, int64_t c) { return c > 0 ? 0.0 : r == 32 ? 19.0056 : r == 64 ? 20.9944 : 0.0; });
  s.v.fill([](int64_t r, int64_t) { return r == 32 ? 1.0 : 0.0; });
  Player player(world, a, sequences);
  player.store_all();
  player.attend_at(0, 64, 1);
  Checker(player, 0).check_row(64);
}

TEST_P(AttentionAccuracy, EqualAndTinyInputs) {
  const Attention a = shape(6, 2, 3, 20, 20, 28);
  for (const double size : {0.0, -0.0, 1e-40, 1e-20}) {
    const Sequences sequences = make_sequences(a, std::array<int64_t, 1>{40}, rng);
    const Sequence& s = sequences[0];
    s.q.fill([&](int64_t, int64_t) { return size * rng.normal(); });
    s.k.fill([&](int64_t r, int64_t) { return r % 2 == 0 ? size * rng.normal() : size; });
    s.v.fill([&](int64_t r, int64_t) { return r % 3 == 0 ? size : rng.normal(); });
    Player player(world, a, sequences);
    player.play({{{0, 39}}, {{0, 1}}});
    Checker checker(player, 0, Scores::exact);
    checker.check_all();
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionAccuracy,
                         testing::Combine(testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                                          testing::ValuesIn(kCacheFormats), testing::ValuesIn(kCacheFormats)),
                         [](const auto& test) {
                           return set_name(std::get<0>(test.param)) + "_" +
                                  std::string(format_info(std::get<1>(test.param)).name) + "_" +
                                  std::string(format_info(std::get<2>(test.param)).name);
                         });

}  // namespace
}  // namespace sigma::test
