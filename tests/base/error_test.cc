#include "base/error.h"

#include <gtest/gtest.h>

namespace sigma {
namespace {

TEST(Error, IsOneLineAndThreeFields) {
  const Error error("model.gguf", "version 3", "version 7");
  EXPECT_STREQ(error.what(), "[model.gguf] expected version 3, found version 7");
  EXPECT_EQ(error.where(), "model.gguf");
  EXPECT_EQ(error.expected(), "version 3");
  EXPECT_EQ(error.found(), "version 7");
}

TEST(Error, BracesInItsPartsAreText) { EXPECT_STREQ(Error("{}", "{0}", "}{").what(), "[{}] expected {0}, found }{"); }

TEST(Error, AUsageErrorIsAnError) {
  try {
    throw UsageError("--top-k", "a number", "x");
  } catch (const Error& error) {
    EXPECT_NE(dynamic_cast<const UsageError*>(&error), nullptr);
  }
}

TEST(CheckDeathTest, PrintsBothValues) {
  const int rows = 3, cols = 5;
  EXPECT_DEATH(SIGMA_CHECK_EQ(rows, cols), "error_test.cc:[0-9]+: check failed: rows == cols: 3 and 5");
  EXPECT_DEATH(SIGMA_CHECK_LE(cols, rows), "cols <= rows: 5 and 3");
  EXPECT_DEATH(SIGMA_CHECK_LT(cols, cols), "cols < cols: 5 and 5");
  EXPECT_DEATH(SIGMA_CHECK(rows == cols), "check failed: rows == cols");
}

TEST(Check, EvaluatesOnceAndPassesOn) {
  int calls = 0;
  const auto next = [&] { return ++calls; };
  SIGMA_CHECK_EQ(next(), 1);
  SIGMA_CHECK(next() == 2);
  EXPECT_EQ(calls, 2);
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("plain {text}"), "plain {text}");
  EXPECT_EQ(printable("a\n\x1b[31mred\x7f\xff"), "a\\x0a\\x1b[31mred\\x7f\\xff");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

TEST(Printable, CutsWhatIsLong) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcdef...");
  EXPECT_LT(printable(std::string(1000000, 'x')).size(), 100u);
}

}  // namespace
}  // namespace sigma
