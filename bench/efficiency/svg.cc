#include "bench/efficiency/svg.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/fmt.h"
#include "text/markup.h"

namespace sigma::bench {

namespace {

// Okabe and Ito's colours, told apart by everybody.
constexpr std::array kColours = {"#333333", "#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                 "#e69f00", "#56b4e9", "#8a6d3b", "#999999"};
constexpr double kWidth = 920, kHeight = 420, kLeft = 72, kTop = 44, kBottom = 56, kLegend = 262;
constexpr double kPlotWidth = kWidth - kLeft - kLegend, kPlotHeight = kHeight - kTop - kBottom;

const char* colour_of(int i) { return kColours[static_cast<size_t>(i) % kColours.size()]; }

std::string short_number(double x) {
  if (std::fabs(x) < 1e-9) return "0";
  if (std::fabs(x) < 0.01) return fmt::format("{:.0e}", x);
  if (std::fabs(x) >= 1e6) return fmt::format("{:g}M", x / 1e6);
  return fmt::format("{:g}", std::round(x * 1000) / 1000);
}

// Contexts in thousands of 1,024.
std::string context_label(double x) {
  if (x >= 1000) return fmt::format("{:g}k", std::round(x / 1024 * 10) / 10);
  return fmt::format("{:g}", std::round(x));
}

struct Axis {
  double low = 0, high = 1, begin = 0, length = 1;  // values, and pixels
  bool logarithmic = false;

  double place(double v) const {
    const double part = logarithmic ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
    return begin + length * part;
  }
  std::vector<double> ticks() const {
    std::vector<double> found;
    if (logarithmic) {
      const double base = high / low > 2000 ? 10 : high / low > 300 ? 4 : 2;
      double tick = std::pow(base, std::ceil(std::log(low) / std::log(base) - 1e-9));
      for (; tick <= high * 1.0001; tick *= base) found.push_back(tick);
      return found;
    }
    const double raw = (high - low) / 6, power = std::pow(10.0, std::floor(std::log10(raw)));
    const double step = raw / power > 5   ? 10 * power
                        : raw / power > 2 ? 5 * power
                        : raw / power > 1 ? 2 * power
                                          : power;
    for (double tick = std::ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step)
      found.push_back(tick);
    return found;
  }
};

// The smallest and largest of what is drawn, with room around.
Axis axis_over(const std::vector<double>& values, bool logarithmic) {
  if (values.empty()) return {.low = 1, .high = 2, .logarithmic = logarithmic};
  Axis axis{.logarithmic = logarithmic};
  axis.low = *std::min_element(values.begin(), values.end());
  axis.high = *std::max_element(values.begin(), values.end());
  if (logarithmic) {
    axis.low = std::max(axis.low, 1e-12) / 1.15;
    axis.high *= 1.15;
  } else {
    const double room = std::max((axis.high - axis.low) * 0.06, 1e-9);
    axis.low = axis.low >= 0 && axis.low < room * 8 ? 0 : axis.low - room;
    axis.high += room;
  }
  return axis;
}

std::string begin_svg(const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{2}\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n"
      "<text x=\"{3}\" y=\"24\" font-size=\"15\" font-weight=\"600\" fill=\"#222\">{2}</text>\n",
      kWidth, kHeight, escape_html(title), kLeft);
}

std::string text_at(double x, double y, const std::string& anchor, const std::string& text,
                    const std::string& more = "fill=\"#444\"") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, more,
                     escape_html(text));
}

std::string line_between(double x1, double y1, double x2, double y2, const std::string& style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

std::string y_axis(const Axis& y, const std::string& label) {
  std::string out;
  for (const double tick : y.ticks()) {
    const double at = y.place(tick);
    out += line_between(kLeft, at, kLeft + kPlotWidth, at, "stroke=\"#e4e4e4\"");
    out += text_at(kLeft - 8, at + 4, "end", short_number(tick));
  }
  out += fmt::format(
      "<text transform=\"translate(18 {:.1f}) rotate(-90)\" text-anchor=\"middle\" fill=\"#444\">{}</text>\n",
      kTop + kPlotHeight / 2, escape_html(label));
  return out;
}

std::string frame() {
  const double bottom = kTop + kPlotHeight;
  return line_between(kLeft, bottom, kLeft + kPlotWidth, bottom, "stroke=\"#888\"") +
         line_between(kLeft, kTop, kLeft, bottom, "stroke=\"#888\"");
}

std::string draw(const Series& s, const Axis& x, const Axis& y) {
  const char* const colour = colour_of(s.colour);
  std::string out, path;
  for (size_t i = 0; i < s.x.size(); ++i) {
    const double px = x.place(s.x[i]), py = y.place(s.y[i]);
    path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : " L", px, py);
    if (!s.low.empty())
      out += line_between(px, y.place(s.low[i]), px, y.place(s.high[i]),
                          fmt::format("stroke=\"{}\" stroke-opacity=\"0.45\" stroke-width=\"3\"", colour));
    if (s.style == Series::Style::points)
      out += fmt::format("<path d=\"M{0:.1f} {1:.1f} m-5 0 l5 -5 l5 5 l-5 5 z\" fill=\"{2}\"/>\n", px, py, colour);
    else if (s.style == Series::Style::line)
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", px, py, colour);
  }
  if (s.style != Series::Style::points)
    out = fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{}/>\n", path, colour,
                      s.style == Series::Style::dashed ? " stroke-dasharray=\"5 4\" stroke-opacity=\"0.75\"" : "") +
          out;
  return out;
}

