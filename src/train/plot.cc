#include "train/plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "text/markup.h"

namespace sigma {

namespace {

struct Point {
  double x, y;
};
using Line = std::vector<Point>;

constexpr double kMost = 1e18;  // what is beyond is no loss, rate or number of tokens

constexpr std::array kColours{"#1f6fb4", "#d1495b", "#2e8b57", "#8d6bb8", "#c98a1b", "#4a4a4a"};
constexpr double kWidth = 860, kLeft = 70, kRight = 20, kGap = 46, kTop = 30;

// The points of one event's number over tokens.
Line points(const PlotRun& run, std::initializer_list<const char*> events, const char* key) {
  Line line;
  for (const Json& j : run.lines) {
    const bool wanted = std::any_of(events.begin(), events.end(),
                                    [&](const char* event) { return j.contains("event") && j["event"] == event; });
    if (!wanted || !j.contains(key) || !j[key].is_number() || !j.contains("tokens") || !j["tokens"].is_number())
      continue;
    const Point p{j["tokens"].get<double>(), j[key].get<double>()};
    if (std::abs(p.x) < kMost && std::abs(p.y) < kMost) line.push_back(p);
  }
  return line;
}

// Exponential moving average, the start corrected for.
Line smoothed(const Line& line) {
  const double keep = 1.0 - 1.0 / std::clamp(static_cast<double>(line.size()) / 50.0, 1.0, 50.0);
  Line out;
  double mean = 0, weight = 0;
  for (const Point& p : line) {
    mean = keep * mean + (1 - keep) * p.y;
    weight = keep * weight + (1 - keep);
    out.push_back({p.x, mean / weight});
  }
  return out;
}

// At most this many points of a curve are drawn: more than there are pixels.
Line thinned(const Line& line) {
  constexpr size_t kPoints = 1500;
  if (line.size() <= kPoints) return line;
  Line out;
  for (size_t i = 0; i < kPoints; ++i) out.push_back(line[i * (line.size() - 1) / (kPoints - 1)]);
  return out;
}

// 1, 2 or 5 times a power of ten, so that about `count` steps make the range.
double tick_step(double range, int count) {
  const double raw = range / count, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw) return factor * power;
  return 10 * power;
}

std::vector<double> ticks(double low, double high, double step) {
  std::vector<double> all;
  const double first = std::ceil(low / step) * step;
  for (int i = 0; i < 20 && first + i * step <= high * (1 + 1e-12); ++i) all.push_back(first + i * step);
  return all;
}

std::string amount(double x) {
  if (x >= 1e9) return fmt::format("{:g} G", x / 1e9);
  if (x >= 1e6) return fmt::format("{:g} M", x / 1e6);
  if (x >= 1e3) return fmt::format("{:g} k", x / 1e3);
  return fmt::format("{:g}", x);
}

// One set of axes.
class Panel {
 public:
  Panel(double top, double height, Point low, Point high) : top_(top), height_(height), low_(low), high_(high) {
    if (high_.x <= low_.x) high_.x = low_.x + 1;
    if (high_.y <= low_.y) high_.y = low_.y + std::max(1e-12, std::abs(low_.y) * 0.1);
  }

