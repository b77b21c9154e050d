// Papers as S2ORC has them ({corpusid, content: {text, annotations}}) and as peS2o has them ({id, text, ...}), a line
// each.
#include "corpus/json_lines.h"

namespace sigma::corpus {

namespace {

// annotations.title is JSON in a text: [{"start": 0, "end": 12}], counted in characters.
std::string annotated_title(JsonView content, std::string_view text) {
  const auto annotations = content.find("annotations");
  const std::string spans(annotations ? annotations->text("title") : "");
  JsonParser parser;
  std::string title;
  if (const auto root = parser.parse(spans); !spans.empty() && root) {
    root->elements([&](JsonView span) {
      const auto begin = span.integer("start"), end = span.integer("end");
      if (!title.empty() || !begin || !end || *begin < 0 || *end < *begin || *end - *begin > 1000) return;
      int64_t at = 0;
      for (const char c : text) {
        if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++at;  // the character that begins here is number at - 1
        if (at > *end) break;
        if (at > *begin) title += c;
      }
    });
  }
  return title;
}

}  // namespace

void read_papers(const SourceConfig& config, const Unit& unit, Sink& sink) {
  each_json_line(unit.files.at(0), "papers", sink, [&](JsonView paper) {
    Document d;
    if (const auto content = paper.find("content"); content && content->is_object()) {
      d.id = fmt::format("{}", paper.integer("corpusid").value_or(0));
      d.text = content->text("text");
      d.title = annotated_title(*content, d.text);
      if (const auto source = content->find("source")) {
        if (const auto open = source->find("oainfo")) d.licence = open->text("license");
      }
    } else {
      const auto number = paper.integer("id");
      d.id = number ? fmt::format("{}", *number) : std::string(paper.text("id"));
      d.text = paper.text("text");
      d.title = paper.text("title");
    }
    if (d.id.empty() || d.id == "0")
      return sink.skip("papers: a line without an id", std::string(d.text.substr(0, 60)));
    if (d.text.empty()) return sink.skip("papers: a line without text", d.id);
    d.url = config.url_prefix + d.id;
    d.metadata = {{"created", std::string(paper.text("created"))}};
    sink.document(d);
  });
}

}  // namespace sigma::corpus
