// The methods of str. Markup stays markup through them, as in markupsafe.
#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "text/jinja_operators.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

using Bound = std::vector<std::optional<Value>>;

Value like(Runtime& rt, const Text& self, std::string_view bytes) { return rt.text(std::string(bytes), self.markup); }

// No character, or None, means white space.
std::optional<std::string> characters(const std::optional<Value>& chars) {
  if (!chars || chars->is(Kind::none)) return std::nullopt;
  return require_text(*chars, "the characters to strip").bytes;
}

// Whole characters of valid UTF-8 are found nowhere but at a character.
std::string_view strip_of(std::string_view text, const std::optional<std::string>& chars, bool left, bool right) {
  if (!chars) {
    if (left) text = strip_left(text);
    return right ? strip_right(text) : text;
  }
  while (left && !text.empty()) {
    const size_t size = code_point_at(text, 0).bytes;
    if (chars->find(text.substr(0, size)) == chars->npos) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    size_t at = text.size() - 1;
    while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (chars->find(text.substr(at)) == chars->npos) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

template <bool kLeft, bool kRight>
Value strip(Runtime& rt, const Text& self, const Arguments& given) {
  return like(rt, self, strip_of(self.bytes, characters(bind(given, "strip", {"/chars"}, 0)[0]), kLeft, kRight));
}

struct Splitter {
  Runtime& rt;
  const Text& self;
  int64_t left;  // splits still allowed
  std::vector<Value> parts = {};

  void add(std::string_view part) { parts.push_back(like(rt, self, part)); }

  void on_space() {
    for (std::string_view text = strip_left(self.bytes); !text.empty(); text = strip_left(text)) {
      if (left-- == 0) return add(text);
      size_t end = 0;
      while (end < text.size() && !is_space(code_point_at(text, end).value)) end += code_point_at(text, end).bytes;
      add(text.substr(0, end));
      text.remove_prefix(end);
    }
  }

  void on_space_from_right() {
    for (std::string_view text = strip_right(self.bytes); !text.empty(); text = strip_right(text)) {
      if (left-- == 0) {
        add(text);
        break;
      }
      size_t start = text.size();
      while (start > 0) {
        size_t before = start - 1;
        while ((static_cast<unsigned char>(text[before]) & 0xC0) == 0x80) --before;
        if (is_space(code_point_at(text, before).value)) break;
        start = before;
      }
      add(text.substr(start));
      text.remove_suffix(text.size() - start);
    }
    std::reverse(parts.begin(), parts.end());
  }

  void on(std::string_view separator) {
    std::string_view text = self.bytes;
    for (size_t at = text.find(separator); at != text.npos && left-- != 0; at = text.find(separator)) {
      add(text.substr(0, at));
      text.remove_prefix(at + separator.size());
    }
    add(text);
  }

  void on_from_right(std::string_view separator) {
    std::string_view text = self.bytes;
    for (size_t at = text.rfind(separator); at != text.npos && left-- != 0; at = text.rfind(separator)) {
      add(text.substr(at + separator.size()));
      text = text.substr(0, at);
    }
    add(text);
    std::reverse(parts.begin(), parts.end());
  }
};

template <bool kFromRight>
Value split(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "split", {"sep", "maxsplit"}, 0);
  const int64_t limit = bound[1] ? require_integer(*bound[1], "maxsplit") : -1;
  Splitter splitter{.rt = rt, .self = self, .left = limit < 0 ? -1 : limit};
  if (!bound[0] || bound[0]->is(Kind::none)) {
    kFromRight ? splitter.on_space_from_right() : splitter.on_space();
  } else {
    const std::string& separator = require_text(*bound[0], "the separator").bytes;
    if (separator.empty()) fail("a separator that is not empty", "''");
    kFromRight ? splitter.on_from_right(separator) : splitter.on(separator);
  }
  return rt.list(std::move(splitter.parts));
}

Value split_lines(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "splitlines", {"keepends"}, 0);
  const bool keep = bound[0] && truthy(*bound[0]);
  std::vector<Value> lines;
  const std::string_view text = self.bytes;
  for (size_t start = 0, at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const size_t end = at;
    at += c.bytes;
    if (is_line_end(c.value)) {
      if (c.value == '\r' && text.substr(at).starts_with('\n')) ++at;
      lines.push_back(like(rt, self, text.substr(start, (keep ? at : end) - start)));
      start = at;
    } else if (at == text.size()) {
      lines.push_back(like(rt, self, text.substr(start)));
    }
  }
  return rt.list(std::move(lines));
}

