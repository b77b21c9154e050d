// Plots as SVG text: lines with confidence intervals over a context axis, and stacked bars.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sigma::bench {

struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low, high;  // of a confidence interval; empty: none
  enum class Style : unsigned char { line, dashed, points } style = Style::line;
  int colour = 0;
};
struct LineChart {
  std::string name;  // of the file
  std::string title, x_label, y_label;
  std::optional<double> y_low;  // what is below is cut off
  std::vector<Series> series;
  enum class Scale : unsigned char { linear, logarithmic } x_scale = Scale::logarithmic, y_scale = Scale::linear;
  std::vector<std::pair<double, std::string>> levels;  // horizontal lines
};
std::string to_svg(const LineChart& chart);

struct Bar {
  std::string label;
  std::vector<double> parts;
};
struct BarChart {
  std::string name, title, y_label;
  std::vector<std::string> part_names;
  std::vector<Bar> bars;
};
std::string to_svg(const BarChart& chart);

}  // namespace sigma::bench
