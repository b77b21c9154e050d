#include "bench/efficiency/sections.h"

#include <cmath>
#include <utility>

#include "base/fmt.h"
#include "bench/efficiency/paper.h"

namespace sigma::bench {

namespace {

// A claim, whether it holds here, and the figures.
std::vector<std::string> verdict(const std::string& claim, bool holds, const std::string& figures) {
  return {claim, holds ? "yes" : "**no**", figures};
}

// Of every variant and context above 4k.
std::vector<std::string> prediction_verdict(const Results& results, bool selective) {
  double worst = 0;
  std::string where;
  int predictions = 0, within = 0;
  for (const int64_t prefix : prefixes_of(results, 1))
    for (const Variant& v : variants()) {
      if (prefix <= 4096 || (v.v_top > 0) != selective) continue;
      const double off = std::fabs(find_step(results, v.name, prefix, 1)->off);
      ++predictions;
      within += off <= 0.15 ? 1 : 0;
      if (off > worst) worst = off, where = fmt::format("{} at {}", v.title, tokens_text(prefix));
    }
  if (predictions == 0) return {};
  return verdict(fmt::format("attention above 4k takes what the cost model predicts, within 15%: {}",
                             selective ? "selective V" : "all rows"),
                 within == predictions,
                 fmt::format("{} of {}; at most {} off ({})", within, predictions, percent(worst), where));
}

Section summary_section(const Results& results) {
  const Grid& grid = results.grid;
  const Json& request = results.header.at("request");
  Section section{.title = "Efficiency of DiffQKV on this machine"};
  section.paragraphs = {
      fmt::format("{}, {} kernels; {} study. Sigma-1.5B (32/4/16 heads, augmented Q 3,072) against STD (32/16/16) and "
                  "against itself: "
                  "26 layers, head dimension 64, bf16 caches unless said otherwise. All variants take turns layer by "
                  "layer, so that "
                  "what the machine does meanwhile hits all alike; layers share rings of buffers of {} MiB and more, "
                  "so that nothing "
                  "is read out of the processor's caches that would not be in a real model.",
                  request.at("machine").get<std::string>(), request.at("kernels").get<std::string>(),
                  grid.quick ? "quick" : "full", grid.ring_bytes >> 20)};
  Table table{.head = {"claim", "holds here", "measured"}};
  for (const int64_t prefix : {int64_t{32768}, int64_t{65536}})
    if (const auto s = find_step(results, "sigma", prefix, 1))
      table.rows.push_back(
          verdict(fmt::format("attention at {}: within 2 points of the 37.5% that bytes say", tokens_text(prefix)),
                  s->gain.median >= paper::kLimit - 0.02, gain_text(s->gain)));
  if (const auto s = find_step(results, "repeated", 32768, 1))
    table.rows.push_back(verdict("repeating K rows to V's heads gives the whole saving back",
                                 s->gain.low <= 0 && s->gain.median < 0.05, gain_text(s->gain) + " at 32k"));
  if (const auto s = find_step(results, "v_top", 32768, 1))
    table.rows.push_back(
        verdict("v-top 100 saves 87% of attention at 32k", s->gain.median >= 0.85, gain_text(s->gain)));
  for (const bool selective : {false, true})
    if (auto row = prediction_verdict(results, selective); !row.empty()) table.rows.push_back(std::move(row));
  if (results.whole_done()) {
    const double std = agreement(results, "std").error(), sigma = agreement(results, "sigma").error();
    table.rows.push_back(verdict(fmt::format("a generation of {} from samples agrees with every step of it, within 3%",
                                             tokens_text(results.whole_output)),
                                 std::fabs(std) <= 0.03 && std::fabs(sigma) <= 0.03,
                                 fmt::format("{:+.1f}% STD, {:+.1f}% Sigma", std * 100, sigma * 100)));
  }
  for (const Format format : grid.weights) {
    const BreakEven found = break_even(results, "sigma", format, 1);
    if (!found.computed) continue;
    table.rows.push_back({fmt::format("whole step, {} weights: Sigma wins from {} tokens (bytes)",
                                      std::string(format_info(format).name), *found.computed),
                          found.measured ? "measured" : "**no**",
                          found.measured ? fmt::format("from {:.0f} ({:.0f} - {:.0f})", found.measured->median,
                                                       found.measured->low, found.measured->high)
                                         : "at no measured context"});
  }
  section.tables = {table};
  return section;
}

}  // namespace

std::string percent(double part, int digits) { return fmt::format("{:.{}f}%", part * 100, digits); }

std::string gain_text(const Interval& gain) {
  return fmt::format("{} ({:.1f} - {:.1f})", percent(gain.median), gain.low * 100, gain.high * 100);
}

std::string duration(double seconds) {
  if (seconds >= 100) return fmt::format("{:.0f} s", seconds);
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 0.1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

std::string tokens_text(int64_t tokens) {
  return tokens >= 1024 && tokens % 1024 == 0 ? fmt::format("{}k", tokens / 1024) : fmt::format("{}", tokens);
}

std::vector<Section> sections_of(const Results& results) {
  std::vector<Section> sections = {summary_section(results)};
  if (results.find(results.grid.samples.front(), 1) == nullptr) return sections;
  for (const auto make : {kernel_section, variant_section, bandwidth_section, cached_section, generation_section,
                          agreement_section, step_section, memory_section, quality_section}) {
    Section section = make(results);
    if (!section.title.empty()) sections.push_back(std::move(section));
  }
  return sections;
}

}  // namespace sigma::bench
