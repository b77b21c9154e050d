// What a measurement says, and the one form it is told in: docs/schemas/bench.json.
#pragma once

#include <cstdint>
#include <string>

#include "bench/machine.h"

namespace sigma::bench {

// What takes the machine longest at its best: "read" (bytes per second), or "f32", "bf16", "int8" or two of them with a
// + (operations per second).
struct Limit {
  std::string kind;
  double value = 0;  // 0: none is known
};

struct Result {
  std::string name;                              // the case
  std::string model, weights, k_cache, v_cache;  // empty where there is none
  int64_t context = 0, batch = 1;
  int threads = 0;
  std::string unit = "s";
  Spread ours{};
  double bytes = 0;       // that must move from or to memory; 0 where the case works on cached data
  double operations = 0;  // a multiply-add is two
  Limit limit;
  double share = 0;     // time at the limit over time, the median of the rounds
  std::string against;  // what of our own was measured by turns with it, if anything,
  Spread theirs{};      // how fast that was,
  double ratio = 0;     // and how much faster ours is: the median over the rounds
};

// A line of text, and a line of JSON.
std::string to_text(const Result& result);
std::string to_json(const Result& result);

}  // namespace sigma::bench
