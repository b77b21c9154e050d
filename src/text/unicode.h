// The part of Unicode that tokenizers need: UTF-8, the classes \p{L}, \p{N} and \s, and normalization form C.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/unicode_tables.h"

namespace sigma::unicode {

// late_number: a number of Unicode 17, which the reference's `Digits` pre-tokenizer knows and its regex engine does
// not.
enum class Class : uint8_t { other, letter, number, space, late_number };

inline constexpr uint32_t kInvalid = 0xffffffff;

struct CodePoint {
  uint32_t value = kInvalid;
  int length = 1;          // bytes; of an invalid sequence as many as are replaced by one U+FFFD, at least 1
  bool truncated = false;  // invalid only because the text ended within a character
};

// The code point in bytes of 0x80 and above at p < end.
CodePoint decode_multibyte(const unsigned char* p, const unsigned char* end);

inline CodePoint decode(const unsigned char* p, const unsigned char* end) {
  if (*p < 0x80) return {*p, 1, false};
  return decode_multibyte(p, end);
}

// Class bits of a code point below 0x110000, and 8 when it is not certain to stay as it is in form C.
inline unsigned properties(uint32_t code) {
  const uint64_t sixteen = kBlocks[16 * kBlockIndex[code >> 8] + ((code >> 4) & 15)];
  return static_cast<unsigned>(sixteen >> (4 * (code & 15))) & 15;
}

inline Class class_of(uint32_t code) {
  return code == kInvalid ? Class::other : static_cast<Class>(properties(code) & 7);
}

bool is_utf8(std::string_view text);
void append_utf8(std::string& out, uint32_t code);

// Normalization form C. `text` itself when it is in that form already, else a view of `scratch`. Invalid bytes are
// kept.
std::string_view normalize_nfc(std::string_view text, std::string& scratch);

}  // namespace sigma::unicode
