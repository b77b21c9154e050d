#include "corpus/minhash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "corpus/words.h"

namespace sigma::corpus {
namespace {

std::vector<uint64_t> sorted(std::vector<uint64_t> v) {
  std::sort(v.begin(), v.end());
  return v;
}

// Two sets of n elements with `both` of them shared.
std::pair<std::vector<uint64_t>, std::vector<uint64_t>> make_pair(Rng& rng, size_t n, size_t both) {
  std::vector<uint64_t> a, b;
  for (size_t i = 0; i < both; ++i) a.push_back(rng.next()), b.push_back(a.back());
  while (a.size() < n) a.push_back(rng.next()), b.push_back(rng.next());
  return {sorted(a), sorted(b)};
}

TEST(MinHash, ShinglesAreSortedAndEachOnce) {
  Rng rng(3);
  for (const size_t count : {size_t{0}, size_t{3}, size_t{5}, size_t{6}, size_t{100}, size_t{5000}}) {
    std::vector<uint64_t> words, shingles, expected;
    for (size_t i = 0; i < count; ++i) words.push_back(rng.below(4));  // most 5-grams come again
    make_shingles(shingles, words);
    append_ngrams(expected, words, kShingleWords);
    if (expected.empty()) expected.push_back(words_hash(words, 0));
    expected = sorted(expected);
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());
    EXPECT_EQ(shingles, expected);
  }
}

TEST(MinHash, CandidatesFollowTheCurve) {
  Rng rng(7);
  constexpr int kPairs = 500;
  for (const double wanted : {0.5, 0.65, 0.8, 0.9}) {
    constexpr size_t n = 400;
    const auto both = static_cast<size_t>(std::lround(2 * wanted * n / (1 + wanted)));
    int found = 0;
    double exact = 0;
    for (int i = 0; i < kPairs; ++i) {
      const auto [a, b] = make_pair(rng, n, both);
      exact = jaccard(a, b);
      const Bands x = band_hashes(a), y = band_hashes(b);
      bool shared = false;
      for (size_t band = 0; band < kBands; ++band) shared = shared || x[band] == y[band];
      found += shared ? 1 : 0;
    }
    const double expected = 1 - std::pow(1 - std::pow(exact, kRows), kBands);
    const double error = std::sqrt(expected * (1 - expected) / kPairs);
    EXPECT_NEAR(static_cast<double>(found) / kPairs, expected, 4 * error) << "J " << exact;
  }
}

TEST(MinHash, Jaccard) {
  const std::vector<uint64_t> a = {1, 2, 3, 4}, b = {3, 4, 5}, none;
  EXPECT_DOUBLE_EQ(jaccard(a, b), 2.0 / 5);
  EXPECT_DOUBLE_EQ(jaccard(a, a), 1);
  EXPECT_DOUBLE_EQ(jaccard(a, none), 0);
  EXPECT_DOUBLE_EQ(jaccard(none, none), 1);
}

TEST(Words, LayoutCaseAndPunctuationMakeNoDifference) {
  std::vector<uint64_t> a, b, c;
  append_word_hashes(a, "The  quick,\n(brown) FOX.");
  append_word_hashes(b, "the quick brown fox");
  append_word_hashes(c, "the quick brown foxes");
  EXPECT_EQ(a, b);
  EXPECT_NE(words_hash(a, 0), words_hash(c, 0));
  EXPECT_NE(words_hash(a, 0), words_hash(a, 1));
  std::vector<uint64_t> grams;
  append_ngrams(grams, a, 3);
  EXPECT_EQ(grams.size(), 2u);
  append_ngrams(grams, a, 5);
  EXPECT_EQ(grams.size(), 2u);
  std::vector<uint64_t> shingles;
  make_shingles(shingles, a);
  EXPECT_EQ(shingles.size(), 1u);  // of a text shorter than a shingle
}

}  // namespace
}  // namespace sigma::corpus
