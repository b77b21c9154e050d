#include "text/unicode.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace sigma {
namespace {

using unicode::Class;

unicode::CodePoint decode(std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  return unicode::decode(p, p + bytes.size());
}

TEST(Utf8, EveryCodePointBothWays) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    std::string bytes;
    unicode::append_utf8(bytes, code);
    const unicode::CodePoint c = decode(bytes);
    ASSERT_EQ(c.value, code);
    ASSERT_EQ(static_cast<size_t>(c.length), bytes.size());
  }
}

TEST(Utf8, InvalidSequencesAreCutAsReplacementWould) {
  struct Case {
    std::string_view bytes;
    int length;
    bool truncated;
  };
  const Case cases[] = {
      {"\x80", 1, false},        {"\xff", 1, false},          {"\xc0\x80", 1, false},
      {"\xc1\xbf", 1, false},    {"\xf5\x80", 1, false},      {"\xc3", 1, true},
      {"\xc3z", 1, false},       {"\xe0\x9f\xbf", 1, false},  {"\xed\xa0\x80", 1, false},
      {"\xe4\xbd", 2, true},     {"\xe4\xbd\xe4", 2, false},  {"\xf0\x8f\xbf\xbf", 1, false},
      {"\xf0\x9f\x98", 3, true}, {"\xf0\x9f\x98z", 3, false}, {"\xf4\x90\x80\x80", 1, false},
      {"\xf0\x9f", 2, true},
  };
  for (const Case& c : cases) {
    const unicode::CodePoint got = decode(c.bytes);
    EXPECT_EQ(got.value, unicode::kInvalid);
    EXPECT_EQ(got.length, c.length) << testing::PrintToString(c.bytes);
    EXPECT_EQ(got.truncated, c.truncated) << testing::PrintToString(c.bytes);
    EXPECT_FALSE(unicode::is_utf8(c.bytes));
  }
  EXPECT_TRUE(unicode::is_utf8("a\xc3\xa9\xf0\x9f\x98\x80"));
}

// Counts by the reference's engine, and samples of each class at the edges of ASCII and of blocks.
TEST(UnicodeClasses, CountsAndSamples) {
  size_t counts[5] = {};
  for (uint32_t code = 0; code < 0x110000; ++code) ++counts[static_cast<size_t>(unicode::class_of(code))];
  EXPECT_EQ(counts[static_cast<size_t>(Class::letter)], 141028u);
  EXPECT_EQ(counts[static_cast<size_t>(Class::number)], 1911u);
  EXPECT_EQ(counts[static_cast<size_t>(Class::space)], 25u);
  EXPECT_EQ(counts[static_cast<size_t>(Class::late_number)], 13u);
  const std::pair<uint32_t, Class> samples[] = {{'@', Class::other},           {'A', Class::letter},
                                                {'Z', Class::letter},          {'[', Class::other},
                                                {'0', Class::number},          {'9', Class::number},
                                                {':', Class::other},           {0x85, Class::space},
                                                {0xa0, Class::space},          {0xaa, Class::letter},
                                                {0xb2, Class::number},         {0x2028, Class::space},
                                                {0x200b, Class::other},        {0x3000, Class::space},
                                                {0x4e00, Class::letter},       {0x9fff, Class::letter},
                                                {0xd7a3, Class::letter},       {0xe000, Class::other},
                                                {0x2160, Class::number},       {0x300, Class::other},
                                                {0x1d7d8, Class::number},      {0x1f600, Class::other},
                                                {0x323af, Class::letter},      {0x10ffff, Class::other},
                                                {0x378, Class::other},         {0x180e, Class::other},
                                                {0x11de0, Class::late_number}, {unicode::kInvalid, Class::other}};
  for (const auto& [code, expected] : samples) EXPECT_EQ(unicode::class_of(code), expected) << std::hex << code;
}

