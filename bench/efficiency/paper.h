// What the paper (arXiv 2501.13629v2, section 3, one H100) published as numbers, to stand beside what is measured here.
#pragma once

#include <cstdint>

namespace sigma::bench::paper {

// Kernel execution time of ten tokens, nanoseconds, and what Sigma saves of it, %.
struct KernelRow {
  int64_t prefix;
  double std_split, std_combine, std_total, sigma_split, sigma_combine, sigma_total;
  double split_gain, combine_gain, total_gain;
};
inline constexpr KernelRow kKernelRows[] = {
    {2048, 2.53e6, 1.88e6, 4.41e6, 2.50e6, 1.85e6, 4.34e6, 1.17, 1.68, 1.39},
    {4096, 4.68e6, 1.91e6, 6.59e6, 3.49e6, 1.91e6, 5.40e6, 25.33, 0.08, 18.02},
    {16384, 1.52e7, 1.94e6, 1.72e7, 1.12e7, 1.94e6, 1.31e7, 26.30, 0.25, 23.35},
    {32768, 2.75e7, 1.99e6, 2.95e7, 2.00e7, 2.01e6, 2.21e7, 27.21, -0.93, 25.31},
};

// Cost of the attention layer over whole generations, %.
inline constexpr double kTotalGain = 33.36;         // the largest, outputs of 64k
inline constexpr double kCacheGain = 36.57;         // loading and storing the cache, prefix and output of 64k
inline constexpr double kAttentionGain = 15.4;      // attention's computation, at most
inline constexpr int64_t kCrossoverPrefix = 16384;  // with outputs of 2k Sigma is dearer below it

inline constexpr double kLimit = 0.375;  // cache elements that Sigma-1.5B has less than STD

}  // namespace sigma::bench::paper
