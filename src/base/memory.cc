#include "base/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace sigma {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1u << 30); }

}  // namespace

Buffer::Buffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  // mmap gives zeroed pages without touching them; over-map to align, then return the ends.
  const size_t alignment = bytes >= kHugePage ? kHugePage : 4096;
  mapped_ = (bytes + alignment - 1) / alignment * alignment;
  const size_t reserved = mapped_ + (alignment > 4096 ? alignment : 0);
  void* raw = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw Error("memory", fmt::format("{:.2f} GiB in one block", gib(bytes)), "not that much");
  auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (begin + alignment - 1) / alignment * alignment;
  if (aligned > begin) ::munmap(raw, aligned - begin);
  const uintptr_t end = begin + reserved;
  if (end > aligned + mapped_) ::munmap(reinterpret_cast<void*>(aligned + mapped_), end - (aligned + mapped_));
  data_ = reinterpret_cast<std::byte*>(aligned);
  if (alignment == kHugePage) ::madvise(data_, mapped_, MADV_HUGEPAGE);
}

Buffer::~Buffer() {
  if (data_ != nullptr) ::munmap(data_, mapped_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Arena::~Arena() = default;

std::byte* Arena::take_bytes(size_t bytes) {
  bytes = std::max<size_t>((bytes + kCacheLine - 1) / kCacheLine * kCacheLine, kCacheLine);
  while (block_ < block_count_ && used_ + bytes > blocks_[block_].size()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == block_count_) {
    SIGMA_CHECK_LT(block_count_, kMaxBlocks);
    const size_t last = block_count_ == 0 ? (size_t{1} << 20) : blocks_[block_count_ - 1].size();
    blocks_[block_count_++] = Buffer(std::max(2 * last, bytes));
    used_ = 0;
  }
  std::byte* piece = blocks_[block_].data() + used_;
  used_ += bytes;
  size_t in_use = used_;
  for (size_t i = 0; i < block_; ++i) in_use += blocks_[i].size();
  peak_ = std::max(peak_, in_use);
  return piece;
}

void Arena::rewind(size_t block, size_t used) {
  block_ = block;
  used_ = used;
}

uint64_t available_memory() {
  std::FILE* file = std::fopen("/proc/meminfo", "re");
  if (file == nullptr) return 0;
  char line[256];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  std::fclose(file);
  return kib * 1024;
}

uint64_t peak_resident_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void require_memory(uint64_t bytes, const std::string& what) {
  const uint64_t available = available_memory();
  if (available != 0 && bytes > available)
    throw Error(what, fmt::format("{:.2f} GiB of memory", gib(bytes)), fmt::format("{:.2f} GiB available", gib(available)));
}

}  // namespace sigma
