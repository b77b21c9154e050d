// In which order a data set is read: pure functions, so that a run can begin anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sigma {

// A permutation of 0 .. n - 1, n > 0, given by a key: a Feistel network over the smallest even number of bits that
// holds n, applied again to what falls outside.
class Permutation {
 public:
  Permutation(uint64_t n, uint64_t key);
  uint64_t operator()(uint64_t i) const;  // i < n

 private:
  static constexpr int kRounds = 4;
  uint64_t n_, keys_[kRounds];
  int half_bits_;
};

// Deals rows out to parts by weight, as evenly as can be: of the first p rows part i gets p times its share, give or
// take one for each part (a Bresenham line between a part and all after it).
class Mixture {
 public:
  // Error: no weights, a negative one, all zero.
  explicit Mixture(const std::vector<double>& weights);
  // The part of row p, p < 2^62, and how many rows before it are that part's.
  std::pair<size_t, uint64_t> operator()(uint64_t p) const;

 private:
  std::vector<uint64_t> shares_;  // of a part, in 2^-32 of what the parts before it leave
};

}  // namespace sigma
