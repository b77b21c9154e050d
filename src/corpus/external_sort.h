// Sorts more records than fit in memory: sorted runs are spilled to files and merged. Records are trivially copyable
// and ordered by <.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <queue>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace sigma::corpus {

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
    std::vector<Run> runs(runs_);
    const auto later = [&](size_t a, size_t b) {
      return runs[b].current() < runs[a].current() || (!(runs[a].current() < runs[b].current()) && b < a);
    };
    std::priority_queue<size_t, std::vector<size_t>, decltype(later)> queue(later);
    for (size_t i = 0; i < runs_; ++i) {
      runs[i].open(run_path(i), std::max<size_t>(64, room_ / runs_));
      if (runs[i].advance()) queue.push(i);
    }
    while (!queue.empty()) {
      const size_t i = queue.top();
      queue.pop();
      f(runs[i].current());
      if (runs[i].advance()) queue.push(i);
    }
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  class Run {
   public:
    void open(const std::string& path, size_t room) {
      path_ = path;
      file_.reset(std::fopen(path.c_str(), "rbe"));
      if (file_ == nullptr) throw Error(path, "the run that was just written", std::generic_category().message(errno));
      records_.resize(room);
    }
    bool advance() {
      if (++at_ < count_) return true;
      at_ = 0;
      count_ = std::fread(records_.data(), sizeof(T), records_.size(), file_.get());
      if (count_ == 0 && std::ferror(file_.get()) != 0) throw Error(path_, "a readable file", "a read error");
      return count_ > 0;
    }
    const T& current() const { return records_[at_]; }

   private:
    std::string path_;
    File file_;
    std::vector<T> records_;
    size_t at_ = 0, count_ = 0;
  };

  std::string run_path(size_t i) const { return path_ + "." + std::to_string(i); }
  void spill() {
    std::sort(records_.begin(), records_.end());
    const std::string path = run_path(runs_++);
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    if (file == nullptr) throw Error(path, "a place that can be written", std::generic_category().message(errno));
    const bool wrote = std::fwrite(records_.data(), sizeof(T), records_.size(), file) == records_.size();
    const int error = errno;
    if (std::fclose(file) != 0 || !wrote)
      throw Error(path, "room for the whole file", std::generic_category().message(error));
    records_.clear();
  }

  std::string path_;
  size_t room_, runs_ = 0;
  std::vector<T> records_;
};

}  // namespace sigma::corpus
