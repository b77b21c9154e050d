// The cuts of each pattern, written out by hand from the regular expressions; the large comparison with the reference
// engine is in tests/formats/tokenizer_json_test.cc.
#include "text/pretokenizer.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace sigma {
namespace {

using Words = std::vector<std::string>;

Words cut(PreTokenizer pre, std::string_view text) {
  const WordEnd word_end = word_end_function(pre);
  Words words;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const char* next = word_end(p, end);
    words.emplace_back(p, next);
    p = next;
  }
  return words;
}

constexpr PreTokenizer kAll[] = {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2};

struct Case {
  std::string text;
  Words gpt2, smollm, llama3, qwen2;
};

TEST(PreTokenizer, Words) {
  const Case cases[] = {
      {"Hello, world",
       {"Hello", ",", " world"},
       {"Hello", ",", " world"},
       {"Hello", ",", " world"},
       {"Hello", ",", " world"}},
      {"a  b", {"a", " ", " b"}, {"a", " ", " b"}, {"a", " ", " b"}, {"a", " ", " b"}},
      {"a   ", {"a", "   "}, {"a", "   "}, {"a", "   "}, {"a", "   "}},
      {"x 12345",
       {"x", " 12345"},
       {"x", " ", "1", "2", "3", "4", "5"},
       {"x", " ", "123", "45"},
       {"x", " ", "1", "2", "3", "4", "5"}},
      {"a   1", {"a", "  ", " 1"}, {"a", "   ", "1"}, {"a", "  ", " ", "1"}, {"a", "  ", " ", "1"}},
      {"it's IT'S",
       {"it", "'s", " IT", "'", "S"},
       {"it", "'s", " IT", "'", "S"},
       {"it", "'s", " IT", "'S"},
       {"it", "'s", " IT", "'S"}},
      {"'\u017fx", {"'", "\u017fx"}, {"'", "\u017fx"}, {"'\u017f", "x"}, {"'\u017f", "x"}},
      {"we'LLx'v'r",
       {"we", "'", "LLx", "'", "v", "'", "r"},
       {"we", "'", "LLx", "'", "v", "'", "r"},
       {"we", "'LL", "x", "'v", "'r"},
       {"we", "'LL", "x", "'v", "'r"}},
      {"a.b", {"a", ".", "b"}, {"a", ".", "b"}, {"a", ".b"}, {"a", ".b"}},
      {"(x)\n\ny",
       {"(", "x", ")", "\n", "\n", "y"},
       {"(", "x", ")", "\n", "\n", "y"},
       {"(x", ")\n\n", "y"},
       {"(x", ")\n\n", "y"}},
      {" \n  z", {" \n ", " z"}, {" \n ", " z"}, {" \n", " ", " z"}, {" \n", " ", " z"}},
      {"\tq", {"\t", "q"}, {"\t", "q"}, {"\tq"}, {"\tq"}},
      {"\nq", {"\n", "q"}, {"\n", "q"}, {"\n", "q"}, {"\n", "q"}},
      {" !?\r\n!", {" !?", "\r", "\n", "!"}, {" !?", "\r", "\n", "!"}, {" !?\r\n", "!"}, {" !?\r\n", "!"}},
      {"\u3000\u4e2d", {"\u3000", "\u4e2d"}, {"\u3000", "\u4e2d"}, {"\u3000\u4e2d"}, {"\u3000\u4e2d"}},
      {"\u00a0\u2003!",
       {"\u00a0", "\u2003", "!"},
       {"\u00a0", "\u2003", "!"},
       {"\u00a0", "\u2003", "!"},
       {"\u00a0", "\u2003", "!"}},
      {"\u0664\u00b2\u216b\u0967",
       {"\u0664\u00b2\u216b\u0967"},
       {"\u0664", "\u00b2", "\u216b", "\u0967"},
       {"\u0664\u00b2\u216b", "\u0967"},
       {"\u0664", "\u00b2", "\u216b", "\u0967"}},
      {"!\U00011de0", {"!\U00011de0"}, {"!", "\U00011de0"}, {"!\U00011de0"}, {"!\U00011de0"}},
      {"e\u0301a", {"e", "\u0301", "a"}, {"e", "\u0301", "a"}, {"e", "\u0301a"}, {"e", "\u0301a"}},
      {"a\xff\xfe b\xe4\xbd",
       {"a", "\xff\xfe", " b", "\xe4\xbd"},
       {"a", "\xff\xfe", " b", "\xe4\xbd"},
       {"a", "\xff\xfe", " b", "\xe4\xbd"},
       {"a", "\xff\xfe", " b", "\xe4\xbd"}},
      {"'", {"'"}, {"'"}, {"'"}, {"'"}},
      {"''d", {"''", "d"}, {"''", "d"}, {"''", "d"}, {"''", "d"}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(cut(PreTokenizer::gpt2, c.text), c.gpt2) << c.text;
    EXPECT_EQ(cut(PreTokenizer::smollm, c.text), c.smollm) << c.text;
    EXPECT_EQ(cut(PreTokenizer::llama3, c.text), c.llama3) << c.text;
    EXPECT_EQ(cut(PreTokenizer::qwen2, c.text), c.qwen2) << c.text;
  }
}

TEST(PreTokenizer, WordsTileAnyBytes) {
  Rng rng(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (uint64_t n = rng.below(40); n > 0; --n) {
      text += rng.below(3) == 0 ? static_cast<char>(rng.below(256)) : " \n\r'sLl1a!\xc2\xa0\xe4\xb8\xad"[rng.below(15)];
    }
    for (const PreTokenizer pre : kAll) {
      std::string joined;
      for (const std::string& word : cut(pre, text)) {
        ASSERT_FALSE(word.empty());
        joined += word;
      }
      ASSERT_EQ(joined, text);
    }
  }
}

}  // namespace
}  // namespace sigma
