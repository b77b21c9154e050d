// The report as sections of prose, tables and plots, from which the text and the HTML form are made.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bench/efficiency/analysis.h"

namespace sigma::bench {

struct Table {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};
struct Plot {
  std::string name, svg;  // name: of a file, without its ending
};
struct Section {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<Table> tables;
  std::vector<Plot> plots;
};

std::vector<Section> sections_of(const Results& results);

// One of them each; empty titles where nothing was measured.
Section kernel_section(const Results& results);      // KET beside the paper's
Section variant_section(const Results& results);     // every variant against STD
Section bandwidth_section(const Results& results);   // bytes, share of the limit, prediction
Section cached_section(const Results& results);      // what is left without memory
Section generation_section(const Results& results);  // CEET
Section agreement_section(const Results& results);   // sampled against whole
Section step_section(const Results& results);        // weights included, break-even
Section memory_section(const Results& results);
Section quality_section(const Results& results);

// --- How numbers are written ---

std::string percent(double part, int digits = 1);  // 0.375 -> "37.5%"
std::string gain_text(const Interval& gain);       // "36.1% (35.2 - 36.9)"
std::string duration(double seconds);              // with a unit that suits it
std::string tokens_text(int64_t tokens);           // 32768 -> "32k"

}  // namespace sigma::bench
