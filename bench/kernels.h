// Every kernel of a set but attention (bench/attention), alone: time, bytes, operations and the share of what the
// machine can do, measured beside it in the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bench/machine.h"
#include "kernels/kernels.h"

namespace sigma::bench {

struct KernelOptions {
  std::string filter;  // cases whose name contains this
  int rounds = 9;      // at least 5: each is a read of memory, then the case
};

struct KernelResult {
  std::string name;
  int threads = 0;
  Spread seconds{};        // per call
  double bytes = 0;        // that a call must move from or to memory; 0 where it works on cached data
  double operations = 0;   // a multiply-add is two
  std::string limit_kind;  // "read", "f32", "bf16" or "int8": what takes longest at the machine's best
  double limit = 0;        // bytes or operations per second; 0 where this machine has no such instruction
  double share = 0;        // time at the limit over median time
};

// Calls report with every result as it is there.
void bench_kernels(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
                   const std::function<void(const KernelResult&)>& report);

// The same as a line of text.
std::string to_text(const KernelResult& result);
// And as a line of JSON, in the form of docs/schemas' benchmark lines.
std::string to_json(const KernelResult& result);

}  // namespace sigma::bench
