#include "base/toml.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"

namespace sigma {
namespace {

std::string fault(const std::string& text, const std::function<void(TomlTable&)>& use) {
  try {
    TomlTable table = TomlTable::parse(text, "c.toml");
    use(table);
    table.finish();
  } catch (const Error& e) {
    return e.what();
  }
  return "none";
}

TEST(Toml, NoControlCharacters) {
  for (const char c : {'\x01', '\x0c', '\x1b', '\x7f'})
    for (const char* text :
         {"# x?", "a = \"x?\"", "a = 'x?'", "a = \"\"\"x?\"\"\"", "a = '''x?'''", "a ?= 1", "?", "[x?]"}) {
      std::string with = "b = 1\n" + std::string(text);
      with[with.find('?')] = c;
      EXPECT_TRUE(fault(with, [](TomlTable&) {}).starts_with("[c.toml:2] expected valid TOML, ")) << text << int{c};
    }
  EXPECT_TRUE(
      fault(std::string("a = 1\n[\0b]", 10), [](TomlTable&) {}).starts_with("[c.toml:2] expected valid TOML, "));
}

TEST(Toml, BeyondAsciiInStringsAndCommentsOnly) {
  TomlTable t = TomlTable::parse("# \xc3\xa9\na = \"\\\"\xc3\xa9\"  # \xc3\xa9\nb = '''\n\xc3\xa9'''\n", "c.toml");
  EXPECT_EQ(t.text("a", ""), "\"\xc3\xa9");
  EXPECT_EQ(t.text("b", ""), "\xc3\xa9");
  // Letters of Latin, Greek, Cyrillic and Japanese where no string may be, and escaped; and half a character.
  for (const char* text : {"b = \xc3\xa9", "b = 12'3\xce\xb1'", "b = [1\xd0\xa7", "b = \xe3\x81\x82",
                           "b = \"\\\xd0\xa7\"", "\xd0\xa7 = 1", "[\xe3\x81\x82]", "b = '\xd0'", "b = 12'3'"})
    EXPECT_TRUE(fault("a = 1\n" + std::string(text) + "\n", [](TomlTable&) {})
                    .starts_with("[c.toml:2] expected valid TOML, found "))
        << text;
}

TEST(Toml, StringsAfterPunctuation) {
  TomlTable t =
      TomlTable::parse("\xef\xbb\xbf\"a\"=['\xc3\xa9',\"b\"]\nc = \"\"\"d\"\"\"\"\"\ne = {f=\"g\"}\n", "c.toml");
  EXPECT_EQ(t.texts("a"), (std::vector<std::string>{"\xc3\xa9", "b"}));
  EXPECT_EQ(t.text("c", ""), "d\"\"");
}

TEST(Toml, ATextStandsForARecord) {
  TomlTable t = TomlTable::parse(R"(parts = ["a", { path = "b", weight = 2 }]
one = "c"
bad = [1])",
                                 "c.toml");
  std::vector<TomlTable> parts = t.records("parts", "path");
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].text("path", ""), "a");
  EXPECT_EQ(parts[1].text("path", ""), "b");
  EXPECT_EQ(parts[1].integer("weight", 1, 0, 9), 2);
  EXPECT_EQ(t.records("one", "path").at(0).text("path", ""), "c");
  EXPECT_TRUE(t.records("none", "path").empty());
  EXPECT_THROW(t.records("bad", "path"), Error);
}

TEST(Toml, ReadsEveryKindOfValue) {
  TomlTable t = TomlTable::parse(R"(
name = "a"
n = 3
x = 0.5
whole = 2
on = true
list = ["p", "q"]
one = "r"
[inner]
k = 1
[[part]]
id = "1"
[[part]]
id = "2"
)",
                                 "c.toml");
  EXPECT_EQ(t.text("name", ""), "a");
  EXPECT_EQ(t.text("absent", "b"), "b");
  EXPECT_EQ(t.integer("n", 0, 0, 9), 3);
  EXPECT_EQ(t.number("x", 0, 0, 1), 0.5);
  EXPECT_EQ(t.number("whole", 0, 0, 9), 2);
  EXPECT_TRUE(t.boolean("on", false));
  EXPECT_EQ(t.texts("list"), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(t.texts("one"), std::vector<std::string>{"r"});
  EXPECT_EQ(t.table("inner").integer("k", 0, 0, 9), 1);
  EXPECT_FALSE(t.table("nothing").has("k"));
  std::vector<TomlTable> parts = t.tables("part");
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[1].text("id", ""), "2");
  t.finish();
}

TEST(Toml, FaultsNameTheLine) {
  EXPECT_EQ(fault("a = 1\nlerning_rate = 2\n", [](TomlTable& t) { t.has("a"), t.has("learning_rate"); }),
            "[c.toml:2] expected a known key such as learning_rate, found lerning_rate");
  EXPECT_EQ(fault("zzzzzz = 2\n", [](TomlTable& t) { t.has("a"); }),
            "[c.toml:1] expected one of the keys a, found zzzzzz");
  EXPECT_EQ(fault("\nn = 10\n", [](TomlTable& t) { t.integer("n", 0, 0, 9); }),
            "[c.toml:2] expected n from 0 to 9, found 10");
  EXPECT_EQ(fault("n = 'x'\n", [](TomlTable& t) { t.integer("n", 0, 0, 9); }),
            "[c.toml:1] expected a whole number for n, found a text");
  EXPECT_EQ(TomlTable::parse("n = 9007199254740993", "c.toml").number("n", 0, 0, 1e18), 9007199254740992.0);
  EXPECT_EQ(fault("n = nan\n", [](TomlTable& t) { t.number("n", 0, 0, 9); }),
            "[c.toml:1] expected n from 0 to 9, found nan");
  EXPECT_EQ(fault("mode = 'fats'\n",
                  [](TomlTable& t) {
                    t.word("mode", "fast", {"fast", "slow"});
                  }),
            "[c.toml:1] expected mode to be one of fast, slow, found fats");
  EXPECT_TRUE(fault("a = 1\nb = \n", [](TomlTable&) {}).starts_with("[c.toml:2] expected valid TOML, found "));
  for (const std::string name : {"[%]", "[[%]]", "[=]", "[a.%]", "[\x01]", "%", "a.%=1", "a={%=1}", "[", "[[", "a=["})
    EXPECT_NE(fault(name + "\n", [](TomlTable&) {}).find("expected valid TOML, found "), std::string::npos) << name;
  EXPECT_EQ(fault("list = ['a', 1]\n", [](TomlTable& t) { t.texts("list"); }),
            "[c.toml:1] expected an array of texts for list, found a whole number in it");
}

TEST(Toml, NearestWord) {
  EXPECT_EQ(nearest_word("tokenzier", {"threads", "tokenizer", "token"}), "tokenizer");
  EXPECT_EQ(nearest_word("modle", {"modes", "model"}), "model");
  EXPECT_EQ(nearest_word("x", {"threads", "tokenizer"}), "");
}

}  // namespace
}  // namespace sigma
