#include "bench/efficiency/report.h"

#include <filesystem>

#include "base/file.h"
#include "base/fmt.h"
#include "bench/efficiency/sections.h"
#include "bench/efficiency/svg.h"
#include "text/markup.h"

namespace sigma::bench {

namespace {

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1060px;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.7rem}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #ddd;padding-bottom:.3rem}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:13px;display:block;overflow-x:auto}"
    "th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #eee;vertical-align:top}"
    "th{background:#f6f6f6;font-weight:600}td{font-variant-numeric:tabular-nums}"
    "svg{max-width:100%;height:auto;margin:.6rem 0}b{color:#b00020}";

// **bold** is the only mark that cells have.
std::string html_cell(const std::string& text) {
  const bool bold = text.size() > 4 && text.starts_with("**") && text.ends_with("**");
  return bold ? "<b>" + escape_html(text.substr(2, text.size() - 4)) + "</b>" : escape_html(text);
}

std::string html_row(const std::vector<std::string>& cells, const char* tag) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) out += fmt::format("<{0}>{1}</{0}>", tag, html_cell(cell));
  return out + "</tr>\n";
}

std::string text_row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) out += " " + cell + " |";
  return out + "\n";
}

Json interval_json(const Interval& interval) {
  return {{"median", interval.median}, {"low", interval.low}, {"high", interval.high}};
}

Json step_json(const Step& s, const std::string& name) {
  return {{"variant", name},
          {"prefix", s.prefix},
          {"batch", s.batch},
          {"seconds", interval_json(s.seconds)},
          {"split", interval_json(s.split)},
          {"combine", interval_json(s.combine)},
          {"store", interval_json(s.store)},
          {"gain", interval_json(s.gain)},
          {"theory", s.theory},
          {"bytes", s.bytes},
          {"flops", s.flops},
          {"share", s.share},
          {"predicted", s.predicted},
          {"off", s.off}};
}

Json generations_json(const Results& results) {
  Json list = Json::array();
  for (const Format format : results.grid.weights)
    for (const int64_t prefix : results.grid.prefixes)
      for (const int64_t output : results.grid.outputs) {
        const Generation ours = generation(results, "sigma", format, prefix, output),
                         theirs = generation(results, "std", format, prefix, output);
        list.push_back({{"weights", format_info(format).name},
                        {"prefix", prefix},
                        {"output", output},
                        {"std_seconds", interval_json(interval_of(theirs.total()))},
                        {"sigma_seconds", interval_json(interval_of(ours.total()))},
                        {"gain", interval_json(gain_of(ours.total(), theirs.total()))},
                        {"attention_gain", interval_json(gain_of(ours.attention, theirs.attention))}});
      }
  return list;
}

Json break_evens_json(const Results& results) {
  Json list = Json::array();
  for (const Variant& v : variants()) {
    if (!v.augmented()) continue;
    for (const Format format : results.grid.weights)
      for (const int64_t batch : {int64_t{1}, results.grid.batch}) {
        const BreakEven found = break_even(results, v.name, format, batch);
        list.push_back({{"variant", v.name},
                        {"weights", format_info(format).name},
                        {"batch", batch},
                        {"computed", found.computed ? Json(*found.computed) : Json(nullptr)},
                        {"measured", found.measured ? interval_json(*found.measured) : Json(nullptr)}});
      }
  }
  return list;
}

}  // namespace

std::string text_report(const Results& results) {
  std::string out;
  for (const Section& section : sections_of(results)) {
    out += fmt::format("{}## {}\n\n", out.empty() ? "" : "\n", section.title);
    for (const std::string& paragraph : section.paragraphs) out += paragraph + "\n\n";
    for (const Table& table : section.tables) {
      out += text_row(table.head) + text_row(std::vector<std::string>(table.head.size(), "---"));
      for (const auto& row : table.rows) out += text_row(row);
      out += "\n";
    }
    for (const Plot& plot : section.plots) out += fmt::format("![{0}](efficiency/{0}.svg)\n\n", plot.name);
  }
  return out;
}

std::string html_report(const Results& results) {
  const std::vector<Section> sections = sections_of(results);
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>{}</title>\n<style>{}</style></head><body>\n",
      escape_html(sections.front().title), kStyle);
  for (const Section& section : sections) {
    out += fmt::format("<{0}>{1}</{0}>\n", &section == &sections.front() ? "h1" : "h2", escape_html(section.title));
    for (const std::string& paragraph : section.paragraphs) out += "<p>" + escape_html(paragraph) + "</p>\n";
    for (const Plot& plot : section.plots) out += plot.svg;
    for (const Table& table : section.tables) {
      out += "<table>\n" + html_row(table.head, "th");
      for (const auto& row : table.rows) out += html_row(row, "td");
      out += "</table>\n";
    }
  }
  return out + "</body></html>\n";
}

Json findings_json(const Results& results) {
  Json steps = Json::array();
  for (const StepCell& cell : results.steps)
    for (const Variant& v : variants())
      if (const auto step = find_step(results, v.name, cell.prefix, cell.batch))
        steps.push_back(step_json(*step, v.name));
  Json quality = Json::array(), memory = Json::array();
  for (const QualityCell& cell : results.quality) quality.push_back(to_json(cell));
  for (const MemoryCell& cell : results.memory) memory.push_back(to_json(cell));
  Json whole;
  if (results.whole_done())
    for (const char* name : {"std", "sigma"}) {
      const Agreement a = agreement(results, name);
      whole[name] = {{"every_step", a.seconds},
                     {"typical", a.typical},
                     {"integrated", a.integrated},
                     {"rings", a.rings},
                     {"error", a.error()}};
    }
  return {{"request", results.header.at("request")},
          {"attention", steps},
          {"generations", generations_json(results)},
          {"break_even", break_evens_json(results)},
          {"whole_generation", whole},
          {"memory", memory},
          {"quality", quality}};
}

void write_plots(const Results& results, const std::string& folder) {
  std::filesystem::create_directories(folder + "/efficiency");
  for (const Section& section : sections_of(results))
    for (const Plot& plot : section.plots) write_file(folder + "/efficiency/" + plot.name + ".svg", plot.svg);
}

}  // namespace sigma::bench
