#include "base/json.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

namespace sigma {
namespace {

TEST(Json, ParsesAndKeepsTheOrderOfKeys) {
  const Json json = parse_json(R"({"z": [1, -2.5, true, null], "a": {"text": "gr\u00fc\u00df"}})", "here");
  EXPECT_EQ(json.begin().key(), "z");
  EXPECT_EQ(json["z"][1], -2.5);
  EXPECT_EQ(json["a"]["text"], "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(json.dump(), "{\"z\":[1,-2.5,true,null],\"a\":{\"text\":\"gr\xc3\xbc\xc3\x9f\"}}");
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const std::string_view text :
       {"", " ", "{", "[1,]", "{\"a\":1,}", "nul", "[1] x", "'a'", "[01]", "\"\\x\"", "{1:2}", "\"\xff\"",
        "\"\xed\xa0\x80\"", "\"a\nb\"", "// c\n1", "NaN", "[1e999]", "-1e999"}) {
    try {
      parse_json(text, "here");
      ADD_FAILURE() << "accepted: " << printable(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), "here");
      EXPECT_EQ(error.expected(), "valid JSON");
    }
  }
}

TEST(Json, SaysWhereTheFaultIs) {
  try {
    parse_json("[1, 2, oops]", "here");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[here] expected valid JSON, found a fault at byte 8");
  }
}

std::string nested(int levels) {
  return std::string(static_cast<size_t>(levels), '[') + std::string(static_cast<size_t>(levels), ']');
}

TEST(Json, LimitsNesting) {
  EXPECT_NO_THROW(parse_json(nested(512), "here"));
  EXPECT_THROW(parse_json(nested(513), "here"), Error);
  EXPECT_THROW(parse_json(std::string(1000000, '['), "here"), Error);
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_THROW(parse_json(objects, "here"), Error);
}

TEST(Json, OfARepeatedKeyTheLastCounts) { EXPECT_EQ(parse_json(R"({"a": 1, "a": 2})", "here")["a"], 2); }

TEST(Json, ReadsFiles) {
  const std::string path = testing::TempDir() + "json_test." + std::to_string(::getpid());
  write_file(path, "{\"a\": 1}");
  EXPECT_EQ(read_json(path)["a"], 1);
  write_file(path, "{\"a\": ");
  try {
    read_json(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), path);
  }
  ::unlink(path.c_str());
  EXPECT_THROW(read_json(path), Error);
}

}  // namespace
}  // namespace sigma
