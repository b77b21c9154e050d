#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "base/progress.h"
#include "corpus/stages.h"
#include "corpus/text_util.h"
#include "net/digest.h"

namespace sigma::corpus {

namespace fs = std::filesystem;

namespace {

// What the record says, when it was made from the task's key and the results are there; otherwise null.
Json record_of(const Task& task) {
  if (!fs::exists(task.record)) return nullptr;
  Json json = read_json(task.record);
  if (!json.is_object() || json.value("key", "") != task.key) return nullptr;
  for (const std::string& result : task.results)
    if (!fs::exists(result)) return nullptr;
  return json;
}

void write_record(const Task& task, const Json& content) {
  Json record = {{"key", task.key}};
  record.update(content);
  write_file(task.record, record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// Which of the tasks are this process's, the largest first: each goes to the process that has least to do so far.
std::vector<size_t> share_of(int rank, int size, const std::vector<uint64_t>& bytes) {
  std::vector<size_t> order(bytes.size()), mine;
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes[a] > bytes[b]; });
  std::vector<uint64_t> load(static_cast<size_t>(size));
  for (const size_t task : order) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += bytes[task] + 1;
    if (least - load.begin() == rank) mine.push_back(task);
  }
  return mine;
}

}  // namespace

Build::Build(const BuildOptions& options) : options_(options), processes_(options.processes), pool_(options.threads) {
  auto threads = static_cast<double>(pool_.size());
  sum({&threads, 1});
  workers_ = static_cast<size_t>(threads);
}

void Build::barrier() {
  if (processes_ != nullptr) processes_->barrier();
}
void Build::sum(std::span<double> values) {
  if (processes_ != nullptr) processes_->sum(values);
}

std::string Build::folder(const std::string& stage) {
  std::string path = options_.work + "/" + stage;
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Stop(path, "a folder that can be made", error.message());
  return path;
}

void Build::divide(const std::string& label, const std::vector<uint64_t>& bytes,
                   const std::function<void(size_t, int)>& f) {
  const std::vector<size_t> mine = share_of(rank(), size(), bytes);
  Progress progress(label, first() ? mine.size() : 0, "tasks");
  std::mutex mutex;
  size_t done = 0;
  std::atomic<bool> failed{false};
  std::vector<std::exception_ptr> faults(bytes.size());
  pool_.run(static_cast<int64_t>(mine.size()), [&](int64_t i, int thread) {
    if (failed.load(std::memory_order_relaxed)) return;
    const size_t task = mine[static_cast<size_t>(i)];
    try {
      f(task, thread);
    } catch (...) {
      faults[task] = std::current_exception();
      failed = true;
    }
    const std::lock_guard lock(mutex);
    ++done;
    if (first()) progress.update(done);
  });
  for (const std::exception_ptr& fault : faults)
    if (fault) std::rethrow_exception(fault);
  barrier();
}

void Build::perform(const std::string& label, const std::vector<Task>& tasks,
                    const std::function<Json(size_t, int)>& run, const std::function<void(size_t, const Json&)>& take) {
  std::vector<uint64_t> bytes;
  bytes.reserve(tasks.size());
  for (const Task& task : tasks) bytes.push_back(task.bytes);
  divide(label, bytes, [&](size_t i, int thread) {
    if (record_of(tasks[i]).is_null()) write_record(tasks[i], run(i, thread));
  });
  for (size_t i = 0; i < tasks.size(); ++i) {
    const Json record = record_of(tasks[i]);
    if (record.is_null())
      throw Error(tasks[i].record, "the same configuration and inputs for all processes, in one work folder", "others");
    take(i, record);
  }
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

// What a run that was killed left half-written, and what stages pass on among themselves.
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
  std::optional<FolderLock> lock;  // of the first process, for all
  if (build.first()) {
    lock.emplace(options.work);
    remove_leftovers(options.work);
  }
  build.barrier();
  std::vector<Part> parts = extract_stage(build);
  Json classifiers;
  const Classifiers models = classifier_stage(build, parts, classifiers);
  const Json judged = options.config.judged.empty() ? Json() : judge(build, parts, models);
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
  if (!judged.is_null()) manifest["judged"] = judged;
  const auto dump = [](const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; };
  if (build.first()) {
    write_file(options.work + "/details.json", dump({{"stages", details_json(build)}}));
    write_file(options.work + "/manifest.json", dump(manifest));
    remove_leftovers(options.work);
  }
  return manifest;
}

}  // namespace sigma::corpus
