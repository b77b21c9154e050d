// Which kernel sets this build has, which of them this CPU can run, and which one is used.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/cpu/isa.h"
#include "kernels/kernels.h"

namespace sigma {

namespace {

std::string names(std::span<const Kernels* const> sets) {
  std::string joined;
  for (const Kernels* set : sets) joined += joined.empty() ? set->name : std::string(", ") + set->name;
  return joined;
}

const Kernels& choose() {
  const std::span<const Kernels* const> runnable = runnable_kernels();
  const char* wanted = std::getenv("SIGMA_KERNELS");
  if (wanted == nullptr || *wanted == '\0') return *runnable.back();
  for (const Kernels* set : runnable)
    if (std::string_view(wanted) == set->name) return *set;
  throw Error("SIGMA_KERNELS", "one of " + names(runnable) + " (what this CPU can run)", printable(wanted));
}

}  // namespace

// The best last. Where products of bf16 are slower than f32's, the set that has them is only there to be asked for.
std::span<const Kernels* const> runnable_kernels() {
  static const std::vector<const Kernels*> runnable = [] {
    std::vector<const Kernels*> found;
    const bool slow = has_slow_bf16_products();
    for (const Kernels* set :
         {&reference_kernels(), scalar_kernels(), neon_kernels(), avx2_kernels(),
          slow ? avx512_bf16_kernels() : avx512_kernels(), slow ? avx512_kernels() : avx512_bf16_kernels()})
      if (set != nullptr) found.push_back(set);
    return found;
  }();
  return runnable;
}

const Kernels& cpu_kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace sigma
