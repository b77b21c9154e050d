// Kernels::attention: what must not change a single bit of a row: the batch it is in, how its prompt was cut up, pages,
// threads, what other sequences and later positions hold.
#include <gtest/gtest.h>

#include "contract/attention.h"

namespace sigma::test {
namespace {

struct Caches {
  Format k, v;
};

class AttentionBits : public testing::TestWithParam<std::tuple<const Kernels*, Caches>> {
 protected:
  Attention shape(int k_dim = 20, int64_t v_top = 0) const {
    const Caches caches = std::get<1>(GetParam());
    return {.q_heads = 12,
            .k_heads = 4,
            .v_heads = 6,
            .q_dim = 20,
            .k_dim = k_dim,
            .v_dim = 28,
            .k_format = caches.k,
            .v_format = caches.v,
            .page_tokens = 5,
            .v_top = v_top};
  }
  // Every kind of attention: dense, expanded keys, selective.
  std::vector<Attention> shapes() const { return {shape(), shape(10), shape(20, 7), shape(10, 7)}; }

  // Plays `plan` and compares every row with `expected` (of the same sequences).
  void expect_same(World& with, const Attention& a, const Sequences& sequences, const Plan& plan,
                   const std::vector<std::vector<float>>& expected) {
    Player player(with, a, sequences);
    player.play(plan);
    for (size_t s = 0; s < sequences.size(); ++s)
      EXPECT_TRUE(same_bits(expected[s], player.out(s).values())) << a.describe() << ", sequence " << s;
  }
  // Each sequence alone, prefilled in one call.
  std::vector<std::vector<float>> alone(const Attention& a, const Sequences& sequences) {
    Player player(world, a, sequences);
    std::vector<std::vector<float>> rows;
    for (size_t s = 0; s < sequences.size(); ++s) {
      player.play({{{s, sequences[s].tokens}}});
      rows.push_back(player.out(s).values());
    }
    return rows;
  }

