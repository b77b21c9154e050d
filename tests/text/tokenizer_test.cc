#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "text/tokenizer_alphabet.h"
#include "text/unicode.h"

namespace sigma {
namespace {

// Every byte (ids 0..255), then "ab", "abc", "bc", " a", " ab", and three special tokens.
TokenizerSpec small_spec() {
  TokenizerSpec spec;
  for (int b = 0; b < 256; ++b) spec.tokens.emplace_back(1, static_cast<char>(b));
  for (const char* token : {"ab", "abc", "bc", " a", " ab", "<s>", "<pad>", "[T]"}) spec.tokens.emplace_back(token);
  spec.merges = {{'b', 'c'}, {'a', 'b'}, {256, 'c'}, {' ', 'a'}, {259, 'b'}};  // bc, ab, ab+c, " a", " a"+b
  spec.specials = {
      {.id = 261, .text = "<s>"}, {.id = 262, .text = "<pad>"}, {.id = 263, .text = "[T]", .control = false}};
  return spec;
}

using Ids = std::vector<TokenId>;

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  const Tokenizer tokenizer(small_spec());
  EXPECT_EQ(tokenizer.encode("ab", Specials::as_text), (Ids{256}));
  EXPECT_EQ(tokenizer.encode("abc", Specials::as_text), (Ids{'a', 258})) << "bc ranks before ab";
  EXPECT_EQ(tokenizer.encode(" ab", Specials::as_text), (Ids{' ', 256})) << "ab ranks before the space";
  EXPECT_EQ(tokenizer.encode("", Specials::as_text), Ids{});
}

TEST(Tokenizer, OfAPairThatComesTwiceTheLaterRankCounts) {
  TokenizerSpec spec = small_spec();
  spec.merges.emplace_back('b', 'c');
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("abc", Specials::as_text), (Ids{257}));
}

TEST(Tokenizer, IgnoreMergesTakesWholeWords) {
  TokenizerSpec spec = small_spec();
  spec.pre = PreTokenizer::llama3;
  spec.ignore_merges = true;
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("abc ab", Specials::as_text), (Ids{257, 260}));
  // A control token is not a word, even where it is spelt like one.
  spec.specials.push_back({.id = 257, .text = "abc"});
  const Tokenizer careful(spec);
  EXPECT_EQ(careful.encode("abc", Specials::as_text), (Ids{'a', 258}));
  EXPECT_EQ(careful.encode("abc", Specials::parse), (Ids{257}));
}

TEST(Tokenizer, MergesNeverMakeControlTokens) {
  TokenizerSpec spec = small_spec();
  spec.specials.push_back({.id = 256, .text = "ab"});
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("xab", Specials::as_text), (Ids{'x', 'a', 'b'}));
  EXPECT_EQ(tokenizer.encode("xab", Specials::parse), (Ids{'x', 256}));
}

TEST(Tokenizer, SpecialTokens) {
  TokenizerSpec spec = small_spec();
  const auto encode = [&](std::string_view text, Specials specials) { return Tokenizer(spec).encode(text, specials); };
  EXPECT_EQ(encode("a<s>b", Specials::parse), (Ids{'a', 261, 'b'}));
  EXPECT_EQ(encode("a<s>b", Specials::as_text), (Ids{'a', '<', 's', '>', 'b'}));
  EXPECT_EQ(encode("a[T]<s>", Specials::as_text), (Ids{'a', 263, '<', 's', '>'})) << "not a control token";
  EXPECT_EQ(encode("<s", Specials::parse), (Ids{'<', 's'}));

  spec.specials[1].lstrip = true;
  spec.specials[2].rstrip = true;
  EXPECT_EQ(encode("a \u3000\n<pad> b", Specials::parse), (Ids{'a', 262, ' ', 'b'}));
  EXPECT_EQ(encode("a [T] \u2003b", Specials::parse), (Ids{'a', ' ', 263, 'b'}));
  EXPECT_EQ(encode("[T]  <pad>", Specials::parse), (Ids{263, 262})) << "the space between is taken once";

  // The longest of those that start leftmost.
  spec.tokens.emplace_back("<s>x<s>");
  spec.specials.push_back({.id = 264, .text = "<s>x<s>"});
  EXPECT_EQ(encode("<s><s>x<s>x", Specials::parse), (Ids{261, 264, 'x'}));
  EXPECT_EQ(encode("<s>x<s", Specials::parse), (Ids{261, 'x', '<', 's'}));
}

TEST(Tokenizer, NormalizedSpecialTokensAreLookedForAfterNormalization) {
  TokenizerSpec spec = small_spec();
  spec.pre = PreTokenizer::qwen2;
  spec.nfc = true;
  spec.tokens.emplace_back("\u00e9");
  spec.specials.push_back({.id = 264, .text = "e\u0301", .control = false, .normalized = true});
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("e\u0301", Specials::as_text), (Ids{264}));
  EXPECT_EQ(tokenizer.encode("\u00e9", Specials::as_text), (Ids{264}));
  EXPECT_EQ(tokenizer.encode("\u212b", Specials::as_text), (Ids{0xc3, 0x85}));
}

