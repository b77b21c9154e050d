// Filters that give one text or number for another.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "text/jinja_filters.h"
#include "text/jinja_json.h"
#include "text/jinja_operators.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"
#include "text/markup.h"

namespace sigma::jinja {

namespace {

// markupsafe.soft_str: markup stays markup.
Value soft_text(Runtime& rt, const Value& v) { return v.is(Kind::string) ? v : rt.text(to_text(rt, v)); }

Value absolute(Runtime&, const Value& v, const Arguments& given) {
  bind(given, "abs", {}, 0);
  if (!v.is_number()) fail("a number for abs", describe(v));
  if (v.is(Kind::real)) return Value::real(std::fabs(v.as_real()));
  return v.as_integer() < 0 ? negative(v) : Value::integer(v.as_integer());
}

Value title_case(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "title", {}, 0);
  const Value text = soft_text(rt, v);
  std::string out;
  size_t at = 0;
  const std::string& s = text.as_string();
  const auto separates = [](char32_t c) {
    return is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
  };
  while (at < s.size()) {  // a word, or what is between two
    const size_t start = at;
    const size_t first = code_point_at(s, at).bytes;
    const bool between = separates(code_point_at(s, at).value);
    while (at < s.size() && separates(code_point_at(s, at).value) == between) at += code_point_at(s, at).bytes;
    out += upper(std::string_view(s).substr(start, first)) +
           lower(std::string_view(s).substr(start + first, at - start - first));
  }
  return rt.text(std::move(out));
}

template <int kMethod>
Value method(Runtime& rt, const Value& v, const Arguments& given) {
  constexpr std::array<const char*, 3> kNames = {"upper", "lower", "capitalize"};
  bind(given, kNames[kMethod], {}, 0);
  return call_method(rt, soft_text(rt, v), kNames[kMethod], {});
}

Value center(Runtime& rt, const Value& v, const Arguments& given) {
  return call_method(rt, soft_text(rt, v), "center",
                     {bind(given, "center", {"width"}, 0)[0].value_or(Value::integer(80))});
}

Value trim(Runtime& rt, const Value& v, const Arguments& given) {
  return call_method(rt, soft_text(rt, v), "strip", {bind(given, "trim", {"chars"}, 0)[0].value_or(Value::none())});
}

Value default_value(Runtime&, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "default", {"default_value", "boolean"}, 0);
  const bool replaced = v.is(Kind::undefined) || (bound[1] && truthy(*bound[1]) && !truthy(v));
  return replaced ? bound[0].value_or(Value::text("")) : v;
}

Value escape(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "escape", {}, 0);
  return escaped(rt, v);
}

Value force_escape(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "forceescape", {}, 0);
  return rt.text(escape_html(to_text(rt, v)), true);
}

Value mark_safe(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "safe", {}, 0);
  return rt.text(to_text(rt, v), true);
}

Value string(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "string", {}, 0);
  return soft_text(rt, v);
}

// What int() and float() of a str read: no space around, no underscores but single ones between digits.
std::optional<std::string> number_text(std::string_view text) {
  text = strip_left(strip_right(text));
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    const int digit = decimal_digit(c.value);
    if (digit < 0 && c.value >= 0x80) return std::nullopt;
    out += digit < 0 ? static_cast<char>(c.value) : static_cast<char>('0' + digit);
    at += c.bytes;
  }
  const auto alnum = [&](size_t at) {
    return at < out.size() && std::isalnum(static_cast<unsigned char>(out[at])) != 0;
  };
  for (size_t at = out.find('_'); at != out.npos; at = out.find('_', at)) {
    if (at == 0 || !alnum(at - 1) || !alnum(at + 1)) return std::nullopt;
    out.erase(at, 1);
  }
  return out;
}

