// Attention alone: the paper's kernel measurement, all variants, bytes and bandwidth.
#include <algorithm>

#include "base/fmt.h"
#include "bench/efficiency/paper.h"
#include "bench/efficiency/sections.h"
#include "bench/efficiency/svg.h"

namespace sigma::bench {

namespace {

int colour_of(const std::string& name) {
  const auto& all = variants();
  return static_cast<int>(std::find_if(all.begin(), all.end(), [&](const Variant& v) { return v.name == name; }) -
                          all.begin());
}

// A value of every measured context of a variant, as a line.
template <class F>
Series series_of(const Results& results, const Variant& v, int64_t batch, const F& value) {
  Series s{.name = v.title, .colour = colour_of(v.name)};
  for (const int64_t prefix : prefixes_of(results, batch)) {
    if (prefix < 1024) continue;
    const auto step = find_step(results, v.name, prefix, batch);
    if (!step) continue;
    s.x.push_back(context_of(prefix));
    value(s, *step);
  }
  return s;
}

void add_interval(Series& s, const Interval& interval, double scale) {
  s.y.push_back(interval.median * scale);
  s.low.push_back(interval.low * scale);
  s.high.push_back(interval.high * scale);
}

std::vector<std::string> kernel_row(const Results& results, int64_t prefix) {
  const auto std = find_step(results, "std", prefix, 1), sigma = find_step(results, "sigma", prefix, 1);
  const auto times = [](const Step& s) {
    return fmt::format("{} / {} / {}", duration(s.split.median * kTokens), duration(s.combine.median * kTokens),
                       duration(s.seconds.median * kTokens));
  };
  const auto* row = std::find_if(std::begin(paper::kKernelRows), std::end(paper::kKernelRows),
                                 [&](const paper::KernelRow& r) { return r.prefix == prefix; });
  std::vector<std::string> cells = {
      tokens_text(prefix),   times(*std), times(*sigma), gain_text(sigma->split_gain), gain_text(sigma->combine_gain),
      gain_text(sigma->gain)};
  if (row == std::end(paper::kKernelRows)) {
    cells.insert(cells.end(), 3, "-");
    return cells;
  }
  const auto in_ms = [](double split, double combine, double total) {
    return fmt::format("{:.2f} / {:.2f} / {:.2f} ms", split * 1e-6, combine * 1e-6, total * 1e-6);
  };
  cells.push_back(in_ms(row->std_split, row->std_combine, row->std_total));
  cells.push_back(in_ms(row->sigma_split, row->sigma_combine, row->sigma_total));
  cells.push_back(fmt::format("{:.2f} / {:.2f} / {:.2f}%", row->split_gain, row->combine_gain, row->total_gain));
  return cells;
}

Plot gain_plot(const Results& results, int64_t batch) {
  LineChart chart{.name = fmt::format("gain_batch_{}", batch),
                  .title = fmt::format("Attention time saved against STD, {} sequence{}", batch, batch > 1 ? "s" : ""),
                  .x_label = "tokens in the cache",
                  .y_label = "% of STD's time saved",
                  .y_low = -20,
                  .levels = {{paper::kLimit * 100, "37.5%: what the bytes say for Sigma"}}};
  for (const Variant& v : variants()) {
    if (v.name == "std" || v.name == "half_after") continue;  // far below: it has a row in the table
    chart.series.push_back(
        series_of(results, v, batch, [](Series& s, const Step& step) { add_interval(s, step.gain, 100); }));
  }
  if (batch == 1) {
    Series theirs{.name = "the paper's, H100", .style = Series::Style::points, .colour = 0};
    for (const paper::KernelRow& row : paper::kKernelRows) {
      theirs.x.push_back(context_of(row.prefix));
      theirs.y.push_back(row.total_gain);
    }
    chart.series.push_back(theirs);
  }
  return {chart.name, to_svg(chart)};
}

}  // namespace

Section kernel_section(const Results& results) {
  Section section{.title = "Kernel execution time (KET): ten tokens after a prefix, attention kernels only"};
  section.paragraphs = {
      "Split: partial attention over stretches of the cache. Combine: merging the partial results. All layers of ten "
      "tokens together; gains round by round, with the 95% interval of their median. The paper's are of one H100."};
  Table table{.head = {"prefix", "STD split / combine / total", "Sigma split / combine / total", "split saved",
                       "combine saved", "total saved", "the paper's STD", "the paper's Sigma", "the paper's saved"}};
  for (const int64_t prefix : results.grid.kernel_prefixes)
    if (results.find(prefix, 1) != nullptr) table.rows.push_back(kernel_row(results, prefix));
  section.tables.push_back(table);
  section.plots.push_back(gain_plot(results, 1));
  return section;
}

Section variant_section(const Results& results) {
  Section section{.title = "Every variant against STD"};
  section.paragraphs = {
      "Attention time saved, with the 95% interval of the median over the rounds; in brackets what the bytes that must "
      "be read say. \"K repeated\" is the same Sigma model as a plain GQA model has to hold it: the whole saving is "
      "lost. Half-dim K expanded after the cache computes every cached key anew at every step."};
  for (const int64_t batch : {int64_t{1}, results.grid.batch}) {
    const std::vector<int64_t> prefixes = prefixes_of(results, batch);
    if (prefixes.empty()) continue;
    Table table{.head = {fmt::format("{} sequence{}, cached tokens of each", batch, batch > 1 ? "s" : "")}};
    for (const int64_t prefix : prefixes)
      if (prefix >= 1024) table.head.push_back(tokens_text(prefix));
    for (const Variant& v : variants()) {
      if (v.name == "std") continue;
      std::vector<std::string> row = {v.title};
      for (const int64_t prefix : prefixes)
        if (prefix >= 1024) {
          const Step step = *find_step(results, v.name, prefix, batch);
          row.push_back(fmt::format("{} [{}]", gain_text(step.gain), percent(step.theory)));
        }
      table.rows.push_back(row);
    }
    section.tables.push_back(table);
    if (batch > 1) section.plots.push_back(gain_plot(results, batch));
  }
  if (!results.grid.batch_left_out.empty())
    section.paragraphs.push_back(
        fmt::format("Left out, since it does not fit this machine's memory: {} sequences of {} tokens and more.",
                    results.grid.batch, tokens_text(results.grid.batch_left_out.front())));
  return section;
}

Section bandwidth_section(const Results& results) {
  Section section{.title = "Bytes, bandwidth and prediction"};
  section.paragraphs = {
      "Of one decode step, all layers: bytes that must be read, median time, share of the read bandwidth measured "
      "beside every round, and what the cost model predicts: reading at that bandwidth and, where it is known, the "
      "work "
      "that reading does not hide (see below)."};
  Table table{.head = {"variant", "cached tokens", "read", "time", "bandwidth reached", "share of the limit",
                       "predicted", "off by"}};
  const std::vector<int64_t> prefixes = prefixes_of(results, 1);
  for (const Variant& v : variants())
    for (const int64_t prefix : prefixes) {
      if (prefix < 4096 || (prefix != 4096 && prefix != 32768 && prefix != prefixes.back())) continue;
      const Step s = *find_step(results, v.name, prefix, 1);
      table.rows.push_back({v.title, tokens_text(prefix), fmt::format("{:.0f} MB", s.bytes * 1e-6),
                            duration(s.seconds.median), fmt::format("{:.1f} GB/s", s.bytes / s.seconds.median * 1e-9),
                            percent(s.share, 0), duration(s.predicted), fmt::format("{:+.1f}%", s.off * 100)});
    }
  section.tables.push_back(table);
  LineChart share{.name = "share",
                  .title = "Share of the measured read bandwidth, one sequence",
                  .x_label = "tokens in the cache",
                  .y_label = "%",
                  .levels = {{100, "the machine's limit"}}};
  LineChart time{.name = "time",
                 .title = "Attention time of a step, measured (points) and predicted (dashed)",
                 .x_label = "tokens in the cache",
                 .y_label = "ms",
                 .y_scale = LineChart::Scale::logarithmic};
  for (const Variant& v : variants()) {
    share.series.push_back(
        series_of(results, v, 1, [](Series& s, const Step& step) { s.y.push_back(step.share * 100); }));
    if (v.name == "repeated" || v.name == "q8_k" || v.name == "half_key") continue;
    time.series.push_back(
        series_of(results, v, 1, [](Series& s, const Step& step) { add_interval(s, step.seconds, 1e3); }));
    Series predicted =
        series_of(results, v, 1, [](Series& s, const Step& step) { s.y.push_back(step.predicted * 1e3); });
    predicted.style = Series::Style::dashed;
    predicted.name = "- predicted";
    time.series.push_back(predicted);
  }
  section.plots = {{share.name, to_svg(share)}, {time.name, to_svg(time)}};
  return section;
}

namespace {

// What Sigma saves in one sequence's rounds over 8k tokens and more, by how fast this machine read beside each.
Table bandwidth_table(const Results& results) {
  struct Round {
    double read, saved;
  };
  std::vector<Round> all;
  for (const int64_t prefix : prefixes_of(results, 1)) {
    if (prefix < 8192) continue;
    const StepCell& cell = *results.find(prefix, 1);
    const Rounds &ours = cell.steps.at("sigma").attention, &theirs = cell.steps.at("std").attention;
    for (size_t i = 0; i < cell.read.size(); ++i) all.push_back({cell.read[i], gain_over(ours[i], theirs[i])});
  }
  std::sort(all.begin(), all.end(), [](const Round& a, const Round& b) { return a.read < b.read; });
  Table table{.head = {"read beside the round", "rounds of 8k tokens and more", "saved"}};
  if (all.empty()) return table;
  const double middle = (all.front().read + all.back().read) / 2;
  const auto part = std::partition_point(all.begin(), all.end(), [&](const Round& r) { return r.read < middle; });
  for (const auto& [begin, end] : {std::pair(all.begin(), part), std::pair(part, all.end())}) {
    if (begin == end) continue;
    Rounds saved;
    for (auto r = begin; r != end; ++r) saved.push_back(r->saved);
    table.rows.push_back({fmt::format("{:.1f} to {:.1f} GB/s", begin->read / 1e9, std::prev(end)->read / 1e9),
                          fmt::format("{}", saved.size()), gain_text(interval_of(saved))});
  }
  return table;
}

}  // namespace

Section cached_section(const Results& results) {
  if (results.work.empty()) return {};
  const auto tokens_of = [&](const char* name, size_t at) { return results.work.at(name).prefix[at] + kTokens; };
  Section section{.title = "Why: work that reading does not hide"};
  section.paragraphs = {
      fmt::format(
          "The same kernels over {} and {} tokens (selective V: {} and {}), so that the caches hold what is read: work "
          "with nothing to wait for, on a line through both, beside what a cached token costs out of memory at the "
          "longest context measured. STD and Sigma do the same multiply-adds for every query head, so that their work "
          "is closer than their bytes.",
          tokens_of("std", 0), tokens_of("std", 1), tokens_of("v_top", 0), tokens_of("v_top", 1)),
      "The prediction has nothing from out of memory but two speeds, of one thread that reads alone and of all that "
      "read together. Keys are fetched ahead of the work on them: the longer of both decides. Values come by turns "
      "with the work on them: where each thread has a path of its own to memory nothing of it is hidden, where "
      "they share one, a part is.",
      "The faster memory is, the more of the time is work: the last table has Sigma's saving by how fast the machine "
      "read beside each round, parted at the middle between the slowest and the fastest."};
  const int64_t longest = prefixes_of(results, 1).back();
  Table table{.head = {"variant", "work alone, ns a token and layer",
                       fmt::format("out of memory at {}", tokens_text(longest)), "reading alone at the limit",
                       "predicted", "off by", "saved: measured", "saved: predicted"}};
  const double layers = variants()[0].config.layers, per_token = 1e9 / layers / context_of(longest);
  const Step std = *find_step(results, "std", longest, 1);
  for (const Variant& v : variants()) {
    const double work = work_of(results.work, v.name).at(context_of(longest)) * per_token;
    const Step step = *find_step(results, v.name, longest, 1);
    table.rows.push_back({v.title, fmt::format("{:.1f}", work), fmt::format("{:.1f}", step.seconds.median * per_token),
                          fmt::format("{:.1f}", step.seconds.median * step.share * per_token),
                          fmt::format("{:.1f}", step.predicted * per_token), fmt::format("{:+.1f}%", step.off * 100),
                          gain_text(step.gain), percent(gain_over(step.predicted, std.predicted))});
  }
  section.tables.push_back(table);
  if (Table by_bandwidth = bandwidth_table(results); !by_bandwidth.rows.empty())
    section.tables.push_back(std::move(by_bandwidth));
  return section;
}

}  // namespace sigma::bench
