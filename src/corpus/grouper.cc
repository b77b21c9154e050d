#include "corpus/grouper.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "corpus/source.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

struct Head {
  uint64_t key, size;
};

constexpr uint64_t kBucketBytes = uint64_t{64} << 20;
constexpr uint64_t kMostBuckets = 256;  // files open at once

}  // namespace

Grouper::Grouper(std::string scratch, uint64_t bytes) : scratch_(std::move(scratch)) {
  files_.resize(std::clamp<uint64_t>(bytes / kBucketBytes + 1, 1, kMostBuckets));
  for (size_t i = 0; i < files_.size(); ++i) {
    const std::string path = scratch_ + "." + std::to_string(i);
    files_[i].reset(std::fopen(path.c_str(), "w+be"));
    if (files_[i] == nullptr) throw Stop(path, "a place that can be written", std::generic_category().message(errno));
  }
}

Grouper::~Grouper() {
  for (size_t i = 0; i < files_.size(); ++i) std::remove((scratch_ + "." + std::to_string(i)).c_str());
}

void Grouper::add(uint64_t key, std::string_view record) {
  std::FILE* file = files_[mix_bits(key) % files_.size()].get();
  const Head head{key, record.size()};
  if (std::fwrite(&head, sizeof head, 1, file) != 1 ||
      std::fwrite(record.data(), 1, record.size(), file) != record.size())
    throw Stop(scratch_, "room for what is sorted", std::generic_category().message(errno));
}

void Grouper::each(const std::function<void(uint64_t, const std::vector<std::string_view>&)>& f) {
  for (size_t i = 0; i < files_.size(); ++i) {
    if (std::fclose(files_[i].release()) != 0)
      throw Stop(scratch_, "room for what is sorted", std::generic_category().message(errno));
    const MappedFile file(scratch_ + "." + std::to_string(i));
    std::string_view rest = file.text();
    std::vector<std::pair<uint64_t, std::string_view>> records;
    while (rest.size() >= sizeof(Head)) {
      Head head{};
      std::memcpy(&head, rest.data(), sizeof head);
      records.emplace_back(head.key, rest.substr(sizeof head, head.size));
      rest.remove_prefix(std::min(rest.size(), sizeof head + head.size));
    }
    std::stable_sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string_view> group;
    for (size_t begin = 0; begin < records.size(); begin += group.size()) {
      group.clear();
      for (size_t end = begin; end < records.size() && records[end].first == records[begin].first; ++end)
        group.push_back(records[end].second);
      f(records[begin].first, group);
    }
  }
}

}  // namespace sigma::corpus
