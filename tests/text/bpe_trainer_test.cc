#include "text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "text/tokenizer_alphabet.h"

namespace sigma {
namespace {

TokenizerSpec train(const WordCounts& words, const BpeTraining& training) {
  return train_bpe(words, training, [](int64_t) {});
}

WordCounts words_of(std::string_view text, PreTokenizer pre) {
  WordCounts words;
  words.add(text, word_end_function(pre));
  return words;
}

// The same by the definition: all pairs counted anew for every merge.
std::vector<std::pair<TokenId, TokenId>> merges_by_definition(const WordCounts& counts, TokenizerSpec spec,
                                                              const BpeTraining& training) {
  const size_t first = 256 + training.specials.size();
  std::map<std::string, TokenId> ids;
  for (size_t id = training.specials.size(); id < first; ++id) ids[spec.tokens[id]] = static_cast<TokenId>(id);
  spec.tokens.resize(first);
  std::vector<std::pair<std::vector<TokenId>, uint64_t>> words;
  counts.for_each([&](std::string_view word, uint64_t count) {
    auto& symbols = words.emplace_back(std::vector<TokenId>(), count).first;
    for (const char c : word) symbols.push_back(ids.at(std::string(1, c)));
  });
  std::vector<std::pair<TokenId, TokenId>> merges;
  while (static_cast<int64_t>(spec.tokens.size()) < training.vocab) {
    std::map<std::pair<TokenId, TokenId>, uint64_t> pairs;
    for (const auto& [symbols, count] : words)
      for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[{symbols[i], symbols[i + 1]}] += count;
    const auto best = std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second < b.second : a.first > b.first;
    });
    if (best == pairs.end() || best->second < training.least) break;
    const auto [left, right] = best->first;
    std::string joined = spec.tokens[static_cast<size_t>(left)] + spec.tokens[static_cast<size_t>(right)];
    const TokenId token = ids.emplace(joined, static_cast<TokenId>(spec.tokens.size())).first->second;
    if (token == static_cast<TokenId>(spec.tokens.size())) spec.tokens.push_back(joined);
    if (std::find(merges.begin(), merges.end(), best->first) == merges.end()) merges.emplace_back(left, right);
    for (auto& [symbols, count] : words) {
      size_t out = 0;
      for (size_t i = 0; i < symbols.size(); ++out) {
        const bool pair = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        symbols[out] = pair ? token : symbols[i];
        i += pair ? 2 : 1;
      }
      symbols.resize(out);
    }
  }
  return merges;
}

TEST(WordCounts, CountsEveryWordOnceWhereverItStands) {
  const std::string text = "a bb a ccc a bb\n";
  WordCounts words = words_of(text, PreTokenizer::gpt2);
  std::map<std::string, uint64_t, std::less<>> counts;
  const auto read = [&] {
    counts.clear();
    words.for_each([&](std::string_view word, uint64_t count) { counts[std::string(word)] = count; });
  };
  read();
  const std::map<std::string, uint64_t, std::less<>> expected = {
      {"a", 1}, {" bb", 2}, {" a", 2}, {" ccc", 1}, {"\n", 1}};
  EXPECT_EQ(counts, expected);
  WordCounts more = words_of(" bb dd", PreTokenizer::gpt2);
  words.add(more);
  read();
  EXPECT_EQ(counts[" bb"], 3u);
  EXPECT_EQ(counts[" dd"], 1u);
  EXPECT_EQ(words.words(), 6u);
}

TEST(WordCounts, GrowsAndLeavesOutWhatIsTooLong) {
  WordCounts words;
  std::map<std::string, uint64_t> expected;
  Rng rng(1);
  std::string text;
  for (int i = 0; i < 50000; ++i) {
    const std::string word = fmt::format("w{}", rng.below(20000));
    std::string spelt;
    for (const char c : word) spelt += c >= '0' && c <= '9' ? static_cast<char>('a' + c - '0') : c;
    ++expected[" " + spelt];
    text += " " + spelt;
  }
  words.add(text + " " + std::string(WordCounts::kMostBytes, 'x'), word_end_function(PreTokenizer::llama3));
  EXPECT_EQ(words.left_out(), 1u);
  EXPECT_EQ(words.words(), expected.size());
  words.for_each([&](std::string_view word, uint64_t count) { EXPECT_EQ(count, expected[std::string(word)]) << word; });
}

