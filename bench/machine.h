// What this machine can do at most, measured in the same run as what is compared with it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"

namespace sigma::bench {

double seconds();  // of a steady clock

enum class Peak { f32, bf16, int8 };

class Machine {
 public:
  explicit Machine(ThreadPool& threads);

  // Bytes per second of one read of a block that no cache holds, all threads at once: the best of several read kernels,
  // since which one is fastest differs between processors.
  double read_once();
  // The best read so far.
  double read_bandwidth() const { return best_read_; }
  // Operations per second (a multiply-add is two) of independent multiply-adds on registers: the best so far, at least
  // `rounds` measured now. 0 where the processor has no such instruction.
  double peak(Peak kind, int rounds = 3);

 private:
  ThreadPool& threads_;
  Buffer block_;
  double best_read_ = 0;
  double best_peak_[3] = {};
};

// Of `values`, which are reordered.
struct Spread {
  double median, low, high;
};
Spread spread_of(std::vector<double>& values);

}  // namespace sigma::bench
