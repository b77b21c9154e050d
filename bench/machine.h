// What this machine can do at most, measured in the same run as what is compared with it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"

namespace sigma::bench {

double seconds();  // of a steady clock
// Of the largest cache that a core can use; what must come from memory is spread over several times as much.
int64_t last_level_cache_bytes();

enum class Peak { f32, bf16, int8 };
const char* peak_name(Peak peak);

class Machine {
 public:
  explicit Machine(ThreadPool& threads);

  // Bytes per second of one read of a block that no cache holds, all threads at once: the best of several read kernels,
  // since which one is fastest differs between processors.
  double read_once();
  double read_alone_once();  // by one thread, while the others do nothing
  // Operations per second (a multiply-add is two) of independent multiply-adds on registers, all threads at once. bf16
  // may be widened to f32; otherwise 0 where the processor has no such instruction.
  double peak_once(Peak kind);

 private:
  double read_by(int64_t threads);
  ThreadPool& threads_;
  int64_t part_bytes_;
  Buffer block_;
};

// Of `values`, which are reordered.
struct Spread {
  double median, low, high;
};
Spread spread_of(std::vector<double>& values);

}  // namespace sigma::bench
