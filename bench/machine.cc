#include "bench/machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/fmt.h"

namespace sigma::bench {

namespace {

constexpr int64_t kParts = 64;  // of the block that is read
constexpr int64_t kPeakLoops = 1000000;

std::atomic<int64_t> sink;  // what measured loops compute goes here, or they would be removed

#ifdef __x86_64__
#define SIGMA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define SIGMA_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512bf16")))
#define SIGMA_AVX2 __attribute__((target("avx2,fma")))

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vnni");
}
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

// --- Reads: the sum of [data, data + bytes) ---

using Line = uint64_t __attribute__((vector_size(64)));

// `streams` places at once, prefetched `ahead` bytes (0: left to the processor).
template <int streams, int ahead>
[[gnu::always_inline]] inline int64_t read_streams(const std::byte* data, int64_t bytes) {
  Line sums[4] = {};
  const int64_t stride = bytes / streams;
  for (int64_t i = 0; i < stride; i += 256)
    for (int s = 0; s < streams; ++s)
      for (int j = 0; j < 4; ++j) {
        const std::byte* at = data + s * stride + i + j * 64;
        if constexpr (ahead > 0) __builtin_prefetch(at + ahead);
        Line line;
        std::memcpy(&line, at, sizeof line);
        sums[j] += line;
      }
  uint64_t total = 0;
  for (const Line& sum : sums)
    for (int i = 0; i < 8; ++i) total += sum[i];
  return static_cast<int64_t>(total);
}

template <int streams, int ahead>
int64_t read_portable(const std::byte* data, int64_t bytes) {
  return read_streams<streams, ahead>(data, bytes);
}
#ifdef __x86_64__
template <int streams, int ahead>
SIGMA_AVX512 int64_t read_avx512(const std::byte* data, int64_t bytes) {
  return read_streams<streams, ahead>(data, bytes);
}
#endif

using Read = int64_t (*)(const std::byte*, int64_t);
struct Reads {
  Read kernels[3];
};
Reads reads() {
#ifdef __x86_64__
  if (has_avx512()) return {{read_avx512<1, 0>, read_avx512<1, 4096>, read_avx512<4, 0>}};
#endif
  return {{read_portable<1, 0>, read_portable<1, 4096>, read_portable<4, 0>}};
}

// --- Multiply-adds: 12 independent chains hide the latency of one; returns operations done ---

// Loops read this, so that nothing of them is known when they are compiled.
volatile float one = 1.0f;

#ifdef __x86_64__
SIGMA_AVX512 double f32_avx512(int64_t loops) {
  __m512 acc[12], a = _mm512_set1_ps(one);
  for (__m512& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (__m512& x : acc) x = _mm512_fmadd_ps(x, a, a);
  }
  for (const __m512& x : acc) sink += static_cast<int64_t>(_mm512_cvtss_f32(x) > 0);
  return static_cast<double>(loops) * 12 * 16 * 2;
}

SIGMA_AVX512_BF16 double bf16_avx512(int64_t loops) {
  __m512 acc[12], a = _mm512_set1_ps(one);
  for (__m512& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (__m512& x : acc) x = _mm512_dpbf16_ps(x, (__m512bh)a, (__m512bh)a);
  }
  for (const __m512& x : acc) sink += static_cast<int64_t>(_mm512_cvtss_f32(x) > 0);
  return static_cast<double>(loops) * 12 * 32 * 2;
}

SIGMA_AVX512 double int8_avx512(int64_t loops) {
  __m512i acc[12], a = _mm512_set1_epi8(static_cast<char>(3 * one));
  for (__m512i& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (__m512i& x : acc) x = _mm512_dpbusd_epi32(x, a, a);
  }
  for (const __m512i& x : acc) sink += _mm512_cvtsi512_si32(x);
  return static_cast<double>(loops) * 12 * 64 * 2;
}

SIGMA_AVX2 double f32_avx2(int64_t loops) {
  __m256 acc[12], a = _mm256_set1_ps(one);
  for (__m256& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (__m256& x : acc) x = _mm256_fmadd_ps(x, a, a);
  }
  for (const __m256& x : acc) sink += static_cast<int64_t>(_mm256_cvtss_f32(x) > 0);
  return static_cast<double>(loops) * 12 * 8 * 2;
}

SIGMA_AVX2 double int8_avx2(int64_t loops) {
  __m256i acc[12], a = _mm256_set1_epi8(static_cast<char>(3 * one));
  const __m256i ones = _mm256_set1_epi16(1);
  for (__m256i& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (__m256i& x : acc) x = _mm256_add_epi32(x, _mm256_madd_epi16(_mm256_maddubs_epi16(a, a), ones));
  }
  for (const __m256i& x : acc) sink += _mm256_cvtsi256_si32(x);
  return static_cast<double>(loops) * 12 * 32 * 2;
}
#endif

double f32_portable(int64_t loops) {
  using V = float __attribute__((vector_size(16)));
  V acc[12], a = {one, one, one, one};
  for (V& x : acc) x = a;
  for (int64_t i = 0; i < loops; ++i) {
#pragma GCC unroll 12
    for (V& x : acc) x = x * a + a;
  }
  for (const V& x : acc) sink += static_cast<int64_t>(x[0] > 0);
  return static_cast<double>(loops) * 12 * 4 * 2;
}

using PeakLoop = double (*)(int64_t loops);

PeakLoop peak_loop(Peak kind) {
#ifdef __x86_64__
  const bool avx512 = has_avx512(), avx2 = has_avx2();
  switch (kind) {
    case Peak::f32:
      return avx512 ? f32_avx512 : avx2 ? f32_avx2 : f32_portable;
    case Peak::bf16:
      return has_avx512_bf16() ? bf16_avx512 : nullptr;
    case Peak::int8:
      return avx512 ? int8_avx512 : avx2 ? int8_avx2 : nullptr;
  }
#endif
  return kind == Peak::f32 ? f32_portable : nullptr;
}

// Of all threads together; 0 without a loop.
double operations_per_second(ThreadPool& threads, PeakLoop loop) {
  if (loop == nullptr) return 0;
  std::atomic<double> operations = 0;
  const double begin = seconds();
  threads.run(threads.size(), [&](int64_t) {
    const double done = loop(kPeakLoops);
    for (double sum = operations; !operations.compare_exchange_weak(sum, sum + done);) {
    }
  });
  return operations / (seconds() - begin);
}

}  // namespace

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int64_t last_level_cache_bytes() {
  int64_t most = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    int64_t kilobytes = 0;
    if (file >> kilobytes) most = std::max(most, kilobytes * 1024);
  }
  return most > 0 ? most : int64_t{32} << 20;
}