TEST(BpeTrainer, MergesAsTheDefinitionSays) {
  Rng rng(7);
  for (int trial = 0; trial < 40; ++trial) {
    // Few letters and short words: many pairs that come up equally often, pairs of the same letter, tokens spelt twice.
    std::string text;
    const uint64_t letters = 1 + rng.below(4);
    for (int w = 0; w < 60; ++w) {
      text += ' ';
      for (uint64_t i = 0, size = 1 + rng.below(12); i < size; ++i) text += static_cast<char>('a' + rng.below(letters));
    }
    const WordCounts words = words_of(text, PreTokenizer::gpt2);
    const BpeTraining training{
        .vocab = 257 + static_cast<int64_t>(rng.below(150)), .least = 1 + rng.below(3), .specials = {"<|end|>"}};
    const TokenizerSpec spec = train(words, training);
    EXPECT_EQ(spec.merges, merges_by_definition(words, spec, training)) << text;
    EXPECT_LE(static_cast<int64_t>(spec.tokens.size()), training.vocab);
  }
}

TEST(BpeTrainer, MergesAsTheReferenceDoes) {
  const std::string text = read_file(std::string(SIGMA_SOURCE_DIR) + "/LICENSE");
  const Json golden = read_json(std::string(SIGMA_TEST_DATA) + "/text/bpe_golden.json");
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2}) {
    const TokenizerSpec spec =
        train(words_of(text, pre), {.vocab = 1000, .specials = {"<|endoftext|>", "<|x|>"}, .pre = pre});
    std::string merges;
    for (const auto& [left, right] : spec.merges) {
      merges += alphabet_of_bytes(spec.tokens[static_cast<size_t>(left)]) + " " +
                alphabet_of_bytes(spec.tokens[static_cast<size_t>(right)]) + "\n";
    }
    EXPECT_EQ(merges, golden.at(pre_tokenizer_name(pre)).get<std::string>()) << pre_tokenizer_name(pre);
    EXPECT_EQ(spec.nfc, pre == PreTokenizer::qwen2);
  }
}

TEST(BpeTrainer, WhatItMakesTokenizes) {
  const std::string text = read_file(std::string(SIGMA_SOURCE_DIR) + "/LICENSE");
  const Tokenizer tokenizer(train(words_of(text, PreTokenizer::llama3),
                                  {.vocab = 800, .specials = {"<|end|>"}, .pre = PreTokenizer::llama3}));
  EXPECT_EQ(tokenizer.vocab_size(), 800);
  const std::vector<TokenId> ids = tokenizer.encode(text, Specials::as_text);
  EXPECT_LT(ids.size(), text.size() / 3);
  EXPECT_EQ(tokenizer.decode(ids), text);
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes, Specials::as_text)), bytes) << "every byte has a token";
  EXPECT_EQ(tokenizer.find("<|end|>"), 0);
}

TEST(BpeTrainer, ATokenIsNeverSpeltLikeASpecialOne) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the then ";
  const TokenizerSpec spec = train(words_of(text, PreTokenizer::gpt2), {.vocab = 400, .specials = {"th", "\xc4\xa0t"}});
  std::set<std::string> names;
  for (size_t id = 2; id < spec.tokens.size(); ++id) names.insert(alphabet_of_bytes(spec.tokens[id]));
  EXPECT_FALSE(names.contains("th"));
  EXPECT_FALSE(names.contains("\xc4\xa0t"));
  EXPECT_TRUE(names.contains("he"));
  EXPECT_NO_THROW(Tokenizer{spec});
}

TEST(BpeTrainer, StopsWhenNoPairIsLeft) {
  const TokenizerSpec spec = train(words_of("ab ab ab cd", PreTokenizer::gpt2), {.vocab = 1000});
  EXPECT_EQ(spec.tokens.size(), 258u) << "\"ab\" and \" ab\"; \"cd\" comes up once";
}

TEST(BpeTrainer, WhatCannotBeIsRefused) {
  const WordCounts words = words_of("some text", PreTokenizer::gpt2);
  for (const BpeTraining& bad : {BpeTraining{.vocab = 255},
                                 {.vocab = 256, .specials = {"<|end|>"}},
                                 {.vocab = int64_t{1} << 40},
                                 {.vocab = 1000, .specials = {"<|a|>", "<|a|>"}},
                                 {.vocab = 1000, .specials = {""}},
                                 {.vocab = 1000, .specials = {"a"}},
                                 {.vocab = 1000, .specials = {"\xc4\xa0"}}}) {
    EXPECT_THROW(train(words, bad), Error);
  }
  EXPECT_EQ(train(words, {.vocab = 256}).tokens.size(), 256u);
}

}  // namespace
}  // namespace sigma
