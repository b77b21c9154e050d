// Templates and what jinja2 makes of them: tests/text/jinja_cases.json, written by tools/make_jinja_cases.py.
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/chat_template.h"

namespace sigma {
namespace {

TEST(JinjaCases, EqualToPython) {
  const Json file = read_json(SIGMA_TEST_DATA "/text/jinja_cases.json");
  size_t equal = 0, refused = 0;
  for (const Json& test : file.at("cases")) {
    const std::string source = test.at("template").get<std::string>();
    std::string rendered, error;
    try {
      rendered = ChatTemplate(source, "case").render(file.at("variables"));
    } catch (const Error& e) {
      error = e.what();
    }
    if (test.contains("error")) {
      EXPECT_FALSE(error.empty()) << source << " is refused by Python and gives " << rendered;
      ++refused;
    } else {
      EXPECT_EQ(error, "") << source;
      EXPECT_EQ(rendered, test.at("text").get<std::string>()) << source;
      ++equal;
    }
  }
  EXPECT_GT(equal, 700u);
  EXPECT_GT(refused, 180u);
}

}  // namespace
}  // namespace sigma
