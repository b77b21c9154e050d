#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <filesystem>

#include "base/file.h"
#include "base/progress.h"
#include "corpus/stages.h"
#include "corpus/text_util.h"
#include "net/digest.h"

namespace sigma::corpus {

namespace fs = std::filesystem;

Build::Build(const BuildOptions& options) : options_(options), pool_(options.threads) {}

std::string Build::folder(const std::string& stage) {
  const std::string path = options_.work + "/" + stage;
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Stop(path, "a folder that can be made", error.message());
  return path;
}

void Build::parallel(const std::string& label, size_t tasks, const std::function<void(size_t, int)>& f) {
  Progress progress(label, tasks, "tasks");
  std::atomic<size_t> done{0};
  std::atomic<bool> failed{false};
  std::vector<std::exception_ptr> faults(tasks);
  pool_.run(static_cast<int64_t>(tasks), [&](int64_t task, int thread) {
    if (failed.load(std::memory_order_relaxed)) return;
    try {
      f(static_cast<size_t>(task), thread);
    } catch (...) {
      faults[static_cast<size_t>(task)] = std::current_exception();
      failed = true;
    }
    const size_t now = ++done;
    const std::lock_guard lock(mutex);
    progress.update(now);
  });
  for (const std::exception_ptr& fault : faults)
    if (fault) std::rethrow_exception(fault);
}

Json Build::record(const std::string& path, const std::string& key) {
  if (!fs::exists(path)) return nullptr;
  Json json = read_json(path);
  if (!json.is_object() || json.value("key", "") != key) return nullptr;
  return json;
}

void Build::write_record(const std::string& path, const std::string& key, Json content) {
  Json record = {{"key", key}};
  record.update(content);
  write_file(path, record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string Build::key_of(const std::vector<std::string>& texts) {
  Digest digest(Digest::Kind::sha256);
  for (const std::string& text : texts) digest.update(fmt::format("{}:{}\n", text.size(), text));
  return digest.hex().substr(0, 16);
}

std::vector<Tally>& Build::tally(const std::string& stage) {
  for (auto& [name, tallies_of] : tallies)
    if (name == stage) return tallies_of;
  tallies.emplace_back(stage, std::vector<Tally>(options_.config.sources.size()));
  return tallies.back().second;
}

namespace {

// One build at a time in a folder.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder) {
    const std::string path = folder + "/lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) throw Error(path, "a place that can be written", std::generic_category().message(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      throw Error(folder, "a work folder of no other build", "one that is at work in it");
    }
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

// What a run that was killed left half-written.
void remove_leftovers(const std::string& work) {
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::recursive_directory_iterator(work)) {
    const std::string name = entry.path().filename().string();
    const std::string folder = entry.path().parent_path().filename().string();
    const bool spilled =
        folder == "3-paragraphs" || folder == "5-duplicates" || name.find(".scratch.") != std::string::npos;
    if (entry.is_regular_file() && (spilled || name.ends_with(".partial"))) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) fs::remove(path);
}

Json funnel_json(const Build& build) {
  Json stages = Json::array();
  const auto& sources = build.options().config.sources;
  for (const auto& [stage, tallies] : build.tallies) {
    Json per_source = Json::object();
    for (size_t s = 0; s < sources.size(); ++s) {
      const Tally& t = tallies[s];
      Json drops = Json::object();
      for (const auto& [reason, drop] : t.drops)
        drops[reason] = {{"documents", drop.documents}, {"bytes", drop.bytes}, {"example", drop.example}};
      per_source[sources[s].name] = {
          {"documents_in", t.documents_in}, {"bytes_in", t.bytes_in}, {"documents_out", t.documents_out},
          {"bytes_out", t.bytes_out},       {"drops", drops},         {"notes", t.notes}};
    }
    stages.push_back({{"stage", stage}, {"sources", per_source}});
  }
  return stages;
}

// Everything the report draws.
Json details_json(const Build& build) {
  Json stages = Json::array();
  const auto& sources = build.options().config.sources;
  for (const auto& [stage, tallies] : build.tallies) {
    Json per_source = Json::object();
    for (size_t s = 0; s < sources.size(); ++s) per_source[sources[s].name] = tallies[s].json();
    stages.push_back({{"stage", stage}, {"sources", per_source}});
  }
  return stages;
}

}  // namespace

Json build_corpus(const BuildOptions& options) {
  Build build(options);
  build.folder(".");
  const FolderLock lock(options.work);
  remove_leftovers(options.work);
  std::vector<Part> parts = extract_stage(build);
  Json classifiers;
  const Classifiers models = classifier_stage(build, parts, classifiers);
  clean_stage(build, parts, models);
  const std::vector<RepeatedParagraph> repeated = paragraph_stage(build, parts);
  sign_stage(build, parts, repeated);
  const std::vector<Decision> decisions = duplicate_stage(build, parts);
  const Json result = pack_stage(build, parts, repeated, decisions);

  Json inputs = Json::array();
  for (const Part& part : parts) {
    if (!part.name.ends_with("-0000")) continue;
    const std::string unit = options.work + "/1-extract/" + part.name.substr(0, 5) + ".json";
    const Json record = read_json(unit);
    for (const Json& file : record.at("inputs")) inputs.push_back(file);
  }
  Json manifest = {{"sigma", options.version},
                         {"configuration", config_json(options.config)},
                         {"inputs", inputs},
                         {"classifiers", classifiers},
                         {"stages", funnel_json(build)},
                         {"result", result}};
  if (!build.options().config.judged.empty()) manifest["judged"] = judge(build, parts, models);
  const auto dump = [](const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; };
  write_file(options.work + "/details.json", dump({{"stages", details_json(build)}}));
  write_file(options.work + "/manifest.json", dump(manifest));
  return manifest;
}

}  // namespace sigma::corpus