template <bool kFromRight>
Value partition(Runtime& rt, const Text& self, const Arguments& given) {
  const std::string separator = require_text(*bind(given, "partition", {"/sep"}, 1)[0], "the separator").bytes;
  if (separator.empty()) fail("a separator that is not empty", "''");
  const std::string_view text = self.bytes;
  const size_t at = kFromRight ? text.rfind(separator) : text.find(separator);
  std::array<std::string_view, 3> parts = {text, "", ""};
  if (at != text.npos) {
    parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  } else if (kFromRight) {
    parts = {"", "", text};
  }
  return rt.tuple({like(rt, self, parts[0]), like(rt, self, parts[1]), like(rt, self, parts[2])});
}

Value replace(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "replace", {"/old", "/new", "/count"}, 2);
  const std::string& from = require_text(*bound[0], "the text to replace").bytes;
  const Value to = self.markup ? escaped(rt, *bound[1]) : *bound[1];
  const int64_t limit = bound[2] ? require_integer(*bound[2], "the count") : -1;
  return rt.text(replace_all(rt, self.bytes, from, require_text(to, "the replacement").bytes, limit), self.markup);
}

// self[start:end] of find, count, startswith...: the bytes, and the characters before them. Nothing when start is past
// the end of the text.
struct Part {
  std::string_view bytes;
  int64_t first = 0;
};
std::optional<Part> part_of(const Text& self, const std::optional<Value>& start, const std::optional<Value>& end) {
  const auto size = static_cast<int64_t>(self.chars);
  const auto place = [&](const std::optional<Value>& v, int64_t absent) {
    if (!v || v->is(Kind::none)) return absent;
    const int64_t at = require_integer(*v, "a place in a str");
    return at < 0 ? std::max(at + size, int64_t{0}) : at;
  };
  const int64_t first = place(start, 0), last = std::min(place(end, size), size);
  if (first > size || first > last) return std::nullopt;
  const auto offset = [&](int64_t at) {
    return self.ascii() ? static_cast<size_t>(at) : byte_offset(self.bytes, static_cast<size_t>(at));
  };
  const size_t from = offset(first);
  return Part{.bytes = std::string_view(self.bytes).substr(from, offset(last) - from), .first = first};
}

template <bool kAtEnd>
Value has_affix(Runtime&, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, kAtEnd ? "endswith" : "startswith", {"/affix", "/start", "/end"}, 1);
  const auto part = part_of(self, bound[1], bound[2]);
  const auto matches = [&](const Value& affix) {
    const std::string& text = require_text(affix, "a prefix or suffix").bytes;
    return part && (kAtEnd ? part->bytes.ends_with(text) : part->bytes.starts_with(text));
  };
  if (!bound[0]->is(Kind::tuple)) return Value::boolean(matches(*bound[0]));
  const auto& affixes = bound[0]->as_items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <bool kFromRight, bool kMustBeThere>
Value find(Runtime&, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "find", {"/sub", "/start", "/end"}, 1);
  const std::string& wanted = require_text(*bound[0], "the text to find").bytes;
  const auto part = part_of(self, bound[1], bound[2]);
  const size_t at = !part ? std::string_view::npos : kFromRight ? part->bytes.rfind(wanted) : part->bytes.find(wanted);
  if (at != std::string_view::npos) {
    return Value::integer(part->first + static_cast<int64_t>(count_code_points(part->bytes.substr(0, at))));
  }
  if (kMustBeThere) fail("a text that is there", fmt::format("'{}', which is not", printable(wanted, 40)));
  return Value::integer(-1);
}

Value count(Runtime&, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "count", {"/sub", "/start", "/end"}, 1);
  const std::string& wanted = require_text(*bound[0], "the text to count").bytes;
  const auto part = part_of(self, bound[1], bound[2]);
  if (!part) return Value::integer(0);
  if (wanted.empty()) return Value::integer(static_cast<int64_t>(count_code_points(part->bytes)) + 1);
  int64_t found = 0;
  for (size_t at = part->bytes.find(wanted); at != part->bytes.npos;
       at = part->bytes.find(wanted, at + wanted.size())) {
    ++found;
  }
  return Value::integer(found);
}

