#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/fmt.h"

namespace sigma {

namespace {

std::string amount(double value, const std::string& unit) {
  if (unit != "B") return fmt::format("{:.0f} {}", value, unit);
  const char* const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int i = 0;
  while (value >= 1024 && i < 4) {
    value /= 1024;
    ++i;
  }
  return fmt::format("{:.1f} {}", value, names[i]);
}

}  // namespace

Progress::Progress(std::string label, uint64_t total, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      next_draw_(start_ + std::chrono::seconds(1)) {}

Progress::~Progress() {
  if (drawn_) draw(true);
}

void Progress::update(uint64_t done) {
  done_ = done;
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  drawn_ = true;
  draw(false);
}

void Progress::draw(bool last) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = static_cast<double>(done_) / (seconds > 0 ? seconds : 1);
  std::string line = fmt::format("\r\x1b[K{} ", label_);
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int filled = static_cast<int>(share * 24);
    line += fmt::format("[{:#<{}}{:<{}}] {:3.0f}% ", "", filled, "", 24 - filled, share * 100);
    line += fmt::format("{} of ", amount(static_cast<double>(done_), unit_));
    line += fmt::format("{}, ", amount(static_cast<double>(total_), unit_));
  } else {
    line += amount(static_cast<double>(done_), unit_) + ", ";
  }
  line += amount(rate, unit_) + "/s";
  if (!last && total_ > done_ && rate > 0)
    line += fmt::format(", {:.0f} s left", static_cast<double>(total_ - done_) / rate);
  std::fprintf(stderr, "%s%s", line.c_str(), last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace sigma
