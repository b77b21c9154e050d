// Whole generations (the paper's CEET), and how well the sampled ones agree with one that is run whole.
#include <algorithm>

#include "base/fmt.h"
#include "bench/efficiency/paper.h"
#include "bench/efficiency/sections.h"
#include "bench/efficiency/svg.h"

namespace sigma::bench {

namespace {

struct Gains {
  Interval total, attention, store;
};

Gains gains_of(const Results& results, const std::string& name, Format format, int64_t prefix, int64_t output) {
  const Generation ours = generation(results, name, format, prefix, output),
                   theirs = generation(results, "std", format, prefix, output);
  return {gain_of(ours.total(), theirs.total()), gain_of(ours.attention, theirs.attention),
          gain_of(ours.store, theirs.store)};
}

std::string format_name(Format format) { return std::string(format_info(format).name); }

Table gain_table(const Results& results, const std::string& name, Format format) {
  Table table{.head = {"output \\ prefix"}};
  for (const int64_t prefix : results.grid.prefixes) table.head.push_back(tokens_text(prefix));
  for (const int64_t output : results.grid.outputs) {
    std::vector<std::string> row = {tokens_text(output)};
    for (const int64_t prefix : results.grid.prefixes)
      row.push_back(gain_text(gains_of(results, name, format, prefix, output).total));
    table.rows.push_back(row);
  }
  return table;
}

std::string tokens_or(const std::optional<int64_t>& tokens, const char* otherwise) {
  return tokens ? fmt::format("{}", *tokens) : otherwise;
}

// Ours beside every figure the paper has.
Table headline_table(const Results& results) {
  const Grid& grid = results.grid;
  const int64_t prefix = grid.prefixes.back(), output = grid.outputs.back();
  double total = -1e9, attention = -1e9;
  Interval best_total, best_attention;
  for (const int64_t p : grid.prefixes)
    for (const int64_t o : grid.outputs) {
      const Gains g = gains_of(results, "sigma", Format::bf16, p, o);
      if (g.total.median > total) total = g.total.median, best_total = g.total;
      if (g.attention.median > attention) attention = g.attention.median, best_attention = g.attention;
    }
  const Gains corner = gains_of(results, "sigma", Format::bf16, prefix, output);
  double least = 1e9, most = 0;
  for (const int64_t sample : prefixes_of(results, 1)) {
    const double seconds = interval_of(results.find(sample, 1)->weights.at("bf16").augmented_q).median;
    least = std::min(least, seconds);
    most = std::max(most, seconds);
  }
  const Variant &sigma = variant("sigma"), &std = variant("std");
  const auto stored = [](const Variant& v) { return step_cost(v.config, {}, v.cost_case(1, 1)).cache_bytes_stored(); };
  Table table{.head = {"figure", "the paper's (H100)", "here"}};
  table.rows = {
      {"total cost saved, at most", fmt::format("{}% (outputs of 64k)", paper::kTotalGain), gain_text(best_total)},
      {fmt::format("cache part saved, prefix {} and output {}", tokens_text(prefix), tokens_text(output)),
       fmt::format("{}% (copies the whole cache each step)", paper::kCacheGain),
       fmt::format("{} of store time, {} of stored bytes; a paged cache has no load phase", gain_text(corner.store),
                   percent(gain_over(stored(sigma), stored(std))))},
      {"attention computation saved, at most", fmt::format("{}%", paper::kAttentionGain), gain_text(best_attention)},
      {"augmented Q, a step at any context", "the same",
       fmt::format("{} to {} in bf16", duration(least), duration(most))},
      {"outputs of 2k: Sigma cheaper from a prefix of", tokens_text(paper::kCrossoverPrefix),
       fmt::format("{} (bf16), {} (q8_0), {} (q4_0)",
                   tokens_or(crossover_prefix(results, "sigma", Format::bf16, 2048), "none up to 128k"),
                   tokens_or(crossover_prefix(results, "sigma", Format::q8_0, 2048), "none up to 128k"),
                   tokens_or(crossover_prefix(results, "sigma", Format::q4_0, 2048), "none up to 128k"))},
      {"no prefix: Sigma cheaper from an output of", "64k at the latest",
       fmt::format("{} (bf16), {} (q8_0), {} (q4_0)",
                   tokens_or(crossover_output(results, "sigma", Format::bf16, 0), "none up to 128k"),
                   tokens_or(crossover_output(results, "sigma", Format::q8_0, 0), "none up to 128k"),
                   tokens_or(crossover_output(results, "sigma", Format::q4_0, 0), "none up to 128k"))},
  };
  return table;
}

Plot generation_plot(const Results& results) {
  LineChart chart{.name = "generations",
                  .title = "Cost of the attention layer saved over a generation, augmented Q in bf16",
                  .x_label = "average context of the generation",
                  .y_label = "% of STD's cost saved",
                  .y_low = -100,
                  .levels = {{paper::kLimit * 100, "37.5%"}, {0, "break even"}}};
  int colour = 1;
  for (const int64_t output : results.grid.outputs) {
    Series s{.name = tokens_text(output) + " tokens generated", .colour = colour++};
    for (const int64_t prefix : results.grid.prefixes) {
      const Interval gain = gains_of(results, "sigma", Format::bf16, prefix, output).total;
      s.x.push_back(static_cast<double>(prefix) + static_cast<double>(output) / 2);
      s.y.push_back(100 * gain.median);
      s.low.push_back(100 * gain.low);
      s.high.push_back(100 * gain.high);
    }
    chart.series.push_back(s);
  }
  return {chart.name, to_svg(chart)};
}

}  // namespace

Section generation_section(const Results& results) {
  if (generation(results, "sigma", Format::bf16, 0, results.grid.outputs.front()).store.empty()) return {};
  Section section{.title = "Elapsed time of the attention layer (CEET) over whole generations"};
  section.paragraphs = {
      "Cache store, attention and (Sigma only) the augmented query, summed over every token of a generation; the q, k, "
      "v and output projections are not in it, as in the paper. Steps are measured at sampled contexts and integrated.",
      "A paged cache is read in place: it has no load phase, and storing a token takes the same time at every context. "
      "The paper's cache part is a copy of the whole cache at every step, which follows the bytes; ours is stored "
      "bytes."};
  section.tables.push_back(headline_table(results));
  for (const Format format : {Format::bf16, Format::q8_0}) {
    Table table = gain_table(results, "sigma", format);
    table.head[0] = fmt::format("Sigma, augmented Q in {}: output \\ prefix", format_name(format));
    section.tables.push_back(table);
  }
  Table selective = gain_table(results, "v_top", Format::bf16);
  selective.head[0] = "Sigma with v-top 100, augmented Q in bf16: output \\ prefix";
  section.tables.push_back(selective);
  section.plots.push_back(generation_plot(results));
  return section;
}

Section agreement_section(const Results& results) {
  if (!results.whole_done()) return {};
  Section section{.title = "Sampled against whole"};
  section.paragraphs = {
      fmt::format("A generation of {} tokens without a prefix, chosen before anything was measured as the longest that "
                  "should take no more than {:g} min, was run whole: every token, the caches of all {} layers, "
                  "augmented Q in q8_0.",
                  results.whole_output, results.grid.whole_seconds / 60, variants()[0].config.layers),
      "After every eighth step those at the two sampled contexts around were measured in the same caches and "
      "integrated. Medians are compared with medians: of every 64 steps and of the samples among them; the plain sum "
      "has the moments in which other programs ran, too. The last column is the integral over "
      "rings of buffers, as every other figure here, measured at other times: it is scaled by the read bandwidth "
      "beside each."};
  Table table{.head = {"", "sum of every step", "each as the median of 64", "integrated", "difference", "from rings"}};
  const Agreement std = agreement(results, "std"), sigma = agreement(results, "sigma");
  for (const auto& [title, a] : {std::pair(variant("std").title, std), std::pair(variant("sigma").title, sigma)})
    table.rows.push_back({title, duration(a.seconds), duration(a.typical), duration(a.integrated),
                          fmt::format("{:+.1f}%", a.error() * 100),
                          fmt::format("{} ({:+.1f}%)", duration(a.rings), (a.rings / a.typical - 1) * 100)});
  const double gain = gain_over(sigma.typical, std.typical), sampled = gain_over(sigma.integrated, std.integrated);
  table.rows.push_back({"saved", percent(gain_over(sigma.seconds, std.seconds)), percent(gain), percent(sampled),
                        fmt::format("{:+.1f} points", (sampled - gain) * 100),
                        percent(gain_over(sigma.rings, std.rings))});
  section.tables.push_back(table);
  return section;
}

}  // namespace sigma::bench
