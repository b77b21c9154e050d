// Memory: Buffer owns one large aligned block; Arena hands out pieces of one and takes them all back at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sigma {

inline constexpr size_t kCacheLine = 64;

// A zeroed block, aligned to 64 bytes, in huge pages where the system has them: blocks of 16 MiB and more each in a
// mapping of their own, blocks of 64 KiB and more together in slabs, so that a model's many matrices neither miss huge
// pages nor round each other up to them. Error when the machine has no such amount of memory. Move-only.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;     // bytes of a mapping of its own
  void* slab_ = nullptr;  // or the slab it lies in
};

// Bump allocator for scratch: take() pieces, free them together by leaving the Scope they were taken in. Grows by whole
// blocks when a scope asks for more than there is (a pointer stays valid until its scope ends), so that a steady state
// allocates nothing. Not thread-safe: kernels take what their tasks need before they start them.
class Arena {
 public:
  // count elements of T, 64-byte aligned, contents undefined.
  template <class T>
  T* take(int64_t count) {
    return reinterpret_cast<T*>(take_bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  size_t peak_bytes() const { return peak_; }

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), used_(arena.used_) {}
    // In line in every build: kernels compiled for one instruction set may not leave a copy for the others.
    [[gnu::always_inline]] ~Scope() { arena_.rewind(block_, used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t block_, used_;
  };

  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

 private:
  static constexpr size_t kMaxBlocks = 32;
  std::byte* take_bytes(size_t bytes);
  void rewind(size_t block, size_t used);
  Buffer blocks_[kMaxBlocks];
  size_t block_count_ = 0, block_ = 0, used_ = 0, peak_ = 0;
};

// Bytes of memory that could be had now without swapping (0 when the system does not say); largest resident size so
// far.
uint64_t available_memory();
uint64_t peak_resident_bytes();

// Error "[what] expected A GiB of memory, found B GiB available" when `bytes` would not fit.
void require_memory(uint64_t bytes, const std::string& what);

}  // namespace sigma
