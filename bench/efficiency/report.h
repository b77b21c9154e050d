// The findings of a study for people and for machines.
#pragma once

#include <string>

#include "bench/efficiency/analysis.h"

namespace sigma::bench {

std::string text_report(const Results& results);  // tables, in Markdown
std::string html_report(const Results& results);  // one file with its plots, no network
Json findings_json(const Results& results);       // docs/schemas/efficiency.json
// The plots alone, FOLDER/NAME.svg.
void write_plots(const Results& results, const std::string& folder);

}  // namespace sigma::bench
