// Small pieces that readers and filters share: bytes to UTF-8, lines, names.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace sigma::corpus {

// Bytes of unknown encoding as UTF-8: UTF-16 with a byte order mark is converted; valid UTF-8 stays; each byte that is
// not part of UTF-8 is read as Windows-1252. Byte order marks and NUL characters are left out.
std::string to_utf8(std::string_view bytes);

// Where bytes come from: fills the span from its start, returns how many; 0 is the end.
using ByteSource = std::function<size_t(std::span<char>)>;

// Lines of a stream, in bounded memory.
class LineReader {
 public:
  LineReader(ByteSource source, size_t longest) : source_(std::move(source)), longest_(longest) {}
  enum class Status : uint8_t { line, too_long, end };
  // The next line without its line feed, valid until the next call; of one that is too long, its start.
  Status next(std::string_view& line);

 private:
  ByteSource source_;
  size_t longest_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  bool ended_ = false;
};

std::string lower_ascii(std::string_view text);
std::string_view trim(std::string_view text);  // without ASCII white space at both ends
bool is_blank(std::string_view line);
// The start of a text, at most so many bytes of whole characters.
std::string_view cut_text(std::string_view text, size_t most);
// The next line of `rest`, which loses it and its line feed.
std::string_view take_line(std::string_view& rest);
bool contains_ignoring_case(std::string_view text, std::string_view lower_case_needle);

// 64 well-mixed bits of bytes; the same on every machine. What is hashed is text that its author does not choose to
// collide with ours; equal texts that matter are compared in full.
uint64_t hash_bytes(std::string_view bytes, uint64_t seed = 0);
inline uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
  return x ^ (x >> 32);
}

}  // namespace sigma::corpus