std::string nfc(std::string_view text) {
  std::string scratch;
  return std::string(unicode::normalize_nfc(text, scratch));
}

TEST(Nfc, KnownForms) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"plain ASCII", "plain ASCII"},
      {"e\u0301", "\u00e9"},
      {"e\u0301x\u0301", "\u00e9x\u0301"},
      {"\u00e9", "\u00e9"},
      {"a\u0302\u0323", "\u1ead"},  // reordered, then composed twice
      {"a\u0323\u0302", "\u1ead"},
      {"q\u0307\u0323", "q\u0323\u0307"},       // reordered only
      {"\u0301e", "\u0301e"},                   // nothing before it
      {"a\u0315\u0301", "\u00e1\u0315"},        // class 230 moves before 232
      {"a\u0300\u0301", "\u00e0\u0301"},        // the second is blocked
      {"\u212b\u2126\u212a", "\u00c5\u03a9K"},  // singletons
      {"\u0958", "\u0915\u093c"},               // a composition exclusion
      {"\u0344", "\u0308\u0301"},
      {"\u1112\u1161\u11ab", "\ud55c"},  // Hangul: L V T
      {"\uac00\u11a8", "\uac01"},        // LV T
      {"\uac01\u11a8", "\uac01\u11a8"},  // LVT T
      {"\u1161\u11ab", "\u1161\u11ab"},
      {"\u304b\u3099", "\u304c"},
      {"\U0002f800", "\u4e3d"},
      {"\u03b1\u0313\u0301\u0345", "\u1f84"},
      {"\xff\u0301", "\xff\u0301"},  // invalid bytes take no part
      {"e\xff\u0301e\u0301", "e\xff\u0301\u00e9"},
      {"e\u0301\xc3", "\u00e9\xc3"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(nfc(text), expected) << text;
}

TEST(Nfc, NormalTextIsNotCopied) {
  const std::string text = "caf\u00e9 \u4e2d\u6587 \U0001f600";
  std::string scratch = "kept";
  const std::string_view same = unicode::normalize_nfc(text, scratch);
  EXPECT_EQ(same.data(), text.data());
  EXPECT_EQ(scratch, "kept");
}

TEST(Nfc, IsIdempotentAndSplitsAnywhereBetweenStarters) {
  const uint32_t pool[] = {'a',    'e',    ' ',    0xe9,    0x300,   0x301,  0x323,  0x327,  0x345, 0x1100,
                           0x1161, 0x11a8, 0xac00, 0x304b,  0x3099,  0x958,  0x93c,  0x915,  0xf71, 0xf72,
                           0xfb2a, 0x5bc,  0x5b0,  0x1d15e, 0x2f800, 0x212b, 0x4e2d, 0x1f600};
  Rng rng(5);
  for (int round = 0; round < 2000; ++round) {
    std::string left, right = "x";
    for (uint64_t n = rng.below(12); n > 0; --n) unicode::append_utf8(left, pool[rng.below(std::size(pool))]);
    for (uint64_t n = rng.below(12); n > 0; --n) unicode::append_utf8(right, pool[rng.below(std::size(pool))]);
    const std::string once = nfc(left);
    ASSERT_EQ(nfc(once), once);
    ASSERT_EQ(nfc(left + right), once + nfc(right));
  }
}

// A megabyte of marks on one letter: sorted, not bubbled.
TEST(Nfc, LongRunsOfMarks) {
  std::string text = "a", expected;
  for (int i = 0; i < 200000; ++i) text += i % 2 == 0 ? "\u0302" : "\u0316";
  const std::string normal = nfc(text);
  EXPECT_EQ(normal.size(), 2 + 2 * (100000 + 99999));  // one mark went into the letter
  EXPECT_EQ(normal.substr(0, 4), "\u00e2\u0316");
  EXPECT_EQ(normal.substr(normal.size() - 2), "\u0302");
}

}  // namespace
}  // namespace sigma
