// Which of the CPU kernel sets this machine can run. SIGMA_HAVE_* come from the build: the sets that are compiled in.
#include "kernels/cpu/isa.h"

#include "base/error.h"
#include "kernels/cpu/check.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace sigma {

#ifdef SIGMA_HAVE_avx512_bf16
namespace avx512_bf16 {
extern const Kernels kernels;
}
#endif
#ifdef SIGMA_HAVE_avx512
namespace avx512 {
extern const Kernels kernels;
}
#endif
#ifdef SIGMA_HAVE_avx2
namespace avx2 {
extern const Kernels kernels;
}
#endif
#ifdef SIGMA_HAVE_neon
namespace neon {
extern const Kernels kernels;
}
#endif
namespace scalar {
extern const Kernels kernels;
}

void kernel_check_failed(const char* file, int line, const char* expression, int64_t a, int64_t b) {
  check_failed(file, line, expression, fmt::format("{} and {}", a, b));
}

const Kernels* scalar_kernels() { return &scalar::kernels; }

const Kernels* neon_kernels() {
#ifdef SIGMA_HAVE_neon
  return &neon::kernels;
#else
  return nullptr;
#endif
}

#ifdef __x86_64__
namespace {

// __builtin_cpu_supports also asks whether the operating system saves the registers; not every compiler knows f16c.
[[maybe_unused]] bool has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

[[maybe_unused]] bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

}  // namespace
#endif

const Kernels* avx2_kernels() {
#ifdef SIGMA_HAVE_avx2
  return has_avx2() ? &avx2::kernels : nullptr;
#else
  return nullptr;
#endif
}

const Kernels* avx512_kernels() {
#ifdef SIGMA_HAVE_avx512
  return has_avx512() ? &avx512::kernels : nullptr;
#else
  return nullptr;
#endif
}

bool has_slow_bf16_products() {
#ifdef __x86_64__
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

const Kernels* avx512_bf16_kernels() {
#ifdef SIGMA_HAVE_avx512_bf16
  return has_avx512_bf16() ? &avx512_bf16::kernels : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace sigma
