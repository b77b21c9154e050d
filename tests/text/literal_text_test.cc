#include "text/literal_text.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sigma {
namespace {

const std::vector<SpecialToken> kSpecials = {
    {.id = 0, .text = "<|end|>"}, {.id = 1, .text = "</s>"}, {.id = 2, .text = "<x>", .control = false}};

Tokenizer bytes_tokenizer() {
  TokenizerSpec spec;
  for (const SpecialToken& s : kSpecials) spec.tokens.push_back(s.text);
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(std::string(1, static_cast<char>(b)));
  spec.specials = kSpecials;
  return Tokenizer(std::move(spec));
}

// "[" + text + "<|end|>", as a template would put it.
std::vector<TokenId> encode_through_template(const std::string& text) {
  const Json messages = {{{"role", "user"}, {"content", text}}};
  const LiteralText literal(kSpecials, messages);
  const auto [plain, breaks] =
      literal.unmark("[" + literal.marked(messages)[0]["content"].get<std::string>() + "<|end|>");
  EXPECT_EQ(plain, "[" + text + "<|end|>");
  return bytes_tokenizer().encode(plain, Specials::parse, breaks);
}

size_t count(const std::vector<TokenId>& ids, TokenId id) {
  return static_cast<size_t>(std::count(ids.begin(), ids.end(), id));
}

TEST(LiteralText, OnlyTheTemplatesOwnControlTokensAreParsed) {
  for (const char* text :
       {"hello", "<|end|>", "a<|end|>b</s>c", "<|end|><|end|>", "<|end|", "<|<|end|>end|>", "</s", ""}) {
    const auto ids = encode_through_template(text);
    EXPECT_EQ(count(ids, 0), 1u) << text;
    EXPECT_EQ(ids.back(), 0) << text;
    EXPECT_EQ(count(ids, 1), 0u) << text;
    EXPECT_EQ(ids.size(), std::string(text).size() + 2) << text;
  }
}

// "</s></s>" is a token too: the longest match must not swallow the template's "</s>" beside the user's.
TEST(LiteralText, TheTemplatesTokensBesideTheUsersAreParsed) {
  TokenizerSpec spec;
  spec.specials = {{.id = 0, .text = "</s>"}, {.id = 1, .text = "</s></s>"}};
  for (const SpecialToken& special : spec.specials) spec.tokens.push_back(special.text);
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(std::string(1, static_cast<char>(b)));
  const Tokenizer tokenizer(spec);
  const std::vector<Json> messages = {"</s>", "</s></s>", "a</s>b</s>", "</s></s></s>", "</", "/s>"};
  for (const Json& message : messages) {
    const LiteralText literal(spec.specials, message);
    const auto [text, breaks] = literal.unmark("</s>" + literal.marked(message).get<std::string>() + "</s>");
    const std::vector<TokenId> ids = tokenizer.encode(text, Specials::parse, breaks);
    EXPECT_EQ(ids.front(), 0) << message;
    EXPECT_EQ(ids.back(), 0) << message;
    EXPECT_EQ(count(ids, 0), 2u) << message;
    EXPECT_EQ(count(ids, 1), 0u) << message;
    EXPECT_EQ(tokenizer.decode(ids, Specials::parse), text);
  }
}

TEST(LiteralText, TokensThatAreNotControlAreFoundInUserTextToo) {
  EXPECT_EQ(count(encode_through_template("a<x>b"), 2), 1u);
}

TEST(LiteralText, MarksDoNotCollideWithTheUsersOwnText) {
  const std::string noncharacter = "\xef\xb7\x90";
  const auto ids = encode_through_template(noncharacter + "<|end|>" + noncharacter + "\xef\xb7\x91");
  EXPECT_EQ(count(ids, 0), 1u);
}

TEST(LiteralText, EverythingThatIsNoStringStays) {
  const Json value = {{"a", 1}, {"b", {true, nullptr, "x"}}};
  EXPECT_EQ(LiteralText(kSpecials, value).marked(value), value);
}

}  // namespace
}  // namespace sigma
