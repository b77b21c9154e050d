#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sigma {

int64_t Schedule::batch(int64_t row) const {
  int64_t rows = batch_rows;
  if (batch_rows_end > batch_rows) {
    const double way = ramp_rows == 0 ? 1.0 : std::min(1.0, static_cast<double>(row) / static_cast<double>(ramp_rows));
    const int64_t most = batch_rows_end / batch_rows;
    rows = batch_rows * static_cast<int64_t>(1.0 + static_cast<double>(most - 1) * way);
  }
  return std::min(rows, total_rows - row);
}

double Schedule::learning_rate(int64_t row, int64_t rows) const {
  if (row + rows <= warmup_rows) return rate * static_cast<double>(row + rows) / static_cast<double>(warmup_rows);
  const int64_t begin = decay == Decay::wsd ? std::max(warmup_rows, total_rows - decay_rows) : warmup_rows;
  if (decay == Decay::constant || row <= begin) return rate;
  const double way = static_cast<double>(row - begin) / static_cast<double>(total_rows - begin);
  const double left = decay == Decay::cosine ? 0.5 * (1.0 + std::cos(std::numbers::pi * way)) : 1.0 - way;
  return final_rate + (rate - final_rate) * left;
}

int64_t Schedule::steps_from(int64_t row) const {
  int64_t steps = 0;
  for (; row < total_rows; row += batch(row)) ++steps;
  return steps;
}

}  // namespace sigma
