// SIGMA_CHECK for the sources compiled per ISA: the same, without the formatting library's inline functions.
#pragma once

#include <cstdint>

namespace sigma {

[[noreturn]] void kernel_check_failed(const char* file, int line, const char* expression, int64_t a, int64_t b);

}  // namespace sigma

#define SIGMA_KERNEL_CHECK_(op, a, b)                                                          \
  do {                                                                                         \
    const int64_t sigma_a_ = (a), sigma_b_ = (b);                                              \
    if (!(sigma_a_ op sigma_b_)) [[unlikely]]                                                  \
      ::sigma::kernel_check_failed(__FILE__, __LINE__, #a " " #op " " #b, sigma_a_, sigma_b_); \
  } while (0)
#define SIGMA_KERNEL_CHECK_EQ(a, b) SIGMA_KERNEL_CHECK_(==, a, b)
#define SIGMA_KERNEL_CHECK_LE(a, b) SIGMA_KERNEL_CHECK_(<=, a, b)
