// Stage 1: inputs to documents in one form of characters and lines, and what rules and classifiers ask of them.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "corpus/clean.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/text_util.h"
#include "net/digest.h"
#include "text/unicode.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kForm = "extract 6";  // changes when the same input gives other documents
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
    Document words{.id = document.id, .source = document.source, .category = document.category};
    words.metadata = {{"fingerprint", text_fingerprint(document.text)}};
    const Cleaned cleaned = clean_text(document.text);
    clean_text(document.title);
    document.title = trim(document.title);
    words.text = classifier_words(document.text, kClassifierBytes);
    tally.notes["boilerplate lines"] += cleaned.boilerplate_lines;
    tally.notes["repeated lines"] += cleaned.repeated_lines;
    const Measures measures = measurer_.measure(document.text);
    try {
      if (part_ && part_->documents.text_bytes() >= kPartBytes) finish_part();
      if (!part_) part_.emplace(path_ + fmt::format("-{:04}", counts_.size()));
      part_->documents.write(document);
      part_->words.write(words);
      part_->measures.write(std::as_bytes(std::span(&measures, 1)));
    } catch (const Error& e) {
      throw Stop(e);
    }
    tally.out(document);
  }
  void skip(const std::string& reason, const std::string& what) override { tally.skip(reason, what); }

  // The number of documents of each part; at least one part.
  std::vector<uint64_t> finish() {
    try {
      if (!part_ && counts_.empty()) part_.emplace(path_ + "-0000");
      if (part_) finish_part();
    } catch (const Error& e) {
      throw Stop(e);
    }
    return counts_;
  }

  Tally tally;

 private:
  struct Files {
    explicit Files(const std::string& path)
        : documents(path + ".jsonl.zst"), words(path + ".words.zst"), measures(path + ".measures") {}
    DocumentWriter documents, words;
    FileWriter measures;
  };
  static void tidy(std::string& text) {
    if (!unicode::is_utf8(text)) text = to_utf8(text);
    text.resize(cut_text(text, kLongestName).size());
  }
  void finish_part() {
    part_->documents.commit();
    part_->words.commit();
    part_->measures.commit();
    counts_.push_back(part_->documents.documents());
    part_.reset();
  }
  const SourceConfig& source_;
  std::string path_;
  std::optional<Files> part_;
  Measurer measurer_;
  std::vector<uint64_t> counts_;
};

// Empty when it cannot be read (its reader will say so).
std::string file_digest(const std::string& path) {
  try {
    return sha256_of_file(path);
  } catch (const Error&) {
    return {};
  }
}

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
  if (sink.tally.documents_out == 0 && sink.tally.drops.empty()) sink.skip("an input without documents", unit.files[0]);
  if (const auto damaged = sink.tally.drops.find("a damaged input"); damaged != sink.tally.drops.end())
    inputs[0]["damaged"] = damaged->second.example;
  const std::vector<uint64_t> counts = sink.finish();
  return {{"parts", counts}, {"inputs", inputs}, {"tally", sink.tally.json()}};
}

}  // namespace

std::string text_fingerprint(std::string_view text) { return fmt::format("{:016x}", hash_bytes(text)); }

void read_measured(const Build& build, const Part& part, const char* suffix,
                   const std::function<void(Document&, const Measures&)>& f) {
  const std::string path = build.options().work + "/1-extract/" + part.name;
  const Records<Measures> measures(path + ".measures");
  size_t i = 0;
  read_documents(path + suffix, [&](Document& d) {
    if (i == measures.all().size()) throw Error(path + ".measures", "measures of every document", "fewer");
    f(d, measures.all()[i++]);
  });
}

std::vector<Part> extract_stage(Build& build) {
  const std::string folder = build.folder("1-extract");
  const auto& sources = build.options().config.sources;
  std::vector<Task> tasks;
  std::vector<Unit> units;
  std::vector<size_t> source_of;
  for (size_t s = 0; s < sources.size(); ++s)
    for (Unit& unit : list_units(sources[s])) {
      const std::string path = folder + fmt::format("/{:05}", units.size());
      unit.scratch = path + ".scratch";
      tasks.push_back({.record = path + ".json", .key = unit_key(sources[s], unit), .bytes = unit.bytes});
      units.push_back(std::move(unit));
      source_of.push_back(s);
    }
  std::vector<Tally>& stage = build.tally("extract");
  for (size_t s = 0; s < sources.size(); ++s)
    if (std::find(source_of.begin(), source_of.end(), s) == source_of.end())
      stage[s].skip("a source without inputs", sources[s].paths.empty() ? "" : sources[s].paths[0]);
  std::vector<Part> parts;
  build.perform(
      "extract", tasks,
      [&](size_t i, int) { return read_unit(sources[source_of[i]], units[i], folder + fmt::format("/{:05}", i)); },
      [&](size_t i, const Json& record) {
        stage[source_of[i]].merge(Tally::from_json(record.at("tally")));
        size_t number = 0;
        for (const Json& documents : record.at("parts"))
          parts.push_back({.source = source_of[i],
                           .name = fmt::format("{:05}-{:04}", i, number++),
                           .documents = documents.get<uint64_t>(),
                           .key = tasks[i].key});
      });
  return parts;
}

}  // namespace sigma::corpus