  World world{*std::get<0>(GetParam())};
  Rng rng{83};
};

// A plan for one sequence: pieces of the given sizes over and over.
Plan pieces(int64_t tokens, std::span<const int64_t> sizes) {
  Plan plan;
  for (size_t i = 0; tokens > 0; ++i) {
    const int64_t rows = std::min(tokens, sizes[i % sizes.size()]);
    plan.push_back({{0, rows}});
    tokens -= rows;
  }
  return plan;
}

TEST_P(AttentionBits, PrefillIsDecodeOneByOneAndAnyChunking) {
  const int64_t tokens = quick_sweep() ? 41 : 90;
  for (const Attention& a : shapes()) {
    const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
    const auto expected = alone(a, sequences);
    expect_same(world, a, sequences, pieces(tokens, std::array<int64_t, 1>{1}), expected);
    expect_same(world, a, sequences, pieces(tokens, std::array<int64_t, 1>{16}), expected);
    expect_same(world, a, sequences, pieces(tokens, std::array<int64_t, 5>{3, 1, 17, 2, 8}), expected);
    expect_same(world, a, sequences, pieces(tokens, std::array<int64_t, 2>{65, 1}), expected);
  }
}

TEST_P(AttentionBits, MixedBatchesAreSequencesAlone) {
  for (const Attention& a : shapes()) {
    const Sequences sequences = make_sequences(a, std::array<int64_t, 4>{31, 18, 1, 44}, rng);
    const auto expected = alone(a, sequences);
    expect_same(world, a, sequences,
                {{{3, 20}, {0, 30}},         // two prefills
                 {{0, 1}, {1, 17}, {3, 5}},  // a decode between a prefill and a chunk
                 {{1, 1}, {3, 18}, {2, 1}},  // decodes around a chunk
                 {{3, 1}}},
                expected);
    expect_same(world, a, sequences, {{{2, 1}, {1, 18}, {3, 44}, {0, 31}}}, expected);
  }
}

// Decoding 1 to 64 sequences together gives each what it gets alone.
TEST_P(AttentionBits, DecodesOfAnyNumberOfSequences) {
  const size_t count = quick_sweep() ? 9 : 64;
  for (const Attention& a : {shape(), shape(20, 7)}) {
    std::vector<int64_t> lengths;
    for (size_t s = 0; s < count; ++s) lengths.push_back(2 + static_cast<int64_t>(s * 7 % 40));
    const Sequences sequences = make_sequences(a, lengths, rng);
    const auto expected = alone(a, sequences);
    for (size_t batch = 1; batch <= count; batch += quick_sweep() ? 4 : 9) {
      Plan plan;
      for (size_t first = 0; first < count; first += batch) {
        std::vector<Step> prefill, decode;
        for (size_t s = first; s < std::min(count, first + batch); ++s) {
          prefill.push_back({s, lengths[s] - 1});
          decode.push_back({s, 1});
        }
        plan.push_back(prefill);
        plan.push_back(decode);
      }
      expect_same(world, a, sequences, plan, expected);
    }
  }
}

TEST_P(AttentionBits, PagesDoNotMatter) {
  for (Attention a : shapes()) {
    const Sequences sequences = make_sequences(a, std::array<int64_t, 2>{70, 33}, rng);
    const auto expected = alone(a, sequences);
    const std::vector<int> sizes = quick_sweep() ? std::vector{3, 17} : std::vector{1, 3, 16, 17, 64, 100};
    for (const int page_tokens : sizes)
      for (const PageOrder order : {PageOrder::forwards, PageOrder::backwards, PageOrder::shuffled}) {
        a.page_tokens = page_tokens;
        a.order = order;
        expect_same(world, a, sequences, {{{0, 50}, {1, 33}}, {{0, 1}}, {{0, 19}}}, expected);
      }
  }
}

TEST_P(AttentionBits, ThreadsDoNotMatter) {
  for (const Attention& a : shapes()) {
    const Sequences sequences = make_sequences(a, std::array<int64_t, 2>{70, 33}, rng);
    const auto expected = alone(a, sequences);
    for (const int threads : {2, 3, 4}) {
      World other(world.kernels(), threads);
      expect_same(other, a, sequences, {{{0, 50}, {1, 33}}, {{0, 1}}, {{0, 19}}}, expected);
    }
  }
}

// Over several of whatever pieces a kernel cuts the context into.
TEST_P(AttentionBits, LongContextsToo) {
  const int64_t tokens = quick_sweep() ? 600 : 3000, last = tokens - 1;
  for (Attention a : {shape(), shape(10), shape(20, 100)}) {
    a.q_heads = 4;
    a.k_heads = 1;
    a.v_heads = 2;
    const Sequences sequences = make_sequences(a, std::array{tokens}, rng);
    Player player(world, a, sequences);
    player.store_all();
    for (const int64_t position : {int64_t{255}, int64_t{256}, int64_t{513}, last}) player.attend_at(0, position, 1);
    const GuardedMatrix& expected = player.out(0);
    for (const auto& [page_tokens, threads] : {std::pair{64, 2}, {7, 3}, {4096, 4}}) {
      a.page_tokens = page_tokens;
      World other(world.kernels(), threads);
      Player again(other, a, sequences);
      again.store_all();
      for (const int64_t position : {int64_t{256}, int64_t{513}, last}) {
        again.attend_at(0, position - 21, 22);
        EXPECT_TRUE(same_bits(expected.row(position), again.out(0).row(position), expected.cols()))
            << a.describe() << ", position " << position << ", " << threads << " threads";
      }
    }
  }
}

// A position that holds NaN is seen by the rows from there on and by nobody else.
TEST_P(AttentionBits, NaNStaysInItsSequenceAndFuture) {
  for (const Attention& a : shapes()) {
    const Sequences clean = make_sequences(a, std::array<int64_t, 2>{40, 30}, rng);
    const auto expected = alone(a, clean);
    for (GuardedMatrix Sequence::*part : {&Sequence::q, &Sequence::k, &Sequence::v}) {
      Rng same(7);
      const Sequences broken = make_sequences(a, std::array<int64_t, 2>{40, 30}, same);
      for (size_t s = 0; s < 2; ++s) {
        broken[s].q.copy_from(clean[s].q);
        broken[s].k.copy_from(clean[s].k);
        broken[s].v.copy_from(clean[s].v);
      }
      const GuardedMatrix& poisoned = broken[0].*part;
      for (int64_t c = 0; c < poisoned.cols(); ++c) poisoned.at(25, c) = std::nanf("");
      Player player(world, a, broken);
      player.play({{{0, 40}, {1, 30}}});
      const int64_t cols = player.out(0).cols();
      EXPECT_TRUE(same_bits(expected[1], player.out(1).values())) << a.describe() << ": the other sequence";
      EXPECT_TRUE(same_bits(expected[0].data(), player.out(0).row(0), 25 * cols)) << a.describe() << ": earlier rows";
      if (part == &Sequence::q) {
        EXPECT_TRUE(same_bits(expected[0].data() + 26 * cols, player.out(0).row(26), 14 * cols)) << a.describe();
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sets, AttentionBits,
    testing::Combine(testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                     testing::Values(Caches{Format::f32, Format::f32}, Caches{Format::f16, Format::f16},
                                     Caches{Format::bf16, Format::bf16}, Caches{Format::q8_0, Format::q8_0},
                                     Caches{Format::q8_0, Format::bf16}, Caches{Format::bf16, Format::q8_0})),
    [](const auto& test) {
      const Caches caches = std::get<1>(test.param);
      return set_name(std::get<0>(test.param)) + "_" + std::string(format_info(caches.k).name) + "_" +
             std::string(format_info(caches.v).name);
    });

}  // namespace
}  // namespace sigma::test