  std::string axes(const std::string& title) const {
    std::string svg =
        fmt::format("<text x=\"{}\" y=\"{:.1f}\" font-weight=\"bold\">{}</text>\n", kLeft, top_ - 8, title);
    const double step_y = tick_step(high_.y - low_.y, 5), step_x = tick_step(high_.x - low_.x, 8);
    for (const double y : ticks(low_.y, high_.y, step_y)) {
      svg += fmt::format("<path d=\"M{} {:.1f}H{}\" stroke=\"#ddd\"/>\n", kLeft, py(y), kWidth - kRight);
      svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n", kLeft - 6, py(y) + 4,
                         std::abs(y) < step_y * 1e-6 ? 0.0 : y);
    }
    for (const double x : ticks(low_.x, high_.x, step_x))
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", px(x),
                         top_ + height_ + 16, amount(x));
    return svg + fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#888\"/>\n",
                             kLeft, top_, kWidth - kLeft - kRight, height_);
  }
  std::string curve(const Line& line, const char* colour, const char* style) const {
    if (line.empty()) return "";
    std::string path;
    for (const Point& p : thinned(line))
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px(p.x), py(std::clamp(p.y, low_.y, high_.y)));
    return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" {}/>\n", path, colour, style);
  }
  std::string dots(const Line& line, const char* colour) const {
    std::string svg;
    for (const Point& p : thinned(line))
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"white\" stroke=\"{}\"/>\n", px(p.x),
                         py(std::clamp(p.y, low_.y, high_.y)), colour);
    return svg;
  }

 private:
  double px(double x) const { return kLeft + (x - low_.x) / (high_.x - low_.x) * (kWidth - kLeft - kRight); }
  double py(double y) const { return top_ + height_ - (y - low_.y) / (high_.y - low_.y) * height_; }
  double top_, height_;
  Point low_, high_;
};

struct Curves {
  Line loss, smooth, validation, rate;
};

// The lowest loss and, for the top, what 98% of the losses are below: a spike must not flatten the curve.
Point loss_range(const std::vector<Curves>& all) {
  std::vector<double> values;
  for (const Curves& c : all) {
    for (const Point& p : c.loss) values.push_back(p.y);
    for (const Point& p : c.validation) values.push_back(p.y);
  }
  std::sort(values.begin(), values.end());
  return {values.front(), values[static_cast<size_t>(0.98 * static_cast<double>(values.size() - 1))]};
}

}  // namespace

std::string plot_runs(const std::vector<PlotRun>& runs) {
  std::vector<Curves> all;
  double tokens = 0, rate = 0;
  bool any = false;
  for (const PlotRun& run : runs) {
    Curves c;
    c.loss = points(run, {"step", "skipped"}, "loss");
    c.smooth = smoothed(c.loss);
    c.validation = points(run, {"validation"}, "validation_loss");
    c.rate = points(run, {"step"}, "learning_rate");
    for (const Point& p : c.loss) tokens = std::max(tokens, p.x);
    for (const Point& p : c.rate) rate = std::max(rate, p.y);
    any = any || !c.loss.empty();
    all.push_back(std::move(c));
  }
  if (!any) throw Error("plot", "a run with at least one step", "none");
  const Point range = loss_range(all);
  const double margin = (range.y - range.x) * 0.05;
  const Panel loss(kTop, 320, {0, range.x - margin}, {tokens, range.y + margin});
  const Panel rates(kTop + 320 + kGap, 110, {0, 0}, {tokens, rate * 1.08});
  std::string body = loss.axes("loss (line: smoothed; circles: validation) over tokens") + rates.axes("learning rate");
  std::string legend;
  for (size_t i = 0; i < all.size(); ++i) {
    const char* colour = kColours[i % kColours.size()];
    body += loss.curve(all[i].loss, colour, "stroke-opacity=\"0.2\"");
    body += loss.curve(all[i].smooth, colour, "stroke-width=\"1.8\"");
    body += loss.curve(all[i].validation, colour, "stroke-dasharray=\"4 3\"") + loss.dots(all[i].validation, colour);
    body += rates.curve(all[i].rate, colour, "stroke-width=\"1.5\"");
    const double y = kTop + 20 + 18 * static_cast<double>(i);
    std::string text = runs[i].name;
    std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });  // no part of XML
    text = escape_html(text);
    if (!all[i].smooth.empty()) text += fmt::format(": {:.4f}", all[i].smooth.back().y);
    if (!all[i].validation.empty()) text += fmt::format(" (validation {:.4f})", all[i].validation.back().y);
    legend += fmt::format("<path d=\"M{} {}h22\" stroke=\"{}\" stroke-width=\"3\"/>\n", kWidth - 330, y, colour);
    legend += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kWidth - 302, y + 4, text);
  }
  const double height = kTop + 320 + kGap + 110 + 30;
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" "
      "fill=\"white\"/>\n{2}{3}</svg>\n",
      kWidth, height, body, legend);
}

}  // namespace sigma
