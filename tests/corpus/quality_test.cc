#include "corpus/quality.h"

#include <gtest/gtest.h>

#include "base/fmt.h"

namespace sigma::corpus {
namespace {

std::string_view reason(const std::string& text) {
  Measurer measurer;
  return refusal(measurer.measure(text), {});
}

// Different lines of ordinary technical English.
std::string prose(int lines) {
  std::string out;
  for (int i = 0; i < lines; ++i)
    out += fmt::format(
        "The option number {} sets the limit of the buffer to {} pages, and that is used by the server when it starts "
        "task {}.\n",
        i, i * 7, i * 13);
  return out;
}

TEST(Quality, TechnicalTextStays) {
  EXPECT_EQ(reason(prose(10)), "");
  std::string options;  // a list of options
  for (int i = 0; i < 30; ++i)
    options += fmt::format("- `--flag-{}` sets the value of item {} to be used with the other one\n", i, i);
  EXPECT_EQ(reason(options), "");
  std::string table = prose(3) + "┌──────┬──────┐\n";  // what mandoc draws
  for (int i = 0; i < 8; ++i) table += fmt::format("│ {}    │ {}    │\n├──────┼──────┤\n", i, i * i);
  EXPECT_EQ(reason(table), "");
  std::string code = prose(4) + "```\n";
  for (int i = 0; i < 20; ++i)
    code += fmt::format("  rc = open_{}(fd[{}], O_RDWR | 0x{:x});\n  if (rc < 0) return rc;\n", i, i, i * 4096);
  EXPECT_EQ(reason(code + "```\n"), "");
}

TEST(Quality, EveryRuleRefusesItsCase) {
  EXPECT_EQ(reason("too few words"), "too short");
  EXPECT_EQ(reason(""), "too short");
  EXPECT_EQ(reason(prose(5) + std::string(2000, 'x')), "encoded data");
  std::string replaced = prose(5);
  for (int i = 0; i < 20; ++i) replaced += "\xef\xbf\xbd ";
  EXPECT_EQ(reason(replaced), "unreadable characters");
  EXPECT_EQ(reason("Der Dateiname und die Optionen werden von dem Programm nicht mehr verwendet, wenn sie auf einem "
                   "anderen Rechner liegen. Das "
                   "ist so, weil es keine Verbindung gibt und der Benutzer sich nicht anmelden kann, ohne ein Passwort "
                   "einzugeben. Alles andere "
                   "ist egal und bleibt so, wie es vorher schon war."),
            "not English prose");
  std::string japanese;
  for (int i = 0; i < 60; ++i) japanese += "APT を 両方の the マシンで of 利用 and する\n";
  EXPECT_EQ(reason(japanese), "not English prose");
  std::string numbers = prose(1);
  for (int i = 0; i < 60; ++i)
    numbers += fmt::format("{} {} {} to the {}\n", i * 1234567, i * 7654321, i * 1111111, i * 9999999);
  EXPECT_EQ(reason(numbers), "few letters");
  std::string links;
  for (int i = 0; i < 40; ++i) links += fmt::format("- The page {}\n", i);
  EXPECT_EQ(reason(links), "a list of links");
  std::string cut;
  for (int i = 0; i < 20; ++i)
    cut += fmt::format("The first words of the article {} that you have to open to be able to read it...\n", i);
  EXPECT_EQ(reason(cut), "lines cut short");
  std::string again;
  for (int i = 0; i < 10; ++i) again += "The same line of text that is repeated over and over with no change.\n";
  EXPECT_EQ(reason(again), "repeated lines");
  std::string phrases;
  for (int i = 0; i < 30; ++i) phrases += "and that is the way in which it has to be done with this tool ";
  EXPECT_EQ(reason(phrases), "repeated phrases");
}

TEST(Quality, MeasuresInNumbers) {
  Measurer measurer;
  const Measures m = measurer.measure("- the caf\xc3\xa9\n\n- of 12...\n");
  EXPECT_EQ(m.words, 6u);
  EXPECT_EQ(m.lines, 2u);
  EXPECT_EQ(m.function_words, 2);
  EXPECT_DOUBLE_EQ(m.bullets, 1);
  EXPECT_DOUBLE_EQ(m.ellipses, 0.5);
  EXPECT_DOUBLE_EQ(m.mean_word, 16.0 / 6);
  EXPECT_DOUBLE_EQ(m.letters, 9.0 / 16);
  EXPECT_DOUBLE_EQ(m.foreign, 1.0 / 16);
  EXPECT_DOUBLE_EQ(m.english, 2.0 / 4);
}

}  // namespace
}  // namespace sigma::corpus
