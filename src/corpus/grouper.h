// Brings records of one key together that lie far apart in a dump (a question and its answers), in bounded memory: they
// are spilled into buckets by key, and each bucket is sorted on its own.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sigma::corpus {

class Grouper {
 public:
  // Files scratch.0, scratch.1, ..., removed at the end; about `bytes` of records are expected.
  Grouper(std::string scratch, uint64_t bytes);
  ~Grouper();
  Grouper(const Grouper&) = delete;
  Grouper& operator=(const Grouper&) = delete;

  void add(uint64_t key, std::string_view record);
  // f(key, its records in the order they came), key by key in an order that depends on the records alone; once.
  void each(const std::function<void(uint64_t, const std::vector<std::string_view>&)>& f);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string scratch_;
  std::vector<std::unique_ptr<std::FILE, Close>> files_;
};

}  // namespace sigma::corpus
