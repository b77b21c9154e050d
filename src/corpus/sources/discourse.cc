// Discourse forums: a topic a file, as /t/ID.json gives it: {id, title, slug, post_stream: {posts: [{cooked, ...}]}}.
#include "corpus/extract.h"
#include "corpus/json_view.h"
#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

void read_topic(const SourceConfig& config, JsonView topic, const std::string& name, Sink& sink) {
  const auto id = topic.integer("id");
  const auto stream = topic.find("post_stream");
  const auto posts = stream ? stream->find("posts") : std::nullopt;
  if (!id || !posts) return sink.skip("discourse: not a topic", name);
  Document d;
  d.id = fmt::format("{}", *id);
  d.title = topic.text("title");
  d.url = config.url_prefix + "/t/" + d.id;
  d.text = "# " + d.title + "\n";
  int count = 0;
  posts->elements([&](JsonView post) {
    if (post.integer("post_type").value_or(1) != 1) return;  // actions of moderators
    const std::string text = html_fragment_text(post.text("cooked"));
    if (text.empty()) return;
    d.text.append(count++ == 0 ? "\n" : "\n## Reply\n\n").append(text);
  });
  if (count == 0) return sink.skip("discourse: a topic without text", d.id);
  d.metadata = {{"posts", fmt::format("{}", count)}, {"created", std::string(topic.text("created_at"))}};
  sink.document(d);
}

}  // namespace

void read_discourse(const SourceConfig& config, const Unit& unit, Sink& sink) {
  JsonParser parser;
  for (const std::string& path : unit.files) {
    try {
      ArchiveReader archive(path, ArchiveReader::Content::one_file);
      ArchiveReader::Member member;
      const std::string text = archive.next(member) ? to_utf8(archive.read_all(uint64_t{64} << 20)) : std::string();
      const auto root = parser.parse(text);
      if (!root) throw Error(path, "JSON", parser.fault());
      read_topic(config, *root, path.substr(path.rfind('/') + 1), sink);
    } catch (const Stop&) {
      throw;
    } catch (const Error& e) {
      sink.skip("discourse: a damaged file", e.what());
    }
  }
}

}  // namespace sigma::corpus
