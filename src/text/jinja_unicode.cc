#include "text/jinja_unicode.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "text/jinja_unicode_tables.h"
#include "text/unicode.h"

namespace sigma::jinja {

namespace {

template <class Run, size_t N>
const Run* find_run(const Run (&runs)[N], char32_t c) {
  const Run* run =
      std::lower_bound(std::begin(runs), std::end(runs), c, [](const Run& r, char32_t x) { return r.last < x; });
  return run != std::end(runs) && run->first <= c && (c - run->first) % run->stride == 0 ? run : nullptr;
}

template <size_t N>
bool contains(const CodeRun (&runs)[N], char32_t c) {
  return find_run(runs, c) != nullptr;
}

template <size_t N>
char32_t mapped(const CaseRun (&runs)[N], char32_t c) {
  const CaseRun* run = find_run(runs, c);
  return run == nullptr ? c : static_cast<char32_t>(static_cast<int64_t>(c) + run->delta);
}

bool append_expansion(std::string& out, std::span<const CaseExpansion> table, char32_t c) {
  const auto row =
      std::lower_bound(table.begin(), table.end(), c, [](const CaseExpansion& r, char32_t x) { return r.from < x; });
  if (row == table.end() || row->from != c) return false;
  for (const uint32_t to : row->to) {
    if (to != 0) unicode::append_utf8(out, to);
  }
  return true;
}

bool lowercase(char32_t c) { return c < 0x80 ? c >= 'a' && c <= 'z' : contains(kLowercase, c); }
bool uppercase(char32_t c) { return c < 0x80 ? c >= 'A' && c <= 'Z' : contains(kUppercase, c); }
bool titlecase(char32_t c) { return contains(kTitlecase, c); }
bool cased(char32_t c) { return lowercase(c) || uppercase(c) || titlecase(c); }

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(lowercase(c) ? c - 32 : c);
  } else if (!append_expansion(out, kToUpperMany, c)) {
    unicode::append_utf8(out, mapped(kToUpper, c));
  }
}

void append_title(std::string& out, char32_t c) {
  if (!append_expansion(out, kToTitle, c)) append_upper(out, c);
}

// A capital sigma ends a word: after a cased letter and not before one, case-ignorable characters left aside.
bool final_sigma(std::string_view text, size_t at) {
  bool after = false;
  for (size_t i = at; i > 0 && !after;) {
    do --i;
    while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
    const char32_t c = code_point_at(text, i).value;
    if (contains(kCaseIgnorable, c)) continue;
    if (!cased(c)) return false;
    after = true;
  }
  if (!after) return false;
  for (size_t i = at + 2; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    if (!contains(kCaseIgnorable, c.value)) return !cased(c.value);
    i += c.bytes;
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, size_t at, char32_t c) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  if (c < 0x80) {
    out += static_cast<char>(uppercase(c) ? c + 32 : c);
  } else if (c == kCapitalSigma) {
    unicode::append_utf8(out, final_sigma(text, at) ? 0x3C2 : 0x3C3);
  } else if (!append_expansion(out, kToLowerMany, c)) {
    unicode::append_utf8(out, mapped(kToLower, c));
  }
}

template <class F>
std::string map_characters(std::string_view text, F append) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    append(out, at, c.value);
    at += c.bytes;
  }
  return out;
}

// All letters that have a case have this one, and there is at least one.
bool all_cased_are(std::string_view text, bool (*wanted)(char32_t)) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    at += c.bytes;
    if (wanted(c.value)) {
      any = true;
    } else if (lowercase(c.value) || uppercase(c.value) || titlecase(c.value)) {
      return false;
    }
  }
  return any;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t at) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const unicode::CodePoint c = unicode::decode(bytes + at, bytes + text.size());
  return {c.value, static_cast<size_t>(c.length)};
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0; --index) at += code_point_at(text, at).bytes;
  return at;
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alpha(char32_t c) { return unicode::class_of(c) == unicode::Class::letter; }

bool is_alnum(char32_t c) {
  const unicode::Class of = unicode::class_of(c);
  return of == unicode::Class::letter || of == unicode::Class::number || of == unicode::Class::late_number;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_printable(char32_t c) { return c < 0x80 ? c >= 0x20 && c != 0x7F : !contains(kUnprintable, c); }

int decimal_digit(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9' ? static_cast<int>(c - '0') : -1;
  const CodeRun* run = find_run(kDecimal, c);
  return run == nullptr ? -1 : static_cast<int>((c - run->first) % 10);
}

std::string_view strip_left(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = code_point_at(text, 0);
    if (!is_space(c.value)) break;
    text.remove_prefix(c.bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!is_space(code_point_at(text, at).value)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::string lower(std::string_view text) {
  return map_characters(text, [&](std::string& out, size_t at, char32_t c) { append_lower(out, text, at, c); });
}

std::string upper(std::string_view text) {
  return map_characters(text, [](std::string& out, size_t, char32_t c) { append_upper(out, c); });
}

std::string capitalize(std::string_view text) {
  return map_characters(text, [&](std::string& out, size_t at, char32_t c) {
    if (at == 0) {
      append_title(out, c);
    } else {
      append_lower(out, text, at, c);
    }
  });
}

std::string title(std::string_view text) {
  bool inside = false;  // the previous character has a case
  return map_characters(text, [&](std::string& out, size_t at, char32_t c) {
    if (inside) {
      append_lower(out, text, at, c);
    } else {
      append_title(out, c);
    }
    inside = cased(c);
  });
}

std::string swap_case(std::string_view text) {
  return map_characters(text, [&](std::string& out, size_t at, char32_t c) {
    if (uppercase(c)) {
      append_lower(out, text, at, c);
    } else if (lowercase(c)) {
      append_upper(out, c);
    } else {
      unicode::append_utf8(out, c);
    }
  });
}

bool is_lower(std::string_view text) { return all_cased_are(text, lowercase); }
bool is_upper(std::string_view text) { return all_cased_are(text, uppercase); }

}  // namespace sigma::jinja