TEST(Tokenizer, NoControlTokenSpansABreak) {
  TokenizerSpec spec = small_spec();
  for (const bool normalized : {false, true}) {
    spec.specials[0].normalized = normalized;
    const Tokenizer tokenizer(spec);
    const size_t breaks[] = {1, 9};
    EXPECT_EQ(tokenizer.encode("<s>", Specials::parse, breaks), (Ids{'<', 's', '>'}));
    EXPECT_EQ(tokenizer.encode("<s>", Specials::parse, std::span(breaks).subspan(1)), (Ids{261}));
    EXPECT_EQ(tokenizer.encode("<s>[T]ab<s><s>", Specials::parse, breaks).size(), 3u + 1 + 1 + 3 + 1);
    EXPECT_EQ(tokenizer.encode("[T]", Specials::parse, breaks), (Ids{263})) << "not a control token";
  }
}

TEST(Tokenizer, PromptsGetBeginningAndEndOnce) {
  TokenizerSpec spec = small_spec();
  spec.bos = 261;
  spec.eos = 262;
  spec.add_bos = spec.add_eos = true;
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode_prompt("ab", Specials::as_text), (Ids{261, 256, 262}));
  EXPECT_EQ(tokenizer.encode_prompt("<s>ab<pad>", Specials::parse), (Ids{261, 256, 262}));
  EXPECT_EQ(tokenizer.encode_prompt("<s>", Specials::as_text), (Ids{261, '<', 's', '>', 262}));
  EXPECT_EQ(Tokenizer(small_spec()).encode_prompt("ab", Specials::parse), (Ids{256}));
}

TEST(Tokenizer, DecodesWithoutControlTokensUnlessAsked) {
  const Tokenizer tokenizer(small_spec());
  const Ids ids{261, 256, 263, 999, -1};
  EXPECT_EQ(tokenizer.decode(ids), "ab[T]");
  EXPECT_EQ(tokenizer.decode(ids, Specials::parse), "<s>ab[T]");
  EXPECT_EQ(tokenizer.find("<s>"), 261);
  EXPECT_EQ(tokenizer.find(" ab"), 260);
  EXPECT_EQ(tokenizer.find("nothing"), std::nullopt);
}

TEST(Tokenizer, BytesWithoutATokenAreLeftOut) {
  TokenizerSpec spec = small_spec();
  spec.tokens[0x16] = "unused";
  const Tokenizer tokenizer(spec);
  EXPECT_EQ(tokenizer.encode("\x16", Specials::as_text), Ids{});
  EXPECT_EQ(tokenizer.encode("a\x16\x16z", Specials::as_text), (Ids{'a', 'z'}));
}

TEST(Tokenizer, RefusesSpecsThatContradictThemselves) {
  const auto refused = [](const auto& change) {
    TokenizerSpec spec = small_spec();
    change(spec);
    EXPECT_THROW(Tokenizer{spec}, Error);
  };
  refused([](TokenizerSpec& s) { s.merges.emplace_back('a', 5000); });
  refused([](TokenizerSpec& s) { s.merges.emplace_back(-1, 'a'); });
  refused([](TokenizerSpec& s) { s.merges.emplace_back('q', 'q'); });
  refused([](TokenizerSpec& s) { s.specials[0].id = 264; });
  refused([](TokenizerSpec& s) { s.specials[0].text.clear(); });
  refused([](TokenizerSpec& s) { s.specials[0].text.assign(2000, 'x'); });
  refused([](TokenizerSpec& s) { s.bos = 264; });
  refused([](TokenizerSpec& s) { s.add_bos = true; });
  refused([](TokenizerSpec& s) { s.add_eos = true; });
  refused([](TokenizerSpec& s) { s.tokens.emplace_back("ab"); });
  refused([](TokenizerSpec& s) { s = {}; });
}

// A vocabulary of random merges over four letters, to tell the two ways of merging apart where they differ.
TokenizerSpec random_spec(Rng& rng) {
  TokenizerSpec spec;
  for (int b = 0; b < 256; ++b) spec.tokens.emplace_back(1, static_cast<char>(b));
  std::vector<TokenId> made{'a', 'b', 'c', 'd'};
  while (spec.merges.size() < 60) {
    const TokenId left = made[rng.below(made.size())], right = made[rng.below(made.size())];
    const std::string joined = spec.tokens[static_cast<size_t>(left)] + spec.tokens[static_cast<size_t>(right)];
    if (std::find(spec.tokens.begin(), spec.tokens.end(), joined) == spec.tokens.end()) {
      made.push_back(static_cast<TokenId>(spec.tokens.size()));
      spec.tokens.push_back(joined);
    }
    spec.merges.emplace_back(left, right);
  }
  return spec;
}

