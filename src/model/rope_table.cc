#include "model/rope_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sigma {

void RopeTable::extend(const std::vector<double>& frequencies, int64_t positions) {
  if (positions <= positions_) return;
  pairs_ = static_cast<int64_t>(frequencies.size());
  if (positions > capacity_) {
    capacity_ = std::max<int64_t>({positions, 2 * capacity_, 256});
    for (Buffer* buffer : {&cos_, &sin_}) {
      Buffer grown(static_cast<size_t>(capacity_ * pairs_) * sizeof(float));
      if (positions_ > 0)
        std::memcpy(grown.data(), buffer->data(), static_cast<size_t>(positions_ * pairs_) * sizeof(float));
      *buffer = std::move(grown);
    }
  }
  for (int64_t p = positions_; p < positions; ++p)
    for (int64_t i = 0; i < pairs_; ++i) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      cos_.as<float>()[p * pairs_ + i] = static_cast<float>(std::cos(angle));
      sin_.as<float>()[p * pairs_ + i] = static_cast<float>(std::sin(angle));
    }
  positions_ = positions;
}

}  // namespace sigma
