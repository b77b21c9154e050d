// The whole step with its weights, what caches take, and what each saving costs in quality.
#include <algorithm>
#include <cmath>

#include "base/fmt.h"
#include "bench/efficiency/sections.h"
#include "bench/efficiency/svg.h"

namespace sigma::bench {

namespace {

std::string format_name(Format format) { return std::string(format_info(format).name); }

std::string break_even_text(const BreakEven& found) {
  if (!found.measured) return "none measured";
  return fmt::format("{:.0f} ({:.0f} - {:.0f})", found.measured->median, found.measured->low, found.measured->high);
}

Table break_even_table(const Results& results) {
  Table table{.head = {"weights", "sequences", "Sigma: computed from bytes", "Sigma: measured",
                       "with v-top 100: computed", "with v-top 100: measured"}};
  for (const Format format : results.grid.weights)
    for (const int64_t batch : {int64_t{1}, results.grid.batch}) {
      std::vector<std::string> row = {format_name(format), fmt::format("{}", batch)};
      for (const char* name : {"sigma", "v_top"}) {
        const BreakEven found = break_even(results, name, format, batch);
        row.push_back(found.computed ? fmt::format("{}", *found.computed) : "none");
        row.push_back(break_even_text(found));
      }
      table.rows.push_back(row);
    }
  return table;
}

Table step_table(const Results& results, int64_t batch) {
  Table table{.head = {fmt::format("{} sequence{}: weights", batch, batch > 1 ? "s" : ""), "cached tokens", "STD",
                       "Sigma", "saved", "saved with v-top 100"}};
  for (const Format format : results.grid.weights)
    for (const int64_t prefix : prefixes_of(results, batch)) {
      if (prefix < 1024) continue;
      const Rounds std = whole_step(results, "std", format, prefix, batch).total(),
                   sigma = whole_step(results, "sigma", format, prefix, batch).total(),
                   top = whole_step(results, "v_top", format, prefix, batch).total();
      if (std.empty()) continue;
      table.rows.push_back({format_name(format), tokens_text(prefix), duration(interval_of(std).median),
                            duration(interval_of(sigma).median), gain_text(gain_of(sigma, std)),
                            gain_text(gain_of(top, std))});
    }
  return table;
}

Plot split_plot(const Results& results, Format format) {
  BarChart chart{.name = "parts",
                 .title = fmt::format("A decode step by part, one sequence, weights in {}", format_name(format)),
                 .y_label = "ms",
                 .part_names = {"other weights", "augmented Q", "attention", "cache store"}};
  const std::vector<int64_t> all = prefixes_of(results, 1);
  for (const int64_t prefix : {int64_t{4096}, int64_t{16384}, int64_t{65536}}) {
    if (std::find(all.begin(), all.end(), prefix) == all.end()) continue;
    for (const char* name : {"std", "sigma", "v_top"}) {
      const WholeStep step = whole_step(results, name, format, prefix, 1);
      if (step.weights.empty()) continue;
      const auto ms = [](const Rounds& rounds) { return interval_of(rounds).median * 1e3; };
      const std::string label = name == std::string("std") ? "STD" : name == std::string("sigma") ? "Sigma" : "v-top";
      chart.bars.push_back({label + "\n" + tokens_text(prefix),
                            {ms(step.weights), ms(step.augmented_q), ms(step.attention), ms(step.store)}});
    }
  }
  return {chart.name, to_svg(chart)};
}

Plot step_gain_plot(const Results& results) {
  LineChart chart{.name = "step_gain",
                  .title = "Whole step saved by Sigma, weights included",
                  .x_label = "tokens in the cache of each sequence",
                  .y_label = "% of STD's step saved",
                  .levels = {{0, "break even"}, {37.5, "37.5%"}}};
  int colour = 1;
  for (const int64_t batch : {int64_t{1}, results.grid.batch})
    for (const Format format : results.grid.weights) {
      Series s{.name = fmt::format("{}, {} sequence{}", format_name(format), batch, batch > 1 ? "s" : ""),
               .style = batch > 1 ? Series::Style::dashed : Series::Style::line,
               .colour = colour++};
      for (const int64_t prefix : prefixes_of(results, batch)) {
        const Rounds ours = whole_step(results, "sigma", format, prefix, batch).total();
        if (prefix < 1024 || ours.empty()) continue;
        s.x.push_back(context_of(prefix));
        s.y.push_back(100 * gain_of(ours, whole_step(results, "std", format, prefix, batch).total()).median);
      }
      chart.series.push_back(s);
    }
  return {chart.name, to_svg(chart)};
}

}  // namespace

Section step_section(const Results& results) {
  Section section{.title = "The whole step, weights included: the price of augmented Q"};
  section.paragraphs = {
      "Other weights (projections, FFN, norms, head) and the augmented query from rings of layers' weights, attention "
      "as "
      "above. Break-even: the context of each sequence from which Sigma's step is shorter than STD's."};
  section.tables = {break_even_table(results), step_table(results, 1), step_table(results, results.grid.batch)};
  section.plots = {step_gain_plot(results)};
  section.plots.push_back(split_plot(results, Format::q8_0));
  if (results.forward.empty()) return section;
  section.paragraphs.push_back(
      "The last table holds the sum of parts against the real thing: decode with whole models of random q8_0 weights "
      "and "
      "every layer's own cache. The two were measured at different times; the difference is of time times the read "
      "bandwidth measured beside each.");
  Table table{.head = {"cached tokens", "STD: whole model / sum of parts", "Sigma: whole model / sum of parts",
                       "saved: whole model", "saved: sum of parts"}};
  for (const ForwardCell& cell : results.forward) {
    if (results.find(cell.prefix, 1) == nullptr) continue;
    std::vector<std::string> row = {tokens_text(cell.prefix)};
    std::map<std::string, Rounds> parts;
    for (const char* name : {"std", "sigma"}) {
      parts[name] = whole_step(results, name, Format::q8_0, cell.prefix, 1).total();
      const double whole = interval_of(cell.seconds.at(name)).median, summed = interval_of(parts[name]).median;
      const double speed = interval_of(results.find(cell.prefix, 1)->read).median / interval_of(cell.read).median;
      row.push_back(
          fmt::format("{} / {} ({:+.1f}%)", duration(whole), duration(summed), (summed * speed / whole - 1) * 100));
    }
    row.push_back(gain_text(gain_of(cell.seconds.at("sigma"), cell.seconds.at("std"))));
    row.push_back(gain_text(gain_of(parts["sigma"], parts["std"])));
    table.rows.push_back(row);
  }
  section.tables.push_back(table);
  return section;
}

Section memory_section(const Results& results) {
  if (results.memory.empty()) return {};
  Section section{.title = "Memory"};
  Table measured{.head = {"", "tokens stored", "resident bytes a token", "computed"}};
  for (const MemoryCell& cell : results.memory) {
    const Variant& v = variant(cell.variant);
    measured.rows.push_back({v.title, fmt::format("{}", cell.tokens),
                             fmt::format("{:.0f}", cell.resident / static_cast<double>(cell.tokens)),
                             fmt::format("{:.0f}", cache_bytes_per_token(v.config, v.k_format, Format::bf16))});
  }
  Table batches{.head = {"largest batch: weights q8_0", "memory", "4k each", "32k each", "64k each"}};
  const double gib = 1 << 30;
  for (const double memory : {16 * gib, 24 * gib, 80 * gib})
    for (const char* name : {"std", "sigma", "q8_k", "half_key"}) {
      const Variant& v = variant(name);
      std::vector<std::string> row = {v.title, fmt::format("{:.0f} GiB", memory / gib)};
      for (const int64_t context : {4096, 32768, 65536})
        row.push_back(fmt::format("{}", largest_batch(v.config, weight_bytes(v.config, Format::q8_0),
                                                      v.cost_case(context, 1), kPageTokens, memory)));
      batches.rows.push_back(row);
    }
  section.paragraphs = {
      "Caches of all layers, in pages, filled; and how many sequences fit a memory beside the weights."};
  section.tables = {measured, batches};
  return section;
}

Section quality_section(const Results& results) {
  if (results.quality.empty()) {
    return {.title = "Quality", .paragraphs = {"Not measured: give a checkpoint and a text (-m MODEL --text FILE)."}};
  }
  Section section{.title = "Quality: what each saving costs"};
  section.paragraphs = {
      fmt::format("Perplexity of a trained checkpoint over {} tokens, windows of 2,048 whose second half is scored; "
                  "the change against "
                  "f32 caches with one standard error, from paired token losses. No DiffQKV checkpoint is public: a "
                  "plain GQA model "
                  "shows what cache formats and selective V cost, not what fewer K heads do.",
                  results.quality.front().tokens)};
  Table table{.head = {"caches", "perplexity", "change"}};
  LineChart chart{.name = "quality",
                  .title = "Perplexity against V rows fetched per query head",
                  .x_label = "rows of V fetched (v-top)",
                  .y_label = "% above f32 caches with all rows",
                  .levels = {{0, "all rows"}}};
  Series kept_all{.name = "weights of all rows", .colour = 1}, renormalised{.name = "renormalised", .colour = 2};
  for (const QualityCell& cell : results.quality) {
    table.rows.push_back({cell.name, fmt::format("{:.3f}", cell.perplexity),
                          cell.change == 0 ? "-" : fmt::format("{:+.3f}% ± {:.3f}", cell.change, cell.error)});
    if (cell.v_top == 0 || cell.k_cache != "bf16") continue;
    Series& s = cell.renormalised ? renormalised : kept_all;
    s.x.push_back(static_cast<double>(cell.v_top));
    s.y.push_back(cell.change);
    s.low.push_back(cell.change - cell.error);
    s.high.push_back(cell.change + cell.error);
  }
  chart.series = {kept_all, renormalised};
  section.tables = {table};
  section.plots = {{chart.name, to_svg(chart)}};
  return section;
}

}  // namespace sigma::bench