Value join(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "join", {"/iterable"}, 1);
  std::string out;
  bool first = true;
  Cursor cursor(rt, *bound[0]);
  while (const auto item = cursor.next()) {
    const Value text = self.markup ? escaped(rt, *item) : *item;
    const std::string& bytes = require_text(text, "the parts to join").bytes;
    rt.charge(self.bytes.size() + bytes.size());
    if (!std::exchange(first, false)) out += self.bytes;
    out += bytes;
  }
  return Value::text(std::move(out), self.markup);
}

enum class Align : uint8_t { left, right, center };

template <Align kAlign>
Value pad(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "a padding method", {"/width", "/fillchar"}, 1);
  const int64_t width = require_integer(*bound[0], "the width");
  const Value filler = bound[1] ? (self.markup ? escaped(rt, *bound[1]) : *bound[1]) : Value::text(" ");
  if (require_text(filler, "the fill character").chars != 1) fail("one fill character", describe(filler));
  const auto size = static_cast<int64_t>(self.chars);
  const int64_t missing = std::max(width - size, int64_t{0});
  // str.center puts the odd one out on the left when the width is odd.
  const int64_t before = kAlign == Align::left    ? 0
                         : kAlign == Align::right ? missing
                                                  : missing / 2 + (missing & width & 1);
  const std::string left = repeat(rt, filler.as_text(), before).as_string();
  return like(rt, self, left + self.bytes + repeat(rt, filler.as_text(), missing - before).as_string());
}

Value zero_fill(Runtime& rt, const Text& self, const Arguments& given) {
  const int64_t width = require_integer(*bind(given, "zfill", {"/width"}, 1)[0], "the width");
  const int64_t missing = width - static_cast<int64_t>(self.chars);
  const Value zeros = repeat(rt, Text{.bytes = "0", .chars = 1}, missing);
  const bool sign = self.bytes.starts_with('-') || self.bytes.starts_with('+');
  return like(rt, self, self.bytes.substr(0, sign ? 1 : 0) + zeros.as_string() + self.bytes.substr(sign ? 1 : 0));
}

Value expand_tabs(Runtime& rt, const Text& self, const Arguments& given) {
  const Bound bound = bind(given, "expandtabs", {"tabsize"}, 0);
  const int64_t size = bound[0] ? require_integer(*bound[0], "the tab size") : 8;
  std::string out;
  int64_t column = 0;
  for (const char c : self.bytes) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out += repeat(rt, Text{.bytes = " ", .chars = 1}, spaces).as_string();
      column += spaces;
      continue;
    }
    out += c;
    column = c == '\n' || c == '\r' ? 0 : column + ((static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0);
  }
  return like(rt, self, out);
}

template <bool kSuffix>
Value remove_affix(Runtime& rt, const Text& self, const Arguments& given) {
  const std::string affix = require_text(*bind(given, "removeprefix", {"/affix"}, 1)[0], "a prefix or suffix").bytes;
  std::string_view text = self.bytes;
  if (kSuffix ? text.ends_with(affix) : text.starts_with(affix)) {
    kSuffix ? text.remove_suffix(affix.size()) : text.remove_prefix(affix.size());
  }
  return like(rt, self, text);
}

template <std::string (*kMap)(std::string_view)>
Value mapped(Runtime& rt, const Text& self, const Arguments& given) {
  bind(given, "a method of str", {}, 0);
  return like(rt, self, kMap(self.bytes));
}

void require_ascii(const Text& self, std::string_view method) {
  if (!self.ascii()) fail(fmt::format("ASCII text for str.{}", method), describe(Value::text(self.bytes)));
}

Value case_fold(Runtime& rt, const Text& self, const Arguments& given) {
  bind(given, "casefold", {}, 0);
  require_ascii(self, "casefold");
  return like(rt, self, lower(self.bytes));
}

// Every character is of a kind, and there is one.
template <bool (*kOf)(char32_t)>
Value all_are(Runtime&, const Text& self, const Arguments& given) {
  bind(given, "a method of str", {}, 0);
  bool all = true;
  for (size_t at = 0; at < self.bytes.size() && all;) {
    const CodePoint c = code_point_at(self.bytes, at);
    all = kOf(c.value);
    at += c.bytes;
  }
  return Value::boolean(all && !self.bytes.empty());
}

bool is_decimal(char32_t c) { return decimal_digit(c) >= 0; }
bool ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }

template <bool (*kOf)(char32_t)>
Value all_ascii_are(Runtime& rt, const Text& self, const Arguments& given) {
  require_ascii(self, "isdigit and str.isnumeric");
  return all_are<kOf>(rt, self, given);
}