std::optional<int64_t> parse_integer(std::string_view given, int64_t base) {
  auto text = number_text(given);
  if (!text || text->empty() || base < 0 || base == 1 || base > 36) return std::nullopt;
  const bool negative = text->front() == '-';
  if (negative || text->front() == '+') text->erase(0, 1);
  const char mark = text->size() > 1 && text->front() == '0' ? static_cast<char>((*text)[1] | 0x20) : '\0';
  const int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked != 0 && (base == 0 || base == marked)) {
    base = marked;
    text->erase(0, 2);
  } else if (base == 0) {
    base = 10;
    if (text->size() > 1 && text->front() == '0' && text->find_first_not_of('0') != text->npos) return std::nullopt;
  }
  if (negative) text->insert(0, 1, '-');
  int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, value, static_cast<int>(base));
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return std::nullopt;
  if (result.ec != std::errc{}) fail("an integer of 64 bits", fmt::format("'{}'", printable(given)));
  return value;
}

std::optional<double> parse_real(std::string_view given) {
  const auto text = number_text(given);
  if (!text) return std::nullopt;
  std::string_view digits = *text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const std::string word = lower(digits);
  const double sign = negative ? -1.0 : 1.0;
  if (word == "inf" || word == "infinity") return sign * HUGE_VAL;
  if (word == "nan") return std::nan("");
  if (digits.empty() || (digits[0] != '.' && (digits[0] < '0' || digits[0] > '9'))) return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ptr != digits.data() + digits.size() || result.ec == std::errc::invalid_argument) return std::nullopt;
  if (result.ec != std::errc{}) value = std::strtod(std::string(digits).c_str(), nullptr);  // infinity or next to zero
  return sign * value;
}

Value to_integer(Runtime&, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "int", {"default", "base"}, 0);
  Value otherwise = bound[0].value_or(Value::integer(0));
  if (v.is(Kind::undefined)) fail("a defined value", describe(v));
  if (v.is_integral()) return Value::integer(v.as_integer());
  if (v.is(Kind::real)) return std::isnan(v.as_real()) ? otherwise : Value::integer(truncate_real(v.as_real()));
  if (!v.is(Kind::string)) return otherwise;
  const auto integer = parse_integer(v.as_string(), bound[1] ? require_integer(*bound[1], "the base") : 10);
  if (integer) return Value::integer(*integer);
  const auto real = parse_real(v.as_string());
  return real && std::isfinite(*real) ? Value::integer(truncate_real(*real)) : otherwise;
}

Value to_real(Runtime&, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "float", {"default"}, 0);
  if (v.is(Kind::undefined)) fail("a defined value", describe(v));
  if (v.is_number()) return Value::real(v.as_real());
  const auto real = v.is(Kind::string) ? parse_real(v.as_string()) : std::nullopt;
  return real ? Value::real(*real) : bound[0].value_or(Value::real(0.0));
}

Value round_filter(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "round", {"precision", "method"}, 0);
  const Value precision = bound[0].value_or(Value::integer(0));
  const std::string method_name = bound[1] ? require_text(*bound[1], "the rounding method").bytes : "common";
  if (method_name == "common") return round_number(v, precision);
  if (method_name != "ceil" && method_name != "floor") fail("'common', 'ceil' or 'floor'", printable(method_name));
  const Value factor = binary(rt, Op::pow, Value::integer(10), precision);
  const Value scaled = binary(rt, Op::mul, v, factor);
  if (!scaled.is_number()) fail("a number to round", describe(v));
  const double whole = method_name == "ceil" ? std::ceil(scaled.as_real()) : std::floor(scaled.as_real());
  const Value rounded = scaled.is(Kind::real) ? Value::integer(truncate_real(whole)) : scaled;
  return binary(rt, Op::div, rounded, factor);
}

Value format(Runtime& rt, const Value& v, const Arguments& given) {
  if (!given.positional.empty() && !given.named.empty()) fail("values, or values with names", "both");
  Value values = rt.tuple(given.positional);
  if (!given.named.empty()) {
    Dict named;
    for (const auto& [name, value] : given.named) named.set(rt, Value::text(name), value);
    values = Value::dict(std::move(named));
  }
  return percent_format(rt, soft_text(rt, v).as_text(), values);
}

