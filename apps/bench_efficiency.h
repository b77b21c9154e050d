// sigma bench efficiency: what DiffQKV saves, where, and how close to theory.
#pragma once

#include <cstdint>
#include <string>

namespace sigma {

struct EfficiencyOptions {
  bool quick = false, json = false;
  int threads = 0;
  int64_t max_prefix = 65536, max_output = 65536, batch = 8;
  double memory_gib = 0;  // 0: what is available
  double minutes = 0;     // 0: until all is measured
  double whole_minutes = 0;
  std::string folder = "efficiency", model, text, only;
};
int run_efficiency(const EfficiencyOptions& options);

}  // namespace sigma
