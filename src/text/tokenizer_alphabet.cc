#include "text/tokenizer_alphabet.h"

#include <array>
#include <cstdint>

namespace sigma {
namespace {

constexpr int kCodes = 0x144;  // the alphabet lies below

// Bytes that print in Latin-1 stand for themselves, the others are numbered from U+0100.
constexpr bool prints(int byte) { return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad); }

constexpr std::array<uint16_t, 256> kCodeOfByte = [] {
  std::array<uint16_t, 256> codes{};
  int next = 0x100;
  for (int b = 0; b < 256; ++b) codes[static_cast<size_t>(b)] = static_cast<uint16_t>(prints(b) ? b : next++);
  return codes;
}();

constexpr std::array<int16_t, kCodes> kByteOfCode = [] {
  std::array<int16_t, kCodes> bytes{};
  for (int16_t& b : bytes) b = -1;
  for (size_t b = 0; b < 256; ++b) bytes[kCodeOfByte[b]] = static_cast<int16_t>(b);
  return bytes;
}();

}  // namespace

bool bytes_of_alphabet(std::string_view printable, std::string& bytes) {
  bytes.resize(printable.size());
  size_t size = 0;
  for (size_t i = 0; i < printable.size(); ++i) {
    auto code = static_cast<unsigned>(static_cast<unsigned char>(printable[i]));
    if (code >= 0x80) {  // two bytes, for U+0080 .. U+07FF
      if (code < 0xc2 || code > 0xdf || i + 1 == printable.size()) return false;
      const auto tail = static_cast<unsigned char>(printable[++i]);
      if ((tail & 0xc0) != 0x80) return false;
      code = (code & 0x1f) << 6 | (tail & 0x3fu);
    }
    if (code >= kCodes || kByteOfCode[code] < 0) return false;
    bytes[size++] = static_cast<char>(kByteOfCode[code]);
  }
  bytes.resize(size);
  return true;
}

std::string alphabet_of_bytes(std::string_view bytes) {
  std::string printable;
  for (const char c : bytes) {
    const unsigned code = kCodeOfByte[static_cast<unsigned char>(c)];
    if (code < 0x80) {
      printable += static_cast<char>(code);
    } else {
      printable += static_cast<char>(0xc0 | code >> 6);
      printable += static_cast<char>(0x80 | (code & 0x3f));
    }
  }
  return printable;
}

}  // namespace sigma
