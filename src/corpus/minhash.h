// MinHash signatures and their bands (Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", ch. 3).
// Two texts whose sets of shingles have Jaccard similarity J share at least one of 14 bands of 8 rows with probability
// 1 - (1 - J^8)^14: 92% at J = 0.8, 36% at 0.65, 5% at 0.5.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sigma::corpus {

inline constexpr int kBands = 14, kRows = 8, kShingleWords = 5;
using Bands = std::array<uint64_t, kBands>;

// The shingles of a text: hashes of its word 5-grams, sorted, each once. Of fewer than 5 words: one of all of them.
void make_shingles(std::vector<uint64_t>& out, const std::vector<uint64_t>& words);
Bands band_hashes(std::span<const uint64_t> shingles);
double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b);  // of two sorted sets

}  // namespace sigma::corpus
