// What every source turns its input into, and every later stage reads: one text with where it comes from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sigma::corpus {

// The fifteen categories of system-domain text.
inline constexpr std::string_view kCategories[] = {
    "papers",         "arxiv",         "blogs",      "forums", "stack_overflow",
    "stack_exchange", "github_issues", "commands",   "cloud",  "hardware",
    "databases",      "networking",    "containers", "hpc",    "kernel",
};
bool is_category(std::string_view name);

struct Document {
  std::string id;        // unique within its source
  std::string source;    // the name of the [[source]] it came from
  std::string category;  // one of kCategories
  std::string licence;   // as its source states it; "unknown" when it does not
  std::string url;       // or the path of the file within its input
  std::string title;
  std::string text;  // UTF-8
  std::vector<std::pair<std::string, std::string>> metadata;
};

// One line of JSON (no line feed), with the keys of the struct in its order. The form of dolma: its readers find id,
// source and text where they expect them.
void append_json_line(std::string& out, const Document& document);
void append_json_string(std::string& out, std::string_view text);  // quoted; `text` is UTF-8

}  // namespace sigma::corpus
