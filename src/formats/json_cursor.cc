#include "formats/json_cursor.h"

#include "base/error.h"
#include "text/unicode.h"

namespace sigma {

void JsonCursor::fail(const std::string& expected) const {
  const std::string found = position_ < text_.size() ? "\"" + printable(text_.substr(position_, 12)) + "\"" : "the end";
  throw Error(where_, expected, fmt::format("{} at byte {}", found, position_));
}

void JsonCursor::skip_space() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
    ++position_;
  }
}

bool JsonCursor::at(char c) {
  skip_space();
  return position_ < text_.size() && text_[position_] == c;
}

void JsonCursor::expect(char c) {
  if (!at(c)) fail(fmt::format("'{}'", c));
  ++position_;
}

void JsonCursor::begin(char bracket) {
  expect(bracket);
  first_ = true;
}

bool JsonCursor::next(char closing) {
  if (at(closing)) {
    ++position_;
    first_ = false;
    return false;
  }
  if (!first_) expect(',');
  first_ = false;
  return true;
}

bool JsonCursor::next_key(std::string& key) {
  if (!next('}')) return false;
  string(key);
  expect(':');
  return true;
}

bool JsonCursor::next_element() { return next(']'); }

int64_t JsonCursor::integer() {
  skip_space();
  const size_t start = position_;
  int64_t value = 0;
  while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') {
    if (position_ - start == 18) fail("at most 18 digits");
    value = 10 * value + (text_[position_++] - '0');
  }
  if (position_ == start) fail("a whole number");
  return value;
}

void JsonCursor::string(std::string& out) {
  expect('"');
  out.clear();
  for (;;) {
    const size_t start = position_;
    while (position_ < text_.size() && text_[position_] != '"' && text_[position_] != '\\') {
      if (static_cast<unsigned char>(text_[position_]) < 0x20) fail("no control character in a string");
      ++position_;
    }
    out.append(text_, start, position_ - start);
    if (position_ == text_.size()) fail("the end of a string");
    if (text_[position_++] == '"') return;
    escape(out);
  }
}

void JsonCursor::escape(std::string& out) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (position_ == text_.size()) fail("an escape sequence");
  const char c = text_[position_++];
  if (c != 'u') {
    const size_t i = kNames.find(c);
    if (i == std::string_view::npos) fail("an escape sequence");
    out += kMeanings[i];
    return;
  }
  uint32_t code = hex4();
  if (code >= 0xd800 && code < 0xdc00) {  // the first half of a surrogate pair
    if (text_.substr(position_, 2) != "\\u") fail("the second half of a surrogate pair");
    position_ += 2;
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("the second half of a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  } else if (code >= 0xdc00 && code <= 0xdfff) {
    fail("a whole surrogate pair");
  }
  unicode::append_utf8(out, code);
}

uint32_t JsonCursor::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      fail("four hexadecimal digits");
    }
    ++position_;
  }
  return value;
}

void JsonCursor::skip_string() {
  ++position_;
  while (position_ < text_.size() && text_[position_] != '"') position_ += text_[position_] == '\\' ? 2 : 1;
  if (position_ >= text_.size()) {
    position_ = text_.size();
    fail("the end of a string");
  }
  ++position_;
}

std::string_view JsonCursor::skip() {
  skip_space();
  const size_t start = position_;
  int64_t depth = 0;
  while (position_ < text_.size()) {
    const char c = text_[position_];
    const bool ends_scalar = c == ',' || c == ':' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (depth == 0 && (ends_scalar || c == '}' || c == ']')) break;
    if (c == '"') {
      skip_string();
      if (depth == 0) break;
      continue;
    }
    ++position_;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) break;
  }
  if (depth != 0) fail("the end of an object or array");
  if (position_ == start) fail("a value");
  return text_.substr(start, position_ - start);
}

void JsonCursor::finish() {
  skip_space();
  if (position_ != text_.size()) fail("the end of the text");
}

}  // namespace sigma
