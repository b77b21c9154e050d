#include "corpus/minhash.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/clones.h"
#include "base/rng.h"
#include "corpus/text_util.h"
#include "corpus/words.h"

namespace sigma::corpus {

namespace {

constexpr int kHashes = kBands * kRows;

// Row i hashes a shingle x (64 random bits) to the upper half of a[i] x + b[i] mod 2^64 (multiply-shift,
// Dietzfelbinger).
struct Rows {
  std::array<uint64_t, kHashes> a{}, b{};
  Rows() {
    Rng rng(0x5167'6d61);
    for (int i = 0; i < kHashes; ++i) {
      a[static_cast<size_t>(i)] = rng.next() | 1;
      b[static_cast<size_t>(i)] = rng.next();
    }
  }
};

// Hashes are uniform: first into about as many ranges as there are of them, then in order within each.
void sort_hashes(std::vector<uint64_t>& out, const std::vector<uint64_t>& hashes) {
  const int shift = 64 - std::clamp(static_cast<int>(std::bit_width(hashes.size())), 1, 24);
  std::vector<size_t> ends((size_t{1} << (64 - shift)) + 1);
  for (const uint64_t h : hashes) ++ends[(h >> shift) + 1];
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  out.resize(hashes.size());
  for (const uint64_t h : hashes) out[ends[h >> shift]++] = h;
  auto begin = out.begin();
  for (size_t range = 0; range + 1 < ends.size(); ++range) {
    const auto end = out.begin() + static_cast<ptrdiff_t>(ends[range]);
    if (end - begin > 1) std::sort(begin, end);
    begin = end;
  }
}

}  // namespace

void make_shingles(std::vector<uint64_t>& out, const std::vector<uint64_t>& words) {
  std::vector<uint64_t> shingles;
  append_ngrams(shingles, words, kShingleWords);
  if (shingles.empty()) shingles.push_back(words_hash(words, 0));
  sort_hashes(out, shingles);
  out.erase(std::unique(out.begin(), out.end()), out.end());
}

SIGMA_WIDE_CLONES Bands band_hashes(std::span<const uint64_t> shingles) {
  static const Rows rows;
  std::array<uint32_t, kHashes> least;
  least.fill(~0u);
  // A few rows at a time stay in registers while the shingles pass.
  constexpr size_t kBlock = 8;
  for (size_t first = 0; first < kHashes; first += kBlock) {
    std::array<uint64_t, kBlock> a, b;
    std::array<uint32_t, kBlock> m;
    std::copy_n(rows.a.begin() + first, kBlock, a.begin());
    std::copy_n(rows.b.begin() + first, kBlock, b.begin());
    m.fill(~0u);
    for (const uint64_t x : shingles)
      for (size_t i = 0; i < kBlock; ++i) m[i] = std::min(m[i], static_cast<uint32_t>((a[i] * x + b[i]) >> 32));
    std::copy_n(m.begin(), kBlock, least.begin() + first);
  }
  Bands bands;
  for (size_t band = 0; band < kBands; ++band) {
    uint64_t h = band;
    for (size_t row = 0; row < kRows; ++row) h = mix_bits(h ^ least[band * kRows + row]) + 0x9e3779b97f4a7c15ull;
    bands[band] = h;
  }
  return bands;
}

double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  if (a.empty() && b.empty()) return 1;
  size_t i = 0, j = 0, both = 0;
  while (i < a.size() && j < b.size()) {
    const uint64_t x = a[i], y = b[j];
    both += x == y ? 1 : 0;
    i += x <= y ? 1 : 0;
    j += y <= x ? 1 : 0;
  }
  return static_cast<double>(both) / static_cast<double>(a.size() + b.size() - both);
}

}  // namespace sigma::corpus
