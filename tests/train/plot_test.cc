#include "train/plot.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sigma {
namespace {

PlotRun falling(const std::string& name, int steps, double from) {
  PlotRun run{name, {}};
  for (int i = 1; i <= steps; ++i) {
    run.lines.push_back(
        {{"event", "step"}, {"step", i}, {"tokens", i * 1000}, {"loss", from / i}, {"learning_rate", 1e-3}});
    if (i % 10 == 0)
      run.lines.push_back({{"event", "validation"}, {"step", i}, {"tokens", i * 1000}, {"validation_loss", from / i}});
  }
  return run;
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(Plot, DrawsEveryRun) {
  const std::string svg = plot_runs({falling("a<b", 40, 8), falling("c", 20, 6)});
  EXPECT_EQ(svg.find("<svg"), 0u);
  EXPECT_EQ(count(svg, "<circle"), 6u);
  EXPECT_EQ(count(svg, "a&lt;b"), 1u);
  EXPECT_EQ(count(svg, "stroke-width=\"1.8\""), 2u);
  EXPECT_EQ(count(svg, "nan"), 0u);
  EXPECT_EQ(count(svg, "inf"), 0u);
  EXPECT_NE(svg.find("40 k"), std::string::npos);
}

TEST(Plot, OneStepAndLossesThatAreNoNumbersStillMakeAPicture) {
  PlotRun run = falling("one", 1, 3);
  run.lines.push_back({{"event", "skipped"}, {"step", 2}, {"tokens", 2000}, {"loss", nullptr}});
  const std::string svg = plot_runs({run});
  EXPECT_EQ(count(svg, "nan"), 0u);
  EXPECT_THROW(plot_runs({PlotRun{"empty", {}}}), Error);
}

TEST(Plot, LongRunsAreThinned) { EXPECT_LT(plot_runs({falling("long", 200'000, 8)}).size(), 200'000u); }

}  // namespace
}  // namespace sigma
