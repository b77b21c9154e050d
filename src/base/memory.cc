#include "base/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace sigma {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallestShared = size_t{64} << 10;
constexpr size_t kSmallestOwn = size_t{16} << 20;
constexpr size_t kSlabBytes = size_t{64} << 20;

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1u << 30); }

// A mapping of zeros, not touched yet. bytes becomes what is to be unmapped.
std::byte* map_zeroed(size_t& bytes) {
  // Over-map to align, then return the ends.
  const size_t wanted = bytes;
  if (wanted > SIZE_MAX / 2)
    throw Error("memory", fmt::format("{:.2f} GiB in one block", gib(wanted)), "not that much");
  const size_t alignment = bytes >= kHugePage ? kHugePage : 4096;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  const size_t reserved = bytes + (alignment > 4096 ? alignment : 0);
  void* raw = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw Error("memory", fmt::format("{:.2f} GiB in one block", gib(wanted)), "not that much");
  const size_t before = (alignment - reinterpret_cast<uintptr_t>(raw) % alignment) % alignment;
  const size_t after = reserved - before - bytes;
  std::byte* data = static_cast<std::byte*>(raw) + before;
  if (before > 0) ::munmap(raw, before);
  if (after > 0) ::munmap(data + bytes, after);
  if (alignment == kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

// Blocks are cut off a slab's front and never reused, so they are zero; the slab goes when it is neither the one being
// cut nor holds a block.
struct Slab {
  std::byte* data;
  size_t mapped;
  size_t used = 0;
  int64_t blocks = 0;
};
std::mutex slab_mutex;
Slab* open_slab = nullptr;

void drop_if_unused(Slab* slab) {
  if (slab == open_slab || slab->blocks != 0) return;
  ::munmap(slab->data, slab->mapped);
  delete slab;
}

std::pair<std::byte*, void*> take_from_slab(size_t bytes) {
  bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  const std::lock_guard lock(slab_mutex);
  if (open_slab == nullptr || open_slab->used + bytes > open_slab->mapped) {
    size_t mapped = kSlabBytes;
    std::byte* data = map_zeroed(mapped);
    Slab* full = std::exchange(open_slab, new Slab{data, mapped});
    if (full != nullptr) drop_if_unused(full);
  }
  std::byte* block = open_slab->data + open_slab->used;
  open_slab->used += bytes;
  ++open_slab->blocks;
  return {block, open_slab};
}

void return_to_slab(void* pointer, std::byte* data, size_t bytes) {
  // Its whole pages go back at once.
  const size_t before = (4096 - reinterpret_cast<uintptr_t>(data) % 4096) % 4096;
  if (bytes >= before + 4096) ::madvise(data + before, (bytes - before) / 4096 * 4096, MADV_DONTNEED);
  const std::lock_guard lock(slab_mutex);
  auto* slab = static_cast<Slab*>(pointer);
  --slab->blocks;
  if (slab == open_slab && slab->blocks == 0) open_slab = nullptr;
  drop_if_unused(slab);
}

}  // namespace

Buffer::Buffer(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kSmallestShared && bytes < kSmallestOwn) {
    std::tie(data_, slab_) = take_from_slab(bytes);
    return;
  }
  mapped_ = bytes;
  data_ = map_zeroed(mapped_);
}

Buffer::~Buffer() {
  if (slab_ != nullptr) {
    return_to_slab(slab_, data_, size_);
  } else if (data_ != nullptr) {
    ::munmap(data_, mapped_);
  }
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)),
      slab_(std::exchange(other.slab_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  std::swap(slab_, other.slab_);
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
    throw Error(what, fmt::format("{:.2f} GiB of memory", gib(bytes)),
                fmt::format("{:.2f} GiB available", gib(available)));
}

}  // namespace sigma