std::string legend_entry(double y, const std::string& name, const char* colour, Series::Style style) {
  const double x = kLeft + kPlotWidth + 16;
  std::string mark;
  if (style == Series::Style::points)
    mark = fmt::format("<path d=\"M{0:.1f} {1:.1f} m-5 0 l5 -5 l5 5 l-5 5 z\" fill=\"{2}\"/>\n", x + 9, y - 4, colour);
  else
    mark = line_between(x, y - 4, x + 18, y - 4,
                        fmt::format("stroke=\"{}\" stroke-width=\"3\"{}", colour,
                                    style == Series::Style::dashed ? " stroke-dasharray=\"5 4\"" : ""));
  return mark + text_at(x + 24, y, "start", name);
}

}  // namespace

std::string to_svg(const LineChart& chart) {
  using Scale = LineChart::Scale;
  std::vector<double> xs, ys;
  for (const Series& s : chart.series) {
    xs.insert(xs.end(), s.x.begin(), s.x.end());
    for (const auto* values : {&s.y, &s.low, &s.high}) ys.insert(ys.end(), values->begin(), values->end());
  }
  for (const auto& [level, label] : chart.levels) ys.push_back(level);
  Axis x = axis_over(xs, chart.x_scale == Scale::logarithmic), y = axis_over(ys, chart.y_scale == Scale::logarithmic);
  if (chart.y_low) y.low = std::max(y.low, *chart.y_low);
  x.begin = kLeft, x.length = kPlotWidth;
  y.begin = kTop + kPlotHeight, y.length = -kPlotHeight;
  std::string out = begin_svg(chart.title) + y_axis(y, chart.y_label);
  for (const double tick : x.ticks()) {
    const double at = x.place(tick);
    out += line_between(at, kTop, at, kTop + kPlotHeight, "stroke=\"#f0f0f0\"");
    out += text_at(at, kTop + kPlotHeight + 18, "middle", context_label(tick));
  }
  out += text_at(kLeft + kPlotWidth / 2, kTop + kPlotHeight + 42, "middle", chart.x_label) + frame();
  out += fmt::format("<svg x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" viewBox=\"{0} {1} {2} {3}\">\n", kLeft,
                     kTop - 6, kPlotWidth + 6, kPlotHeight + 6);  // nothing is drawn outside
  for (const auto& [level, label] : chart.levels)
    out += line_between(kLeft, y.place(level), kLeft + kPlotWidth, y.place(level),
                        "stroke=\"#000\" stroke-dasharray=\"2 3\"");
  for (const Series& s : chart.series) out += draw(s, x, y);
  for (const auto& [level, label] : chart.levels)
    out += text_at(kLeft + 6, y.place(level) - 5, "start", label,
                   "fill=\"#000\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\"");
  out += "</svg>\n";
  double row = kTop + 10;
  for (const Series& s : chart.series) {
    out += legend_entry(row, s.name, colour_of(s.colour), s.style);
    row += 20;
  }
  return out + "</svg>\n";
}

std::string to_svg(const BarChart& chart) {
  std::vector<double> totals = {0};
  for (const Bar& bar : chart.bars) {
    double total = 0;
    for (const double part : bar.parts) total += part;
    totals.push_back(total);
  }
  Axis y = axis_over(totals, false);
  y.begin = kTop + kPlotHeight, y.length = -kPlotHeight;
  std::string out = begin_svg(chart.title) + y_axis(y, chart.y_label);
  const double step = kPlotWidth / static_cast<double>(std::max<size_t>(1, chart.bars.size()));
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    const double left = kLeft + step * (static_cast<double>(i) + 0.15), width = step * 0.7;
    double below = 0;
    for (size_t part = 0; part < chart.bars[i].parts.size(); ++part) {
      const double above = below + chart.bars[i].parts[part];
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"><title>{}: {:.4g}</title>"
          "</rect>\n",
          left, y.place(above), width, y.place(below) - y.place(above), colour_of(static_cast<int>(part) + 1),
          escape_html(chart.part_names[part]), chart.bars[i].parts[part]);
      below = above;
    }
    out += text_at(left + width / 2, y.place(below) - 5, "middle", fmt::format("{:.3g}", below));
    // Words of a label under each other.
    double row = kTop + kPlotHeight + 15;
    for (size_t begin = 0; begin <= chart.bars[i].label.size(); row += 14) {
      const size_t end = std::min(chart.bars[i].label.find('\n', begin), chart.bars[i].label.size());
      out += text_at(left + width / 2, row, "middle", chart.bars[i].label.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  out += frame();
  for (size_t part = 0; part < chart.part_names.size(); ++part)
    out += legend_entry(kTop + 10 + 20 * static_cast<double>(chart.part_names.size() - 1 - part),
                        chart.part_names[part], colour_of(static_cast<int>(part) + 1), Series::Style::line);
  return out + "</svg>\n";
}

}  // namespace sigma::bench
