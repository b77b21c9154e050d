// Reproducible random numbers: the same seed gives the same sequence on every machine and compiler (the distributions
// of <random> do not).
#pragma once

#include <cmath>
#include <cstdint>

namespace sigma {

// SplitMix64 (Steele, Lea, Flood 2014): one 64-bit word of state; also good for turning keys into seeds.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // Uniform in [0, n), n > 0; the bias is below n / 2^64.
  uint64_t below(uint64_t n) { return next() % n; }
  // Standard normal (Box-Muller, one value of the pair).
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586476925 * uniform());
  }

 private:
  uint64_t state_;
};

}  // namespace sigma
