// Every kernel of a set but attention (attention.h), alone: time, bytes, operations and the share of what the
// machine can do, measured beside it in the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bench/result.h"
#include "kernels/kernels.h"

namespace sigma::bench {

struct KernelOptions {
  std::string filter;  // cases whose name contains this
  int rounds = 9;      // at least 5: each is a read of memory, then the case
};

// Calls report with every result as it is there.
void bench_kernels(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
                   const std::function<void(const Result&)>& report);

}  // namespace sigma::bench