template <bool (*kHolds)(std::string_view)>
Value holds(Runtime&, const Text& self, const Arguments& given) {
  bind(given, "a method of str", {}, 0);
  return Value::boolean(kHolds(self.bytes));
}

bool ascii_only(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool all_printable(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (!is_printable(c.value)) return false;
    at += c.bytes;
  }
  return true;
}

Value is_identifier(Runtime&, const Text& self, const Arguments& given) {
  bind(given, "isidentifier", {}, 0);
  require_ascii(self, "isidentifier");
  const std::string& s = self.bytes;
  return Value::boolean(
      !s.empty() && !ascii_digit(static_cast<char32_t>(s[0])) &&
      std::all_of(s.begin(), s.end(), [](char c) { return c == '_' || is_alnum(static_cast<char32_t>(c)); }));
}

Value format(Runtime& rt, const Text& self, const Arguments& given) { return brace_format(rt, self, given); }

Value format_map(Runtime& rt, const Text& self, const Arguments& given) {
  const Value map = *bind(given, "format_map", {"/mapping"}, 1)[0];
  if (!map.is(Kind::dict)) fail("a dict for format_map", describe(map));
  Arguments named;
  for (const auto& [key, value] : map.as_dict().items()) {
    if (key.is(Kind::string)) named.named.emplace_back(key.as_string(), value);
  }
  return brace_format(rt, self, named);
}

struct Method {
  std::string_view name;
  Value (*call)(Runtime&, const Text&, const Arguments&);
};

constexpr Method kMethods[] = {
    {"capitalize", mapped<capitalize>},
    {"casefold", case_fold},
    {"center", pad<Align::center>},
    {"count", count},
    {"endswith", has_affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find<false, false>},
    {"format", format},
    {"format_map", format_map},
    {"index", find<false, true>},
    {"isalnum", all_are<is_alnum>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", holds<ascii_only>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_ascii_are<ascii_digit>},
    {"isidentifier", is_identifier},
    {"islower", holds<is_lower>},
    {"isnumeric", all_ascii_are<ascii_digit>},
    {"isprintable", holds<all_printable>},
    {"isspace", all_are<is_space>},
    {"isupper", holds<is_upper>},
    {"join", join},
    {"ljust", pad<Align::left>},
    {"lower", mapped<lower>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", pad<Align::right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", split_lines},
    {"startswith", has_affix<false>},
    {"strip", strip<true, true>},
    {"swapcase", mapped<swap_case>},
    {"title", mapped<title>},
    {"upper", mapped<upper>},
    {"zfill", zero_fill},
};

}  // namespace

std::string replace_all(Runtime& rt, std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  int64_t left = limit < 0 ? -1 : limit;
  const auto add = [&](std::string_view part) {
    rt.charge(part.size());
    out += part;
  };
  if (from.empty()) {  // before every character and at the end
    for (; left != 0; --left) {
      add(to);
      if (text.empty()) return out;
      const size_t size = code_point_at(text, 0).bytes;
      add(text.substr(0, size));
      text.remove_prefix(size);
    }
    add(text);
    return out;
  }
  for (size_t at = text.find(from); at != text.npos && left != 0; at = text.find(from), --left) {
    add(text.substr(0, at));
    add(to);
    text.remove_prefix(at + from.size());
  }
  add(text);
  return out;
}

Value call_method(Runtime& rt, const Value& text, const std::string& name, std::vector<Value> positional) {
  return string_method(text, name)->as_function().call(rt, {.positional = std::move(positional)});
}

std::optional<Value> string_method(const Value& object, const std::string& name) {
  for (const std::string_view missing : {"encode", "istitle", "maketrans", "translate", "striptags", "unescape"}) {
    const bool of_markup = missing == "striptags" || missing == "unescape";
    if (name == missing && (!of_markup || object.as_text().markup)) {
      fail("a method of str that is supported", fmt::format("'{}'", name));
    }
  }
  const auto found =
      std::find_if(std::begin(kMethods), std::end(kMethods), [&](const Method& m) { return m.name == name; });
  if (found == std::end(kMethods)) return std::nullopt;
  const auto call = found->call;
  return Value::function(name, [object, call](Runtime& rt, const Arguments& given) {
    rt.charge(object.as_string().size());
    return call(rt, object.as_text(), given);
  });
}

}  // namespace sigma::jinja
