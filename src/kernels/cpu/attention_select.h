// Selective V: the v_top largest scores of a vector, without a sort of all of them. A lower bound of the v_top-th
// largest score comes from maxima of groups of positions (each group at or above the bound has such a score); only 64s
// of positions with a maximum at or above it are looked into; the exact choice is made among the few found.
#pragma once

#include "kernels/cpu/attention_keys.h"

namespace sigma::SIGMA_ISA {

// Chosen positions in order, with their scores.
struct Choice {
  int32_t* position;
  float* score;
  int64_t count;
};

inline constexpr int kMaximaLanes = 16;  // see ScoreBoard
inline constexpr float kLowest = -3.4028235e38f;

inline int64_t count_ge(const float* x, int64_t n, float bound) {  // n: a multiple of kLanes
  const F32 b = set(bound);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) count += __builtin_popcount(lanes_ge(load(x + i), b));
  return count;
}

// Maxima over `fold` 64s each, [ceil(groups / fold)][16]: values below kLowest where there is nothing.
inline int64_t fold_maxima(float* out, const float* maxima, int64_t groups, int64_t fold) {
  int64_t n = 0;
  for (int64_t g = 0; g < groups; g += fold, n += kMaximaLanes)
    for (int i = 0; i < kMaximaLanes; i += kLanes) {
      F32 largest = load(maxima + g * kMaximaLanes + i);
      for (int64_t j = g + 1; j < g + fold && j < groups; ++j)
        largest = max(largest, load(maxima + j * kMaximaLanes + i));
      store(out + n + i, largest);
    }
  return n;
}

// A bound that at least k of x[0, n) reach, and not many more; -inf when no finite one is found.
inline float lower_bound_of_top(const float* x, int64_t n, int64_t k) {
  F32 low_lanes = set(-kLowest), high_lanes = set(kLowest);
  for (int64_t i = 0; i < n; i += kLanes) {
    const F32 v = load(x + i);
    high_lanes = max(v, high_lanes);
    low_lanes = select_lt(v, set(kLowest), low_lanes, min(v, low_lanes));
  }
  float lows[kLanes];
  store(lows, low_lanes);
  float low = lows[0], high = max_of(high_lanes);
  for (int i = 1; i < kLanes; ++i) low = lows[i] < low ? lows[i] : low;
  if (high > -kLowest) high = -kLowest;
  if (!(low <= high) || count_ge(x, n, low) < k) return -__builtin_inff();
  for (int i = 0; i < 20; ++i) {
    const float middle = 0.5f * low + 0.5f * high;
    if (!(middle > low && middle < high)) break;
    const int64_t count = count_ge(x, n, middle);
    if (count < k) {
      high = middle;
    } else {
      low = middle;
      if (count <= k + k / 8 + 4) break;
    }
  }
  return low;
}

// Positions of [0, n) with scores of at least `bound`. scores is readable up to a multiple of 64 and -inf beyond n.
inline void find_candidates(Choice& found, const float* scores, const float* maxima, int64_t n, float bound) {
  const F32 b = set(bound);
  int64_t count = 0;
  for (int64_t g = 0; g * 64 < n; ++g) {
    uint32_t any = 0;
    for (int i = 0; i < kMaximaLanes; i += kLanes) any |= lanes_ge(load(maxima + g * kMaximaLanes + i), b);
    if (any == 0) continue;
    for (int64_t t = g * 64; t < g * 64 + 64; t += kLanes)
      for (uint32_t lanes = lanes_ge(load(scores + t), b); lanes != 0; lanes &= lanes - 1) {
        const int64_t position = t + __builtin_ctz(lanes);
        if (position >= n) break;
        found.position[count] = static_cast<int32_t>(position);
        found.score[count++] = scores[position];
      }
  }
  found.count = count;
}

// The k-th largest of x[0, n), none of which is NaN: the largest float that at least k of them reach, bit by bit of its
// order-preserving integer key. x is writable up to a multiple of kLanes.
inline float kth_largest(float* x, int64_t n, int64_t k) {
  int64_t padded = n;
  for (; padded % kLanes != 0; ++padded) x[padded] = -__builtin_inff();
  const int64_t surplus = padded - n;  // -inf each
  uint32_t key = 0;
  float value = -__builtin_inff();
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    const uint32_t tried = key | bit;
    const uint32_t bits = (tried >> 31) != 0 ? tried ^ 0x80000000u : ~tried;
    float bound;
    __builtin_memcpy(&bound, &bits, sizeof bound);
    // A key whose float is NaN: below -inf every x reaches it, above inf none does.
    const bool below = (tried >> 31) == 0 && bound != bound;
    const int64_t reached = below ? n : count_ge(x, padded, bound) - (bound == -__builtin_inff() ? surplus : 0);
    if (reached < k) continue;
    key = tried;
    if (!below) value = bound;
  }
  return value;
}

// The k best of scores[0, n), k < n, ties to the lower position. folded: room for 16 * 64 + stride / 4 floats.
inline void choose(Choice& choice, const float* scores, const float* maxima, int64_t n, int64_t k, float* folded) {
  const int64_t groups = (n + 63) / 64;
  float bound = -__builtin_inff();
  if (groups * kMaximaLanes >= 2 * k) {
    int64_t fold = 1;
    while (groups / (2 * fold) * kMaximaLanes >= 4 * k) fold *= 2;
    bound = lower_bound_of_top(folded, fold_maxima(folded, maxima, groups, fold), k);
  }
  find_candidates(choice, scores, maxima, n, bound);
  if (choice.count <= k) return;
  const float last = kth_largest(choice.score, choice.count, k);
  int64_t ties = k;
  for (int64_t i = 0; i < choice.count; ++i) ties -= choice.score[i] > last;
  int64_t kept = 0;
  for (int64_t i = 0; i < choice.count; ++i) {
    const float s = choice.score[i];
    if (s < last || (s == last && ties-- <= 0)) continue;
    choice.position[kept] = choice.position[i];
    choice.score[kept++] = s;
  }
  choice.count = kept;
}

}  // namespace sigma::SIGMA_ISA
