#include "corpus/text_util.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "text/unicode.h"

namespace sigma::corpus {

namespace {

// Windows-1252 from 0x80 to 0x9f; 0 where it has no character.
constexpr uint16_t kWindows[32] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                   0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017d, 0,
                                   0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                   0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

std::string from_utf16(std::string_view bytes, bool big_endian) {
  std::string out;
  const auto unit = [&](size_t i) {
    const auto a = static_cast<unsigned char>(bytes[i]), b = static_cast<unsigned char>(bytes[i + 1]);
    return static_cast<uint32_t>(big_endian ? a << 8 | b : b << 8 | a);
  };
  for (size_t i = 2; i + 1 < bytes.size(); i += 2) {
    uint32_t code = unit(i);
    const bool high = code >= 0xd800 && code < 0xdc00;
    if (high && i + 3 < bytes.size() && unit(i + 2) >= 0xdc00 && unit(i + 2) < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (unit(i + 2) - 0xdc00);
      i += 2;
    } else if (code >= 0xd800 && code < 0xe000) {
      code = 0xfffd;
    }
    if (code != 0) unicode::append_utf8(out, code);
  }
  return out;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  if (bytes.starts_with("\xff\xfe")) return from_utf16(bytes, false);
  if (bytes.starts_with("\xfe\xff")) return from_utf16(bytes, true);
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.remove_prefix(3);
  if (unicode::is_utf8(bytes) && bytes.find('\0') == std::string_view::npos) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size());
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto* const end = p + bytes.size();
  while (p < end) {
    const unicode::CodePoint c = unicode::decode(p, end);
    if (c.value == unicode::kInvalid) {
      const uint32_t code = *p >= 0xa0 ? *p : *p >= 0x80 ? kWindows[*p - 0x80] : 0;
      unicode::append_utf8(out, code == 0 ? 0xfffd : code);
      ++p;
      continue;
    }
    if (c.value != 0) out.append(reinterpret_cast<const char*>(p), static_cast<size_t>(c.length));
    p += c.length;
  }
  return out;
}

LineReader::Status LineReader::next(std::string_view& line) {
  constexpr size_t kChunk = size_t{1} << 18;
  bool too_long = false;
  size_t searched = begin_;
  while (true) {
    const void* found = searched < end_ ? std::memchr(buffer_.data() + searched, '\n', end_ - searched) : nullptr;
    if (found != nullptr || (ended_ && begin_ < end_)) {
      const size_t stop =
          found != nullptr ? static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) : end_;
      line = std::string_view(buffer_).substr(begin_, stop - begin_);
      begin_ = std::min(stop + 1, end_);
      return too_long || line.size() > longest_ ? Status::too_long : Status::line;
    }
    if (ended_) return too_long ? (line = {}, Status::too_long) : Status::end;
    if (end_ - begin_ > longest_) {  // only its start is kept
      too_long = true;
      end_ = begin_ + std::min<size_t>(longest_, 256);
    }
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    searched = end_;
    if (buffer_.size() < end_ + kChunk) buffer_.resize(std::max(end_ + kChunk, buffer_.size() * 2));
    const size_t got = source_(std::span(buffer_).subspan(end_, buffer_.size() - end_));
    end_ += got;
    ended_ = got == 0;
  }
}

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

namespace {
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_blank(std::string_view line) { return std::all_of(line.begin(), line.end(), is_space); }

std::string_view cut_text(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  return text.substr(0, most);
}

std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

bool contains_ignoring_case(std::string_view text, std::string_view needle) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  return std::search(text.begin(), text.end(), needle.begin(), needle.end(), same) != text.end();
}

uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  uint64_t h = seed ^ (bytes.size() * 0x9e3779b97f4a7c15ull);
  const char* p = bytes.data();
  size_t left = bytes.size();
  const auto word = [](const char* from, size_t n) {
    uint64_t w = 0;
    std::memcpy(&w, from, n);
    if constexpr (std::endian::native == std::endian::big) w = __builtin_bswap64(w);
    return w;
  };
  for (; left >= 8; p += 8, left -= 8) h = mix_bits(h ^ word(p, 8)) + 0x9e3779b97f4a7c15ull;
  if (left > 0) h = mix_bits(h ^ word(p, left)) + left;
  return mix_bits(h);
}

}  // namespace sigma::corpus
