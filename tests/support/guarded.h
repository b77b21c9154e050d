// Memory that shows what a kernel did outside its bounds: the byte after the last one is on a page nobody may touch,
// and every byte before the first, between rows and between pages is 0xff, which is NaN in f32, f16 and bf16: reading
// it poisons the result, writing it is found by intact().
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace sigma::test {

// Whether all of n bytes are 0xff.
inline bool all_ones(const std::byte* p, int64_t n) {
  return n == 0 || (p[0] == std::byte{0xff} && std::memcmp(p, p + 1, static_cast<size_t>(n - 1)) == 0);
}

class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes) : size_(bytes) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    lead_ = (bytes + page - 1) / page * page + page;  // at least one page of slack in front
    mapped_ = lead_ + page;
    void* base = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SIGMA_CHECK(base != MAP_FAILED);
    base_ = static_cast<std::byte*>(base);
    std::memset(base_, 0xff, lead_);
    SIGMA_CHECK_EQ(::mprotect(base_ + lead_, page, PROT_NONE), 0);
  }
  ~GuardedBytes() {
    if (base_ != nullptr) ::munmap(base_, mapped_);
  }
  GuardedBytes(GuardedBytes&& other) noexcept
      : size_(other.size_), lead_(other.lead_), mapped_(other.mapped_), base_(std::exchange(other.base_, nullptr)) {}
  GuardedBytes& operator=(GuardedBytes&&) = delete;

  std::byte* data() const { return base_ + (lead_ - size_); }
  size_t size() const { return size_; }
  bool intact() const { return all_ones(base_, data() - base_); }

 private:
  size_t size_, lead_ = 0, mapped_ = 0;
  std::byte* base_ = nullptr;
};

// An f32 matrix in guarded memory; `gap` elements lie between two rows and belong to nobody. Starts as all NaN.
class GuardedMatrix {
 public:
  GuardedMatrix(int64_t rows, int64_t cols, int64_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), bytes_(static_cast<size_t>(extent()) * sizeof(float)) {}

  float* row(int64_t r) const { return reinterpret_cast<float*>(bytes_.data()) + r * stride_; }
  float& at(int64_t r, int64_t c) const { return row(r)[c]; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  TensorView view() const {
    return {bytes_.data(), DType::f32, rows_, cols_, stride_ * static_cast<int64_t>(sizeof(float))};
  }
  template <class F>
  void fill(const F& value) const {
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < cols_; ++c) at(r, c) = static_cast<float>(value(r, c));
  }
  void copy_from(const GuardedMatrix& other) const {
    SIGMA_CHECK_EQ(rows_, other.rows_);
    for (int64_t r = 0; r < rows_; ++r) std::memcpy(row(r), other.row(r), static_cast<size_t>(cols_) * sizeof(float));
  }
  bool intact() const {
    for (int64_t r = 0; r + 1 < rows_; ++r)
      for (const float* gap = row(r) + cols_; gap < row(r + 1); ++gap)
        if (uint32_t bits; std::memcpy(&bits, gap, 4), bits != 0xffffffffu) return false;
    return bytes_.intact();
  }
  // Every byte of the rows, for bitwise comparisons.
  std::vector<float> values() const {
    std::vector<float> all;
    for (int64_t r = 0; r < rows_; ++r) all.insert(all.end(), row(r), row(r) + cols_);
    return all;
  }

 private:
  int64_t extent() const { return rows_ == 0 ? 0 : (rows_ - 1) * stride_ + cols_; }
  int64_t rows_, cols_, stride_;
  GuardedBytes bytes_;
};

inline bool same_bits(const float* a, const float* b, int64_t n) {
  return n == 0 || std::memcmp(a, b, static_cast<size_t>(n) * sizeof(float)) == 0;
}
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && same_bits(a.data(), b.data(), static_cast<int64_t>(a.size()));
}

}  // namespace sigma::test