Value indent(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "indent", {"width", "first", "blank"}, 0);
  const Text& text = require_text(v, "indent");
  const Value width = bound[0].value_or(Value::integer(4));
  const Text space{.bytes = " ", .chars = 1};
  const std::string by =
      width.is(Kind::string) ? width.as_string() : repeat(rt, space, require_integer(width, "the width")).as_string();
  const bool first = bound[1] && truthy(*bound[1]), blank = bound[2] && truthy(*bound[2]);
  const Value lines = call_method(rt, rt.text(text.bytes + "\n"), "splitlines", {});
  std::string out = first ? by : "";
  bool start = true;
  for (const Value& line : lines.as_items()) {
    if (!std::exchange(start, false)) {
      rt.charge(by.size());
      out += '\n';
      if (blank || !line.as_string().empty()) out += by;
    }
    out += line.as_string();
  }
  return rt.text(std::move(out), text.markup);
}

Value replace(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "replace", {"old", "new", "count"}, 2);
  const bool limited = bound[2] && !bound[2]->is(Kind::none);
  const int64_t limit = limited ? require_integer(*bound[2], "the count") : -1;
  return rt.text(replace_all(rt, to_text(rt, v), to_text(rt, *bound[0]), to_text(rt, *bound[1]), limit));
}

Value truncate(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "truncate", {"length", "killwords", "end", "leeway"}, 0);
  const int64_t limit = bound[0] ? require_integer(*bound[0], "the length") : 255;
  const Value end = bound[2].value_or(Value::text("..."));
  const int64_t leeway = bound[3] && !bound[3]->is(Kind::none) ? require_integer(*bound[3], "the leeway") : 5;
  const auto end_size = static_cast<int64_t>(require_text(end, "the end").chars);
  if (limit < end_size || leeway < 0) fail("a length that has room for the end", fmt::format("{}", limit));
  const int64_t size = length(v).value_or(0);
  if (size <= leeway || size - leeway <= limit) return v;
  require_text(v, "truncate");
  Value kept = get_slice(rt, v, Value::none(), Value::integer(limit - end_size), Value::none());
  if (!bound[1] || !truthy(*bound[1])) {
    kept = call_method(rt, kept, "rsplit", {Value::text(" "), Value::integer(1)}).as_items()[0];
  }
  return binary(rt, Op::add, kept, end);
}

Value word_count(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "wordcount", {}, 0);
  const Value text = soft_text(rt, v);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.as_string().size();) {
    const CodePoint c = code_point_at(text.as_string(), at);
    const bool is_word = is_alnum(c.value) || c.value == '_';
    words += is_word && !inside ? 1 : 0;
    inside = is_word;
    at += c.bytes;
  }
  return Value::integer(words);
}

Value tojson(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ascii = bound[0] && truthy(*bound[0]);
  if (bound[1] && !bound[1]->is(Kind::none)) {
    style.indented = true;
    style.item_separator = ",";
    const Text space{.bytes = " ", .chars = 1};
    style.indent = bound[1]->is(Kind::string) ? bound[1]->as_string()
                                              : repeat(rt, space, require_integer(*bound[1], "indent")).as_string();
  }
  if (bound[2] && !bound[2]->is(Kind::none)) {
    const std::vector<Value> separators = collect(rt, *bound[2]);
    if (separators.size() != 2) fail("two separators", fmt::format("{}", separators.size()));
    style.item_separator = require_text(separators[0], "a separator").bytes;
    style.key_separator = require_text(separators[1], "a separator").bytes;
  }
  style.sorted = bound[3] && truthy(*bound[3]);
  return Value::text(to_json(rt, v, style));
}

constexpr NamedFilter kFilters[] = {
    {"abs", absolute},
    {"capitalize", method<2>},
    {"center", center},
    {"d", default_value},
    {"default", default_value},
    {"e", escape},
    {"escape", escape},
    {"float", to_real},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"lower", method<1>},
    {"replace", replace},
    {"round", round_filter},
    {"safe", mark_safe},
    {"string", string},
    {"title", title_case},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", method<0>},
    {"wordcount", word_count},
};

}  // namespace

FilterTable text_filters() { return {std::begin(kFilters), std::end(kFilters)}; }

}  // namespace sigma::jinja
