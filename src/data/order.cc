#include "data/order.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace sigma {

Permutation::Permutation(uint64_t n, uint64_t key)
    : n_(n), half_bits_((static_cast<int>(std::bit_width(n - 1)) + 1) / 2) {
  Rng rng(key);
  for (uint64_t& k : keys_) k = rng.next();
}

uint64_t Permutation::operator()(uint64_t i) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = i >> half_bits_, right = i & mask;
    for (const uint64_t key : keys_) {
      const uint64_t mixed = left ^ (Rng(key ^ right).next() & mask);
      left = right;
      right = mixed;
    }
    i = left << half_bits_ | right;
  } while (i >= n_);
  return i;
}

Mixture::Mixture(const std::vector<double>& weights) {
  double rest = 0;
  for (const double weight : weights) {
    if (!(weight >= 0) || !std::isfinite(weight)) throw Error("mixture", "weights from 0", fmt::format("{}", weight));
    rest += weight;
  }
  if (!(rest > 0) || !std::isfinite(rest)) throw Error("mixture", "a weight above 0", fmt::format("{} in all", rest));
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] > 0) last = i;
  }
  for (size_t i = 0; i <= last; ++i) {
    // The last gets all that is left, whatever rounding says.
    const double share = i == last ? 1.0 : std::min(1.0, weights[i] / rest);
    shares_.push_back(static_cast<uint64_t>(std::llround(std::ldexp(share, 32))));
    rest -= weights[i];
  }
}

std::pair<size_t, uint64_t> Mixture::operator()(uint64_t p) const {
  // floor(p share / 2^32 + 1/2): how many of the first p rows are the part's.
  const auto dealt = [](uint64_t rows, uint64_t share) {
    return (rows >> 32) * share + (((rows & 0xffffffff) * share + (uint64_t{1} << 31)) >> 32);
  };
  for (size_t part = 0;; ++part) {
    const uint64_t before = dealt(p, shares_[part]);
    if (part + 1 == shares_.size()) return {part, p};
    if (dealt(p + 1, shares_[part]) > before) return {part, before};
    p -= before;
  }
}

}  // namespace sigma
