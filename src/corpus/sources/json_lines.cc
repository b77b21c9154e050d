// JSON lines with a text each, as dolma (and this program) writes them: {id, text, source, created, metadata}.
#include "corpus/json_lines.h"

namespace sigma::corpus {

void read_json_lines(const SourceConfig& config, const Unit& unit, Sink& sink) {
  uint64_t number = 0;
  each_json_line(unit.files.at(0), "json_lines", sink, [&](JsonView line) {
    ++number;
    Document d;
    const auto id = line.integer("id");
    d.id = id ? fmt::format("{}", *id) : std::string(line.text("id"));
    if (d.id.empty()) d.id = fmt::format("{}:{}", unit.files[0].substr(unit.files[0].rfind('/') + 1), number);
    d.text = line.text("text");
    if (d.text.empty()) return sink.skip("json_lines: a line without text", d.id);
    if (const std::string_view category = line.text("category"); is_category(category)) d.category = category;
    d.licence = line.text("licence");
    d.title = line.text("title");
    d.url = line.text("url").empty() ? config.url_prefix + d.id : std::string(line.text("url"));
    if (const auto metadata = line.find("metadata")) {
      metadata->members([&](std::string_view key, JsonView value) {
        const auto whole = value.as_integer();
        const std::string text = whole ? fmt::format("{}", *whole) : std::string(value.as_text());
        if ((key == "license" || key == "licence") && d.licence.empty()) d.licence = text;
        if (!text.empty() && d.metadata.size() < 32) d.metadata.emplace_back(key, text);
      });
    }
    sink.document(d);
  });
}

}  // namespace sigma::corpus
