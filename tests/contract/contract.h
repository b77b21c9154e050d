// What the contract tests share: the kernel sets to run over, a call that watches allocations and scratch, and the
// error model of docs/numerics.md. Included by one source file per executable (it replaces operator new to count).
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/numeric.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "support/guarded.h"

namespace sigma::test {

inline std::atomic<int64_t> allocation_count{0};

}  // namespace sigma::test

// NOLINTBEGIN(misc-definitions-in-headers): replacements cannot be inline.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++sigma::test::allocation_count;
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
// NOLINTEND(misc-definitions-in-headers)

namespace sigma::test {

// SIGMA_TEST_SWEEP=quick: fewer sizes, for sanitizers and emulators. A plain run has them all.
inline bool quick_sweep() {
  const char* sweep = std::getenv("SIGMA_TEST_SWEEP");
  return sweep != nullptr && std::string_view(sweep) == "quick";
}

inline std::string set_name(const Kernels* set) { return set->name; }

// A kernel set with threads and scratch of its own.
class World {
 public:
  explicit World(const Kernels& set, int threads = 1)
      : set_(set), threads_(threads), context_{set, threads_, scratch_} {}

  const Kernels& kernels() const { return set_; }
  ThreadPool& threads() { return threads_; }

  // Runs kernel(context): it must allocate nothing but scratch and give all of that back.
  template <class F>
  void call(const F& kernel) {
    const std::byte* before = scratch_top();
    const int64_t allocated = allocation_count;
    kernel(context_);
    EXPECT_EQ(allocation_count - allocated, 0) << set_.name << " allocated memory";
    EXPECT_EQ(scratch_top(), before) << set_.name << " kept scratch";
  }

 private:
  const std::byte* scratch_top() {
    Arena::Scope scope(scratch_);
    return scratch_.take<std::byte>(1);
  }

  const Kernels& set_;
  ThreadPool threads_;
  Arena scratch_;
  Context context_;
};

// --- Error model (docs/numerics.md) ---

inline constexpr double kUnit = 0x1p-24;     // unit roundoff of f32
inline constexpr double kUnitBf16 = 0x1p-8;  // of bf16: 8 significant bits
inline constexpr double kUnitF16 = 0x1p-11;  // of f16
inline constexpr double kTiny = 0x1p-120;    // results below this may be flushed

// Relative error of a sum of n products in f32, in any order.
inline double gamma(int64_t n) {
  const double nu = static_cast<double>(n) * kUnit;
  return nu / (1.0 - nu);
}

// How a kernel may round f32 activations before it multiplies them, by the format of the other side.
enum class Rounding { none, f16, bf16, int8 };

// The largest change rounding may make to each of x[0, n), and what the plainest rounding makes of it.
struct Rounded {
  std::vector<double> delta;
  std::vector<float> value;
};
inline Rounded round_activations(Rounding rounding, const float* x, int64_t n) {
  constexpr int64_t kBlock = 32;
  Rounded r{std::vector<double>(static_cast<size_t>(n)), std::vector<float>(x, x + n)};
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    float largest = 0.0f;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float step = largest / 127.0f;
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      const double magnitude = std::fabs(static_cast<double>(x[i]));
      switch (rounding) {
        case Rounding::none:
          break;
        case Rounding::f16:
          r.delta[at] = magnitude * kUnitF16 + 0x1p-25;
          r.value[at] = to_f32(to_f16(x[i]));
          break;
        case Rounding::bf16:
          r.delta[at] = magnitude * kUnitBf16 + kTiny;
          r.value[at] = to_f32(to_bf16(x[i]));
          break;
        case Rounding::int8:
          r.delta[at] = static_cast<double>(largest) / 254.0 * (1.0 + 0x1p-13) + kTiny;
          r.value[at] = step > 0.0f ? step * std::nearbyint(x[i] / step) : 0.0f;
          break;
      }
    }
  }
  return r;
}

// Root mean square of got - expected, set against that of a naive run in the same precision.
class ErrorRatio {
 public:
  void add(double expected, double got, double naive) {
    got_ += (got - expected) * (got - expected);
    naive_ += (naive - expected) * (naive - expected);
    size_ += expected * expected;
    ++count_;
  }
  // "At most twice the naive error", plus one rounding of the result; says nothing about fewer than 300 values.
  void check() const {
    if (count_ < 300) return;
    const auto n = static_cast<double>(count_);
    EXPECT_LE(std::sqrt(got_ / n), 2.0 * std::sqrt(naive_ / n) + 2.0 * kUnit * std::sqrt(size_ / n))
        << "root mean square error over " << count_ << " values; naive " << std::sqrt(naive_ / n);
  }

 private:
  double got_ = 0, naive_ = 0, size_ = 0;
  int64_t count_ = 0;
};

// Small integers that every permitted rounding leaves as they are: within [-127, 127], and each block of 32 has a 127.
inline float exact_integer(Rng& rng, int64_t column) {
  if (column % 32 == 7) return rng.below(2) == 0 ? 127.0f : -127.0f;
  return static_cast<float>(rng.below(255)) - 127.0f;
}

}  // namespace sigma::test
