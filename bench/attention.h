// Decode attention alone, one layer's cache after another out of memory, the cases by turns: time, bytes, the share of
// the read bandwidth measured beside it, and what each case takes less than the first.
#pragma once

#include <functional>

#include "bench/kernels.h"

namespace sigma::bench {

// Names begin with "attention". options.rounds: of all cases, each after a read of memory.
void bench_attention(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
                     const std::function<void(const Result&)>& report);

}  // namespace sigma::bench
