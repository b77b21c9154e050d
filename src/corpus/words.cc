#include "corpus/words.h"

#include <array>

#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

// 0: between words; else the byte that is hashed.
constexpr std::array<uint8_t, 256> kLetter = [] {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
    table[static_cast<size_t>(c)] = static_cast<uint8_t>(kept ? upper ? c + 32 : c : 0);
  }
  return table;
}();

constexpr uint64_t kStart = 0xcbf29ce484222325ull, kStep = 0x100000001b3ull;

}  // namespace

void append_word_hashes(std::vector<uint64_t>& out, std::string_view text) {
  uint64_t h = kStart;
  for (const char c : text) {
    const uint8_t letter = kLetter[static_cast<unsigned char>(c)];
    if (letter != 0) {
      h = (h ^ letter) * kStep;
    } else if (h != kStart) {
      out.push_back(mix_bits(h));
      h = kStart;
    }
  }
  if (h != kStart) out.push_back(mix_bits(h));
}

void append_ngrams(std::vector<uint64_t>& out, const std::vector<uint64_t>& words, int n) {
  const auto length = static_cast<size_t>(n);
  for (size_t i = 0; i + length <= words.size(); ++i) {
    uint64_t h = words[i];
    for (size_t j = 1; j < length; ++j) h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9ull + words[i + j];
    out.push_back(mix_bits(h));
  }
}

uint64_t words_hash(const std::vector<uint64_t>& words, uint64_t seed) {
  uint64_t h = seed;
  for (const uint64_t word : words) h = mix_bits(h ^ word) + 0x9e3779b97f4a7c15ull;
  return mix_bits(h ^ words.size());
}

}  // namespace sigma::corpus
