// The data behind text/unicode.h, generated: see tools/make_unicode_tables.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sigma::unicode {

struct CombiningRange {
  uint32_t first, last;
  uint8_t combining_class;
};
struct Decomposition {
  uint32_t composite, first, second;  // second 0: a singleton
};

// Four bits a code point: its Class, and 8 when the normal form cannot be told without looking at its neighbours.
// kBlocks[16 * kBlockIndex[c / 256] + c / 16 % 16] holds the sixteen code points around c, lowest first.
extern const uint8_t kBlockIndex[4352];
extern const uint64_t kBlocks[];

extern const CombiningRange kCombining[];      // by code point; Hangul has none
extern const Decomposition kDecompositions[];  // by composite, one step each, without Hangul syllables
extern const Decomposition kCompositions[];    // by (first, second), exclusions left out
extern const size_t kCombiningCount, kDecompositionCount, kCompositionCount;

}  // namespace sigma::unicode
