#include "bench/efficiency/report.h"

#include <gtest/gtest.h>

#include "bench/efficiency/svg.h"
#include "bench/synthetic_study.h"
#include "support/schema.h"

namespace sigma::bench {
namespace {

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(Report, HtmlHasEveryPlotAndNeedsNoNetwork) {
  const std::string html = html_report(test::synthetic_study());
  EXPECT_GE(count(html, "<svg xmlns"), 8u);
  EXPECT_EQ(count(html, "<svg"), count(html, "</svg>"));
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf,"), std::string::npos);
  EXPECT_EQ(count(html, "src="), 0u);
  EXPECT_EQ(count(html, "http"), count(html, "xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_NE(html.find("a law &lt;of&gt; time"), std::string::npos);
  EXPECT_NE(html.find("37.5%"), std::string::npos);
}

// Every figure that the paper has as a number.
TEST(Report, ThePapersFiguresStandBesideOurs) {
  const std::string text = text_report(test::synthetic_study());
  for (const char* figure : {"1.39%", "18.02%", "23.35%", "25.31%", "33.36%", "36.57%", "15.4%", "16k"})
    EXPECT_NE(text.find(figure), std::string::npos) << figure;
}

TEST(Report, SavingsAreToldByHowFastMemoryIs) {
  const std::string text = text_report(test::synthetic_study());
  EXPECT_NE(text.find("read beside the round"), std::string::npos);
  EXPECT_EQ(text.find("nan"), std::string::npos);
}

TEST(Report, JsonHasItsSchema) {
  const Json schema = read_json(std::string(SIGMA_SOURCE_DIR) + "/docs/schemas/efficiency.json");
  const Json findings = findings_json(test::synthetic_study());
  EXPECT_EQ(sigma::test::schema_fault(schema, findings), "");
  EXPECT_EQ(findings["whole_generation"]["std"]["error"].is_number(), true);
}

TEST(Report, AStudyThatHasOnlyBegunIsReportedToo) {
  Results results = test::synthetic_study();
  results.steps.clear();
  EXPECT_NE(text_report(results).find("a law"), std::string::npos);
}

TEST(Svg, LinesLevelsAndBars) {
  LineChart lines{.title = "a & b", .series = {{.name = "s", .x = {1024, 65536}, .y = {1, 2}}}};
  lines.levels = {{1.5, "middle"}};
  const std::string svg = to_svg(lines);
  EXPECT_NE(svg.find("a &amp; b"), std::string::npos);
  EXPECT_NE(svg.find("middle"), std::string::npos);
  EXPECT_NE(svg.find(">64k<"), std::string::npos);
  const BarChart bars{.title = "t", .part_names = {"p", "q"}, .bars = {{"one\ntwo", {1, 2}}}};
  EXPECT_EQ(count(to_svg(bars), "<title>"), 2u);
  EXPECT_EQ(to_svg(LineChart{.title = "empty"}).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace sigma::bench
