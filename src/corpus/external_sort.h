// Sorts more records than fit in memory: sorted runs are spilled to files and merged. Records are trivially copyable
// and ordered by <; a file of them holds their bytes, one after another.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace sigma::corpus {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// The records of a file, mapped.
template <class T>
class Records {
 public:
  explicit Records(const std::string& path) : file_(path) {
    if (file_.bytes().size() % sizeof(T) != 0) throw Error(path, "whole records", "a file that is cut");
  }
  std::span<const T> all() const {
    return {reinterpret_cast<const T*>(file_.bytes().data()), file_.bytes().size() / sizeof(T)};
  }
  // Gives the memory back that reading took, until they are read again.
  void release() const { file_.release(file_.bytes()); }

 private:
  MappedFile file_;
};

// Writes records to a file that only this run reads: it is there when finish() returns, but not for
// sure after a crash of the machine.  Error: no place, no room.
template <class T>
class RecordWriter {
 public:
  explicit RecordWriter(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wbe")) {
    if (file_ == nullptr) throw Error(path, "a place that can be written", std::generic_category().message(errno));
  }
  void add(const T& record) { add(std::span(&record, 1)); }
  void add(std::span<const T> records) {
    if (std::fwrite(records.data(), sizeof(T), records.size(), file_.get()) != records.size()) fail();
  }
  void finish() {
    if (std::fclose(file_.release()) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(path_, "room for the whole file", std::generic_category().message(errno));
  }
  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
};

// In which of so many equal ranges a hash lies; those of later ranges are larger.
inline size_t range_of(uint64_t hash, size_t ranges) { return static_cast<size_t>(((hash >> 32) * ranges) >> 32); }

// Calls f(record) for the records of files that are sorted each, in the order of all; memory_bytes bounds what is held.
template <class T, class F>
void merge_sorted(const std::vector<std::string>& paths, size_t memory_bytes, const F& f) {
  struct Run {
    std::unique_ptr<std::FILE, CloseFile> file;
    std::vector<T> records;
    size_t at = 0, count = 0;
    const T& current() const { return records[at]; }
  };
  std::vector<Run> runs(paths.size());
  const auto advance = [&](size_t i) {
    Run& run = runs[i];
    if (++run.at < run.count) return true;
    run.at = 0;
    run.count = std::fread(run.records.data(), sizeof(T), run.records.size(), run.file.get());
    if (run.count == 0 && std::ferror(run.file.get()) != 0) throw Error(paths[i], "a readable file", "a read error");
    return run.count > 0;
  };
  const auto later = [&](size_t a, size_t b) {
    return runs[b].current() < runs[a].current() || (!(runs[a].current() < runs[b].current()) && b < a);
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(later)> queue(later);
  for (size_t i = 0; i < runs.size(); ++i) {
    runs[i].file.reset(std::fopen(paths[i].c_str(), "rbe"));
    if (runs[i].file == nullptr)
      throw Error(paths[i], "sorted records that were just written", std::generic_category().message(errno));
    runs[i].records.resize(std::clamp<size_t>(std::filesystem::file_size(paths[i]) / sizeof(T), 1,
                                              std::max<size_t>(64, memory_bytes / sizeof(T) / runs.size())));
    if (advance(i)) queue.push(i);
  }
  while (!queue.empty()) {
    const size_t i = queue.top();
    queue.pop();
    f(runs[i].current());
    if (advance(i)) queue.push(i);
  }
}

template <class T>
class ExternalSorter {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Runs are files path.0, path.1, ..., removed at the end; memory_bytes bounds what is held.
  ExternalSorter(std::string path, size_t memory_bytes)
      : path_(std::move(path)), room_(std::max<size_t>(1024, memory_bytes / sizeof(T))) {}
  ~ExternalSorter() {
    for (size_t i = 0; i < runs_; ++i) std::remove(run_path(i).c_str());
  }
  ExternalSorter(const ExternalSorter&) = delete;
  ExternalSorter& operator=(const ExternalSorter&) = delete;

  void add(const T& record) {
    if (records_.size() == room_) spill();
    if (records_.size() == records_.capacity())  // by doubling up to the room: old and new together never exceed it
      records_.reserve(std::min(room_, std::max(room_ / 1024 + 1, 2 * records_.capacity())));
    records_.push_back(record);
  }

  // Calls f(record) for every record in order; once.
  template <class F>
  void finish(const F& f) {
    if (runs_ == 0) {
      std::sort(records_.begin(), records_.end());
      for (const T& record : records_) f(record);
      return;
    }
    spill();
    std::vector<T>().swap(records_);
    std::vector<std::string> paths;
    for (size_t i = 0; i < runs_; ++i) paths.push_back(run_path(i));
    merge_sorted<T>(paths, room_ * sizeof(T), f);
  }

 private:
  std::string run_path(size_t i) const { return path_ + "." + std::to_string(i); }
  void spill() {
    std::sort(records_.begin(), records_.end());
    RecordWriter<T> file(run_path(runs_++));
    file.add(records_);
    file.finish();
    records_.clear();
  }

  std::string path_;
  size_t room_, runs_ = 0;
  std::vector<T> records_;
};

}  // namespace sigma::corpus
