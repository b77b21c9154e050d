// A progress bar with rate and time left on standard error: shown only on a terminal, and only when the work takes more
// than a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace sigma {

class Progress {
 public:
  // total 0: unknown, only the amount and rate are shown. unit: "B" prints KiB, MiB, ...; anything else is printed as
  // is.
  Progress(std::string label, uint64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void set_total(uint64_t total) { total_ = total; }
  void update(uint64_t done);  // cheap: draws at most ten times a second

 private:
  void draw(bool last);
  std::string label_, unit_;
  uint64_t total_, done_ = 0;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, next_draw_;
};

}  // namespace sigma