// Merging as the definition says: look for the best pair anew each time.
Ids merge_plainly(const TokenizerSpec& spec, std::string_view word) {
  Ids ids;
  for (const char c : word) ids.push_back(static_cast<unsigned char>(c));
  for (;;) {
    size_t best = 0, best_rank = SIZE_MAX;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = spec.merges.size(); rank-- > 0;) {  // the last of equal pairs counts
        if (spec.merges[rank] != std::pair(ids[i], ids[i + 1])) continue;
        if (rank < best_rank) best = i, best_rank = rank;
        break;
      }
    }
    if (best_rank == SIZE_MAX) return ids;
    const std::string joined =
        spec.tokens[static_cast<size_t>(ids[best])] + spec.tokens[static_cast<size_t>(ids[best + 1])];
    const auto found = std::find(spec.tokens.begin(), spec.tokens.end(), joined);
    ids[best] = static_cast<TokenId>(found - spec.tokens.begin());
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(Tokenizer, ShortAndLongWordsMergeAsTheDefinitionSays) {
  Rng rng(3);
  for (int round = 0; round < 20; ++round) {
    const TokenizerSpec spec = random_spec(rng);
    const Tokenizer tokenizer(spec);
    for (const size_t length : {2, 5, 23, 24, 25, 26, 47, 48, 49, 50, 120}) {
      std::string word;
      while (word.size() < length) word += static_cast<char>('a' + rng.below(4));
      const Ids expected = merge_plainly(spec, word);
      ASSERT_EQ(tokenizer.encode(word, Specials::as_text), expected) << word;
      ASSERT_EQ(tokenizer.encode(word, Specials::as_text), expected) << "again, remembered: " << word;
    }
  }
}

// Quadratic merging would take minutes here.
TEST(Tokenizer, AMegabyteOfOneWord) {
  Rng rng(4);
  const Tokenizer tokenizer(random_spec(rng));
  std::string word;
  while (word.size() < 1 << 20) word += static_cast<char>('a' + rng.below(4));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(word, Specials::as_text)), word);
  word.assign(1 << 20, ' ');
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(word, Specials::as_text)), word);
}

TEST(Tokenizer, DecodingUndoesEncodingOfAnyBytes) {
  Rng rng(6);
  TokenizerSpec spec = random_spec(rng);
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2}) {
    spec.pre = pre;
    const Tokenizer tokenizer(spec);
    for (int round = 0; round < 500; ++round) {
      std::string text;
      for (uint64_t n = rng.below(200); n > 0; --n) {
        text += static_cast<char>(rng.below(4) == 0 ? rng.below(256) : 'a' + rng.below(4));
      }
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, Specials::as_text)), text);
    }
  }
}

TEST(Tokenizer, ThreadsShareOne) {
  Rng rng(8);
  const Tokenizer tokenizer(random_spec(rng));
  std::vector<std::string> words;
  for (int i = 0; i < 3000; ++i) {
    std::string word = " ";
    for (uint64_t n = 2 + rng.below(12); n > 0; --n) word += static_cast<char>('a' + rng.below(4));
    words.push_back(word);
  }
  std::vector<Ids> expected;
  for (const std::string& word : words) expected.push_back(Tokenizer(tokenizer.spec()).encode(word, Specials::as_text));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      Rng order(t);
      for (int i = 0; i < 20000; ++i) {
        const size_t w = order.below(words.size());
        wrong[t] += tokenizer.encode(words[w], Specials::as_text) != expected[w];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(ByteAlphabet, BothWays) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  const std::string printable = alphabet_of_bytes(all);
  EXPECT_EQ(printable.find_first_of(" \n\t"), std::string::npos);
  std::string bytes;
  ASSERT_TRUE(bytes_of_alphabet(printable, bytes));
  EXPECT_EQ(bytes, all);
  EXPECT_EQ(alphabet_of_bytes(" a\n"), "\u0120a\u010a");
  for (const char* wrong : {" ", "\n", "\u00a0", "\u00ad", "\u0144", "\u4e2d", "\xc4", "\xff", "\xc4z"}) {
    EXPECT_FALSE(bytes_of_alphabet(wrong, bytes)) << wrong;
  }
}

TEST(Utf8Stream, HoldsBackTheStartOfACharacter) {
  const std::string text = "a\u00e9\u4e2d\U0001f600z";
  Utf8Stream stream;
  std::string shown;
  for (const char c : text) {
    const std::string part = stream.push({&c, 1});
    EXPECT_TRUE(unicode::is_utf8(part));
    shown += part;
  }
  EXPECT_EQ(shown, text);
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, ReplacesWhatNeverBecomesACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xe4"), "");
  EXPECT_EQ(stream.push("z"), "\ufffdz");
  EXPECT_EQ(stream.push("\xff\xf0\x9f"), "\ufffd");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.push("ok"), "ok");
}

// However the bytes are cut, the same text is shown.
TEST(Utf8Stream, CutsDoNotMatter) {
  Rng rng(9);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (uint64_t n = rng.below(20); n > 0; --n) bytes += "\xe4\xbd\xa0\xf0\x9f\x98\x80\xc3\xa9 a\xff"[rng.below(13)];
    Utf8Stream whole, cut;
    std::string expected = whole.push(bytes), shown;
    expected += whole.finish();
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::min<size_t>(1 + rng.below(4), bytes.size() - at);
      shown += cut.push(std::string_view(bytes).substr(at, size));
      at += size;
    }
    shown += cut.finish();
    ASSERT_EQ(shown, expected);
  }
}

}  // namespace
}  // namespace sigma
