// Stage 1: inputs to documents.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/text_util.h"
#include "net/digest.h"
#include "text/unicode.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kForm = "extract 1";  // changes when the same input gives other documents
constexpr uint64_t kPartBytes = uint64_t{64} << 20;
constexpr size_t kLongestName = 1024;

class PartSink : public Sink {
 public:
  PartSink(const SourceConfig& source, std::string path) : source_(source), path_(std::move(path)) {}

  void document(Document& document) override {
    document.source = source_.name;
    if (document.category.empty()) document.category = source_.category;
    if (document.licence.empty()) document.licence = source_.licence;
    for (std::string* text : {&document.id, &document.licence, &document.url, &document.title}) tidy(*text);
    for (auto& [key, value] : document.metadata) tidy(value);
    if (!unicode::is_utf8(document.text)) document.text = to_utf8(document.text);
    try {
      if (writer_ && writer_->text_bytes() >= kPartBytes) finish_part();
      if (!writer_) writer_.emplace(path_ + fmt::format("-{:04}.jsonl.zst", counts_.size()));
      writer_->write(document);
    } catch (const Error& e) {
      throw Stop(e);
    }
    tally.out(document);
  }
  void skip(const std::string& reason, const std::string& what) override { tally.skip(reason, what); }

  // The number of documents of each part; at least one part.
  std::vector<uint64_t> finish() {
    try {
      if (!writer_ && counts_.empty()) writer_.emplace(path_ + "-0000.jsonl.zst");
      if (writer_) finish_part();
    } catch (const Error& e) {
      throw Stop(e);
    }
    return counts_;
  }

  Tally tally;

 private:
  static void tidy(std::string& text) {
    if (!unicode::is_utf8(text)) text = to_utf8(text);
    text.resize(cut_text(text, kLongestName).size());
  }
  void finish_part() {
    writer_->commit();
    counts_.push_back(writer_->documents());
    writer_.reset();
  }
  const SourceConfig& source_;
  std::string path_;
  std::optional<DocumentWriter> writer_;
  std::vector<uint64_t> counts_;
};

// SHA-256 of a file; empty when it cannot be read (its reader will say so).
std::string file_digest(const std::string& path) {
  try {
    const MappedFile file(path);
    Digest digest(Digest::Kind::sha256);
    digest.update(file.text());
    return digest.hex();
  } catch (const Error&) {
    return {};
  }
}

struct Task {
  size_t source;
  Unit unit;
  std::string key;
};

// Paths, sizes and times of its files: enough to see that they are the same.
std::string unit_key(const SourceConfig& source, const Unit& unit) {
  std::vector<std::string> texts = {std::string(kForm), source.name,       source.kind,    source.category,
                                    source.licence,     source.url_prefix, source.metadata};
  for (const std::string& file : unit.files) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) continue;
    texts.push_back(fmt::format("{} {} {}.{}", file, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec));
  }
  return Build::key_of(texts);
}

Json read_unit(const SourceConfig& source, const Unit& unit, const std::string& path) {
  PartSink sink(source, path);
  Json inputs = Json::array();
  if (unit.files.size() == 1)
    inputs.push_back({{"source", source.name},
                      {"file", std::filesystem::path(unit.files[0]).filename().string()},
                      {"bytes", unit.bytes},
                      {"sha256", file_digest(unit.files[0])}});
  else
    inputs.push_back({{"source", source.name}, {"files", unit.files.size()}, {"bytes", unit.bytes}});
  try {
    source_kind(source.kind, source.name).read(source, unit, sink);
  } catch (const Stop&) {
    throw;
  } catch (const Error& e) {  // what was read before it stays
    sink.skip("a damaged input", e.what());
  }
  const std::vector<uint64_t> counts = sink.finish();
  return {{"parts", counts}, {"inputs", inputs}, {"tally", sink.tally.json()}};
}

}  // namespace

std::vector<Part> extract_stage(Build& build) {
  const std::string folder = build.folder("1-extract");
  const auto& sources = build.options().config.sources;
  std::vector<Task> tasks;
  for (size_t s = 0; s < sources.size(); ++s)
    for (Unit& unit : list_units(sources[s])) tasks.push_back({s, std::move(unit), ""});
  std::vector<size_t> order(tasks.size());  // the largest first, so that none is left to the end
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tasks[a].unit.bytes > tasks[b].unit.bytes; });

  std::vector<std::vector<Part>> parts(tasks.size());
  std::vector<Tally> tallies(tasks.size());
  build.parallel("extract", tasks.size(), [&](size_t i, int) {
    const size_t number = order[i];
    Task& task = tasks[number];
    const SourceConfig& source = sources[task.source];
    task.key = unit_key(source, task.unit);
    const std::string path = folder + fmt::format("/{:05}", number);
    task.unit.scratch = path + ".scratch";
    Json record = Build::record(path + ".json", task.key);
    const bool done = !record.is_null();
    if (!done) {
      record = read_unit(source, task.unit, path);
      Build::write_record(path + ".json", task.key, record);
    }
    tallies[number] = Tally::from_json(record.at("tally"));
    for (const Json& documents : record.at("parts"))
      parts[number].push_back({.source = task.source,
                               .name = fmt::format("{:05}-{:04}", number, parts[number].size()),
                               .documents = documents.get<uint64_t>(),
                               .key = task.key});
    const std::lock_guard lock(build.mutex);
    ++(done ? build.tasks_kept : build.tasks_done);
  });
  std::vector<Tally>& stage = build.tally("extract");
  std::vector<Part> all;
  for (size_t i = 0; i < tasks.size(); ++i) {
    stage[tasks[i].source].merge(tallies[i]);
    for (Part& part : parts[i]) all.push_back(std::move(part));
  }
  return all;
}

}  // namespace sigma::corpus