const char* peak_name(Peak peak) {
  constexpr const char* names[] = {"f32", "bf16", "int8"};
  return names[static_cast<int>(peak)];
}

Machine::Machine(ThreadPool& threads)
    : threads_(threads),
      part_bytes_(std::max(int64_t{256} << 20, 8 * last_level_cache_bytes()) / kParts / 1024 * 1024),
      block_(static_cast<size_t>(kParts * part_bytes_)) {
  threads_.run(kParts, [&](int64_t part) {
    std::memset(block_.data() + part * part_bytes_, static_cast<int>(part) + 1, static_cast<size_t>(part_bytes_));
  });
}

double Machine::read_once() { return read_by(threads_.size()); }

double Machine::read_alone_once() { return read_by(1); }

double Machine::read_by(int64_t parts) {
  const int64_t part_bytes = kParts * part_bytes_ / parts / 1024 * 1024;
  double best = 0;
  for (const Read kernel : reads().kernels) {
    const double begin = seconds();
    threads_.run(parts, [&](int64_t part) {
      sink.fetch_add(kernel(block_.data() + part * part_bytes, part_bytes), std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(parts * part_bytes) / (seconds() - begin));
  }
  return best;
}

double Machine::peak_once(Peak kind) {
  const double peak = operations_per_second(threads_, peak_loop(kind));
  // Some processors are faster with bf16 widened to f32.
  return kind == Peak::bf16 ? std::max(peak, peak_once(Peak::f32)) : peak;
}

Spread spread_of(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

}  // namespace sigma::bench
