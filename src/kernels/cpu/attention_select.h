// Selective V: the v_top largest scores of a vector, without all scores being kept or sorted. Each thread keeps, for
// each vector, a list of the scores it met that may be among them: those that reach a bound. Once the list is full its
// v_top largest stay and the last of those is the new bound, so that few scores are looked at twice; the best of the
// threads' lists are the choice, which is exact.
#pragma once

#include "kernels/cpu/attention_tile.h"

namespace sigma::SIGMA_ISA {

// Scores and their positions. Both arrays have room for kLanes more than a list's room.
struct List {
  float* score;
  int32_t* position;
  int64_t count;
};

inline constexpr float kLowest = -3.4028235e38f;

inline int64_t count_ge(const float* x, int64_t n, float bound) {  // n: a multiple of kLanes
  const F32 b = set(bound);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) count += __builtin_popcount(lanes_ge(load(x + i), b));
  return count;
}

// A bound that at least k of x[0, n) reach, and seldom many more; -inf when no finite one is found. x is writable up to
// a multiple of kLanes.
inline float lower_bound_of_top(float* x, int64_t n, int64_t k) {
  for (; n % kLanes != 0; ++n) x[n] = kMinusInf;
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

// The k-th largest of x[0, n), none of which is NaN: the largest float that at least k of them reach, bit by bit of its
// order-preserving integer key. x is writable up to a multiple of kLanes.
inline float kth_largest(float* x, int64_t n, int64_t k) {
  int64_t padded = n;
  for (; padded % kLanes != 0; ++padded) x[padded] = kMinusInf;
  const int64_t surplus = padded - n;  // -inf each
  uint32_t key = 0;
  float value = kMinusInf;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    const uint32_t tried = key | bit;
    const uint32_t bits = (tried >> 31) != 0 ? tried ^ 0x80000000u : ~tried;
    float bound;
    __builtin_memcpy(&bound, &bits, sizeof bound);
    // A key whose float is NaN: below -inf every x reaches it, above inf none does.
    const bool below = (tried >> 31) == 0 && bound != bound;
    const int64_t reached = below ? n : count_ge(x, padded, bound) - (bound == kMinusInf ? surplus : 0);
    if (reached < k) continue;
    key = tried;
    if (!below) value = bound;
  }
  return value;
}

inline int64_t run_end(const int32_t* position, int64_t begin, int64_t end) {
  int64_t i = begin + 1;
  while (i < end && position[i] > position[i - 1]) ++i;
  return i < end ? i : end;
}

// Into ascending positions, of a list of few ascending runs: merges pairs of runs until there is one. spare: as long.
inline void sort_by_position(List& list, List spare) {
  while (run_end(list.position, 0, list.count) < list.count) {
    for (int64_t begin = 0; begin < list.count;) {
      const int64_t middle = run_end(list.position, begin, list.count),
                    end = run_end(list.position, middle, list.count);
      int64_t i = begin, j = middle;
      for (int64_t out = begin; out < end; ++out) {
        const bool second = i == middle || (j < end && list.position[j] < list.position[i]);
        const int64_t from = second ? j : i;
        spare.score[out] = list.score[from];
        spare.position[out] = list.position[from];
        j += second;
        i += !second;
      }
      begin = end;
    }
    for (int64_t i = 0; i < list.count; ++i) list.score[i] = spare.score[i];
    for (int64_t i = 0; i < list.count; ++i) list.position[i] = spare.position[i];
  }
}

// Appends what reaches the bound to `out`, which may be `list` with a count of its own.
inline void append_reaching(List& out, const List& list, float bound) {
  for (int64_t i = 0; i < list.count; i += kLanes) {
    const F32 s = load(list.score + i);
    const I32 position = load(list.position + i);
    uint32_t lanes = lanes_ge(s, set(bound));
    if (list.count - i < kLanes) lanes &= (1u << (list.count - i)) - 1;
    store_lanes(out.score + out.count, s, lanes);
    store_lanes(out.position + out.count, position, lanes);
    out.count += __builtin_popcount(lanes);
  }
}
inline void keep_reaching(List& list, float bound) {
  List kept{list.score, list.position, 0};
  append_reaching(kept, list, bound);
  list.count = kept.count;
}

// Keeps the k largest, ties to the lower position, in order of position.
inline void keep_largest(List& list, const List& spare, int64_t k) {
  if (list.count > k) keep_reaching(list, lower_bound_of_top(list.score, list.count, k));
  float last = kMinusInf;
  if (list.count > k) {
    last = kth_largest(list.score, list.count, k);
    keep_reaching(list, last);
  }
  sort_by_position(list, spare);
  if (list.count <= k) return;
  int64_t ties = k, kept = 0;  // ties: with the last, that may stay
  for (int64_t i = 0; i < list.count; ++i) ties -= list.score[i] > last;
  for (int64_t i = 0; i < list.count; ++i) {
    if (list.score[i] == last && ties-- <= 0) continue;
    list.score[kept] = list.score[i];
    list.position[kept++] = list.position[i];
  }
  list.count = kept;
}

// Drops most of what is not among the k largest. Returns a bound for further scores: those below it are not either.
inline float shorten(List& list, const List& spare, int64_t k) {
  if (list.count < k) return kMinusInf;
  const float bound = lower_bound_of_top(list.score, list.count, k);
  keep_reaching(list, bound);
  if (list.count <= k + k / 4 + 16) return bound;
  keep_largest(list, spare, k);  // ties, or scores that are not finite
  float last = list.score[0];
  for (int64_t i = 1; i < list.count; ++i) last = list.score[i] < last ? list.score[i] : last;
  return last;
}

// Adds the chosen lanes of the scores of positions [first, first + kLanes).
inline void append(List& list, F32 scores, int32_t first, uint32_t lanes) {
  alignas(64) static constexpr int32_t kIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  store_lanes(list.score + list.count, scores, lanes);
  store_lanes(list.position + list.count, load(kIndex) + set(first), lanes);
  list.count += __builtin_popcount(lanes);
}

}  // namespace sigma::SIGMA_ISA
