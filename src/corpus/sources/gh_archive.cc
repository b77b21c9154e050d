// GH Archive: public events of GitHub, an hour a file, an event a line. An issue and the comments on it that lie in one
// batch of files are one document.
#include <algorithm>
#include <set>

#include "corpus/grouper.h"
#include "corpus/json_lines.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

bool is_bot(std::string_view login) { return login.ends_with("[bot]") || login.ends_with("-bot"); }

struct Parts {
  std::string repository, number, title, body, labels, created;
  std::vector<std::string> comments;
};

// Fields that end in NUL: kind (issue or comment), repository, number, title, body, labels, date, id of the comment.
void add_event(JsonView event, Grouper& grouper, Sink& sink) {
  const std::string_view type = event.text("type");
  if (type != "IssuesEvent" && type != "IssueCommentEvent")
    return sink.skip("gh_archive: an event of another type", std::string(type));
  const auto payload = event.find("payload"), repository = event.find("repo"), actor = event.find("actor");
  const auto issue = payload ? payload->find("issue") : std::nullopt;
  const auto comment = payload ? payload->find("comment") : std::nullopt;
  const auto number = issue ? issue->integer("number") : std::nullopt;
  if (!number || !repository) return sink.skip("gh_archive: an event without its issue", std::string(event.text("id")));
  const std::string name(repository->text("name"));
  const std::string shown = fmt::format("{}#{}", name, *number);
  if (issue->find("pull_request")) return sink.skip("gh_archive: about a pull request", shown);
  if (actor && is_bot(actor->text("login"))) return sink.skip("gh_archive: by a program", shown);
  std::string labels;
  if (const auto list = issue->find("labels"))
    list->elements([&](JsonView label) { labels.append(labels.empty() ? "" : ", ").append(label.text("name")); });
  const bool is_comment = type == "IssueCommentEvent";
  const std::string id = is_comment && comment ? fmt::format("{}", comment->integer("id").value_or(0)) : "";
  std::string record;
  const std::string_view fields[] = {issue->text("title"),
                                     issue->text("body"),
                                     labels,
                                     issue->text("created_at"),
                                     id,
                                     is_comment && comment ? comment->text("body") : ""};
  const std::string key_number = fmt::format("{}", *number);
  for (const std::string_view field : {std::string_view(name), std::string_view(key_number)})
    record.append(field) += '\0';
  for (const std::string_view field : fields) {
    std::string clean(field);
    std::erase(clean, '\0');
    record.append(clean) += '\0';
  }
  grouper.add(hash_bytes(shown), record);
}

void emit(const std::vector<std::string_view>& records, Sink& sink) {
  Document d;
  std::string first_repository, number, body;
  std::set<std::string, std::less<>> seen;
  std::string comments;
  for (const std::string_view record : records) {
    std::vector<std::string_view> f;
    for (std::string_view rest = record; !rest.empty();) {
      const size_t end = rest.find('\0');
      f.push_back(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    if (f.size() != 8) continue;
    if (first_repository.empty()) first_repository = f[0], number = f[1];
    if (f[0] != first_repository || f[1] != number) continue;  // another issue with the same hash
    d.title = f[2];
    body = f[3];  // as it was last
    d.metadata = {{"repository", first_repository}, {"labels", std::string(f[4])}, {"created", std::string(f[5])}};
    if (!f[7].empty() && seen.insert(std::string(f[6])).second)
      comments.append("\n## Comment\n\n").append(f[7]) += '\n';
  }
  d.id = first_repository + "#" + number;
  if (is_blank(body) && comments.empty()) return sink.skip("gh_archive: an issue without text", d.id);
  d.url = "https://github.com/" + first_repository + "/issues/" + number;
  d.text = "# " + d.title + "\n\n" + body + "\n" + comments;
  sink.document(d);
}

}  // namespace

void read_gh_archive(const SourceConfig&, const Unit& unit, Sink& sink) {
  Grouper grouper(unit.scratch, unit.bytes);
  for (const std::string& path : unit.files) {
    try {
      each_json_line(path, "gh_archive", sink, [&](JsonView event) { add_event(event, grouper, sink); });
    } catch (const Stop&) {
      throw;
    } catch (const Error& e) {
      sink.skip("a damaged input", e.what());
    }
  }
  grouper.each([&](uint64_t, const std::vector<std::string_view>& records) { emit(records, sink); });
}

}  // namespace sigma::corpus
