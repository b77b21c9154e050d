// "...%d..." % values and "...{:>8}...".format(values).
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "text/jinja_operators.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

constexpr int64_t kMaxPrecision = 400;

// [[fill]align][sign][#][0][width][grouping][.precision][type] of str.format; % has the same parts.
struct Spec {
  std::string fill = " ";
  char align = 0, sign = '-', grouping = 0, type = 0;
  bool alternate = false, zero = false;
  int64_t width = 0, precision = -1;
};

[[noreturn]] void unsupported(const std::string& what) { fail("a text format that is supported", what); }

// A number in pieces: what zeros are filled in between.
struct Printed {
  std::string sign, prefix, digits;
};

std::string padded(Runtime& rt, const Printed& number, const Spec& spec, char default_align) {
  const std::string body = number.sign + number.prefix + number.digits;
  const auto chars = static_cast<int64_t>(count_code_points(body));
  const int64_t missing = std::max(spec.width - chars, int64_t{0});
  const Text fill{.bytes = spec.fill, .chars = 1};
  const char align = spec.align != 0 ? spec.align : default_align;
  if (align == '=') return number.sign + number.prefix + repeat(rt, fill, missing).as_string() + number.digits;
  const int64_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  return repeat(rt, fill, before).as_string() + body + repeat(rt, fill, missing - before).as_string();
}

std::string sign_of(bool negative, char sign) { return negative ? "-" : sign == '-' ? "" : std::string(1, sign); }

void group(std::string& digits, char separator, size_t size) {
  size_t end = 0;
  while (end < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[end])) != 0 && digits[end] != 'e')
    ++end;
  for (size_t at = end; at > size; at -= size) digits.insert(at - size, 1, separator);
}

Printed print_integer(int64_t v, const Spec& spec) {
  const int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  const uint64_t magnitude = v < 0 ? ~static_cast<uint64_t>(v) + 1 : static_cast<uint64_t>(v);
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.begin(), buffer.end(), magnitude, base).ptr;
  Printed out{.sign = sign_of(v < 0, spec.sign), .prefix = "", .digits = std::string(buffer.begin(), end)};
  if (spec.type == 'X') out.digits = upper(out.digits);
  if (spec.alternate && base != 10) out.prefix = std::string("0") + spec.type;
  if (spec.grouping != 0) group(out.digits, spec.grouping, base == 10 ? 3 : 4);
  return out;
}

Printed print_real(double v, const Spec& spec) {
  if (spec.alternate) unsupported("'#' for a float");
  const bool negative = std::signbit(v) && !std::isnan(v);
  Printed out{.sign = sign_of(negative, spec.sign), .prefix = "", .digits = ""};
  const double magnitude = std::fabs(v);
  if (!std::isfinite(v)) {
    out.digits = std::isnan(v) ? "nan" : "inf";
  } else if (spec.type == 0) {
    if (spec.precision >= 0) unsupported("a precision for a float without 'e', 'f' or 'g'");
    out.digits = repr_real(magnitude);
  } else {
    const char kind = static_cast<char>(spec.type | 0x20);
    const auto style = kind == 'e'   ? std::chars_format::scientific
                       : kind == 'g' ? std::chars_format::general
                                     : std::chars_format::fixed;
    std::array<char, 1024> buffer{};
    const double scaled = spec.type == '%' ? magnitude * 100 : magnitude;
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(std::min(spec.precision, kMaxPrecision));
    const auto printed = std::to_chars(buffer.begin(), buffer.end(), scaled, style, precision);
    if (printed.ec != std::errc{}) unsupported("a float this long");
    out.digits.assign(buffer.begin(), printed.ptr);
  }
  if (spec.grouping != 0) group(out.digits, spec.grouping, 3);
  if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') out.digits = upper(out.digits);
  if (spec.type == '%') out.digits += '%';
  return out;
}

int64_t read_number(std::string_view text, size_t& at, std::string_view what) {
  int64_t number = 0;
  const char* from = text.data() + at;
  const auto result = std::from_chars(from, text.data() + text.size(), number);
  if (result.ec == std::errc::result_out_of_range) fail(fmt::format("a sensible {}", what), "a huge one");
  at += static_cast<size_t>(result.ptr - from);
  return number;
}

bool one_of(char c, std::string_view set) { return c != 0 && set.find(c) != set.npos; }

Spec parse_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  bool filled = false;
  const auto peek = [&](size_t ahead = 0) { return at + ahead < text.size() ? text[at + ahead] : '\0'; };
  if (!text.empty()) {
    const size_t first = code_point_at(text, 0).bytes;
    if (one_of(peek(first), "<>=^")) {
      filled = true;
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      at = first + 1;
    } else if (one_of(peek(), "<>=^")) {
      spec.align = text[at++];
    }
  }
  if (one_of(peek(), "+- ")) spec.sign = text[at++];
  if (peek() == '#') spec.alternate = text[at++] == '#';
  if (peek() == '0') {
    spec.zero = true;
    if (!filled) spec.fill = "0";
    ++at;
  }
  if (one_of(peek(), "0123456789")) spec.width = read_number(text, at, "width");
  if (one_of(peek(), ",_")) spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (!one_of(peek(), "0123456789")) fail("digits after '.' in a format", printable(text));
    spec.precision = read_number(text, at, "precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) fail("a format as Python writes it", fmt::format("'{}'", printable(text)));
  return spec;
}

std::string format_text(Runtime& rt, std::string text, const Spec& spec) {
  if (spec.precision >= 0) {
    const size_t keep = std::min(static_cast<size_t>(spec.precision), count_code_points(text));
    text.resize(byte_offset(text, keep));
  }
  return padded(rt, {.sign = "", .prefix = "", .digits = std::move(text)}, spec, '<');
}

// format(value, spec)
std::string format_value(Runtime& rt, const Value& v, std::string_view text) {
  if (text.empty()) return to_text(rt, v);
  const Spec spec = parse_spec(text);
  if (v.is(Kind::string)) {
    const bool fits = (spec.type == 0 || spec.type == 's') && spec.align != '=' && spec.sign == '-' && !spec.alternate;
    if (!fits || spec.grouping != 0) fail("a format for a str", fmt::format("'{}'", printable(text)));
    return format_text(rt, v.as_string(), spec);
  }
  if (!v.is_number()) fail("a value that takes a format", describe(v));
  if (spec.grouping != 0 && spec.fill == "0") unsupported("zeros and a thousands separator together");
  const bool as_real = v.is(Kind::real) || one_of(spec.type, "eEfFgG%");
  if (spec.type != 0 && !one_of(spec.type, as_real ? "eEfFgG%" : "dxXob"))
    unsupported(fmt::format("type '{}'", spec.type));
  if (spec.grouping == ',' && one_of(spec.type, "xXob"))
    fail("no ',' with this type", fmt::format("'{}'", printable(text)));
  if (!as_real && spec.precision >= 0) fail("no precision for an int", fmt::format("'{}'", printable(text)));
  const Printed printed = as_real ? print_real(v.as_real(), spec) : print_integer(v.as_integer(), spec);
  return padded(rt, printed, spec, spec.zero && spec.align == 0 ? '=' : '>');
}

// {name.attribute[key]!r:spec}: walks the fields of one brace_format.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, std::string_view format, const Arguments& given)
      : rt_(rt), format_(format), given_(given) {}

  std::string run() {
    std::string out;
    size_t at = 0;
    while (at < format_.size()) {
      const char c = format_[at];
      if (c != '{' && c != '}') {
        const size_t end = std::min(format_.find_first_of("{}", at), format_.size());
        add(out, format_.substr(at, end - at));
        at = end;
      } else if (at + 1 < format_.size() && format_[at + 1] == c) {
        add(out, format_.substr(at, 1));
        at += 2;
      } else {
        if (c == '}') fail("'}}' or a field before '}'", "a single '}'");
        const size_t end = format_.find('}', at);
        if (end == format_.npos) fail("'}' after a field", "the end of the format");
        const std::string_view inside = format_.substr(at + 1, end - at - 1);
        if (inside.find('{') != inside.npos) unsupported("a field inside a field");
        add(out, field(inside));
        at = end + 1;
      }
    }
    return out;
  }

 private:
  void add(std::string& out, std::string_view text) {
    rt_.charge(text.size());
    out += text;
  }

  std::string field(std::string_view inside) {
    std::string_view spec;
    size_t end = inside.find_first_of("[:!");
    while (end != inside.npos && inside[end] == '[') {
      const size_t close = inside.find(']', end);
      end = close == inside.npos ? close : inside.find_first_of("[:!", close);
    }
    const std::string_view name = inside.substr(0, end);
    char conversion = 0;
    if (end != inside.npos && inside[end] == '!') {
      if (end + 1 >= inside.size() || (end + 2 < inside.size() && inside[end + 2] != ':')) {
        fail("a conversion after '!'", fmt::format("'{}'", printable(inside)));
      }
      conversion = inside[end + 1];
      end = end + 2 < inside.size() ? end + 2 : inside.npos;
    }
    if (end != inside.npos) spec = inside.substr(end + 1);
    Value value = lookup(name);
    if (conversion == 's') value = rt_.text(to_text(rt_, value));
    if (conversion == 'r') value = rt_.text(repr(rt_, value));
    if (conversion != 0 && conversion != 's' && conversion != 'r')
      unsupported(fmt::format("conversion '!{}'", conversion));
    return format_value(rt_, value, spec);
  }

  Value lookup(std::string_view name) {
    size_t end = std::min(name.find_first_of(".["), name.size());
    if (end == 0 && !name.empty()) unsupported("a field that starts with '.' or '['");
    Value value = root(name.substr(0, end));
    while (end < name.size()) {
      if (name[end] == '.') {
        const size_t next = std::min(name.find_first_of(".[", end + 1), name.size());
        if (next == end + 1) fail("a name after '.' in a field", fmt::format("'{}'", printable(name)));
        value = get_attribute(rt_, value, std::string(name.substr(end + 1, next - end - 1)));
        end = next;
      } else if (name[end] == '[') {
        const size_t close = name.find(']', end);
        if (close == name.npos || close == end + 1)
          fail("a key between '[' and ']'", fmt::format("'{}'", printable(name)));
        value = get_item(rt_, value, key_of(name.substr(end + 1, close - end - 1)));
        end = close + 1;
      } else {
        fail("'.' or '[' after ']' in a field", fmt::format("'{}'", printable(name)));
      }
    }
    return value;
  }

  static bool is_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  }

  static Value key_of(std::string_view text) {
    size_t at = 0;
    return is_digits(text) ? Value::integer(read_number(text, at, "index")) : Value::text(std::string(text));
  }

  Value root(std::string_view name) {
    if (name.empty() || is_digits(name)) {
      if (automatic_ && *automatic_ != name.empty()) fail("fields with numbers or fields without", "both");
      automatic_ = name.empty();
      size_t at = 0;
      const auto index = static_cast<size_t>(name.empty() ? next_++ : read_number(name, at, "field"));
      if (index >= given_.positional.size()) fail("a value for each field", fmt::format("field {} without one", index));
      return given_.positional[index];
    }
    for (const auto& [known, value] : given_.named) {
      if (known == name) return value;
    }
    fail("a value for each field", fmt::format("'{}' without one", printable(name)));
  }

  Runtime& rt_;
  std::string_view format_;
  const Arguments& given_;
  int64_t next_ = 0;
  std::optional<bool> automatic_;  // fields without numbers have been seen, or ones with
};

// "...%(name)-5.2f..." % values
class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, std::string_view format, const Value& values)
      : rt_(rt), format_(format), values_(values) {}

  std::string run() {
    std::string out;
    size_t at = 0;
    while (at < format_.size()) {
      const size_t percent = std::min(format_.find('%', at), format_.size());
      rt_.charge(percent - at);
      out += format_.substr(at, percent - at);
      at = percent + 1;
      if (percent < format_.size()) out += directive(at);
    }
    const bool mapping = values_.is(Kind::dict) || values_.is(Kind::list) || values_.is(Kind::undefined) ||
                         values_.is(Kind::range) || values_.is(Kind::view);
    const size_t count = values_.is(Kind::tuple) ? values_.as_items().size() : 1;
    if (!mapping && used_ < count) fail("a format for each value", "more values");
    return out;
  }

 private:
  std::string directive(size_t& at) {
    const auto peek = [&] { return at < format_.size() ? format_[at] : '\0'; };
    std::optional<Value> named;
    if (peek() == '(') named = named_value(at);
    Spec spec;
    bool left = false;
    for (; one_of(peek(), "#0- +"); ++at) {
      spec.alternate = spec.alternate || format_[at] == '#';
      spec.zero = spec.zero || format_[at] == '0';
      left = left || format_[at] == '-';
      if (format_[at] == '+' || (format_[at] == ' ' && spec.sign != '+')) spec.sign = format_[at];
    }
    if (peek() == '*') unsupported("'*' in a format");
    spec.width = read_number(format_, at, "width");
    if (peek() == '.') {
      ++at;
      if (peek() == '*') unsupported("'*' in a format");
      spec.precision = read_number(format_, at, "precision");
    }
    if (one_of(peek(), "hlL")) ++at;
    if (at >= format_.size()) fail("a complete format", "the end after '%'");
    spec.type = format_[at++];
    if (spec.type == '%') return "%";
    spec.align = left ? '<' : 0;
    return convert(spec, named ? *named : next_value());
  }

  std::string convert(Spec spec, const Value& v) {
    switch (spec.type) {
      case 's':
        return text(to_text(rt_, v), spec);
      case 'r':
        return text(repr(rt_, v), spec);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return integer(spec, v);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (!v.is_number()) fail(fmt::format("a number for %{}", spec.type), describe(v));
        return number(print_real(v.as_real(), spec), spec);
      }
      default:
        unsupported(fmt::format("'%{}'", printable(std::string(1, spec.type))));
    }
  }

  std::string text(std::string printed, const Spec& spec) {
    if (spec.precision >= 0) {
      const size_t keep = std::min(static_cast<size_t>(spec.precision), count_code_points(printed));
      printed.resize(byte_offset(printed, keep));
    }
    return padded(rt_, {.sign = "", .prefix = "", .digits = std::move(printed)}, spec, '>');
  }

  std::string integer(Spec spec, const Value& v) {
    const bool decimal = one_of(spec.type, "diu");
    if (!v.is_integral() && !(decimal && v.is(Kind::real))) fail(fmt::format("an int for %{}", spec.type), describe(v));
    const int64_t value = v.is(Kind::real) ? truncate_real(v.as_real()) : v.as_integer();
    Printed printed = print_integer(value, spec);
    const int64_t zeros = std::min(spec.precision, kMaxPrecision) - static_cast<int64_t>(printed.digits.size());
    if (zeros > 0) printed.digits.insert(0, static_cast<size_t>(zeros), '0');
    return number(printed, spec);
  }

  std::string number(const Printed& printed, Spec spec) {
    if (spec.zero && spec.align == 0) spec.fill = "0";
    return padded(rt_, printed, spec, spec.zero ? '=' : '>');
  }

  Value named_value(size_t& at) {
    int depth = 0;
    const size_t start = at + 1;
    for (; at < format_.size(); ++at) {
      depth += format_[at] == '(' ? 1 : format_[at] == ')' ? -1 : 0;
      if (depth == 0) break;
    }
    if (at >= format_.size()) fail("')' after a name in a format", "the end");
    const std::string_view name = format_.substr(start, at++ - start);
    if (!values_.is(Kind::dict)) fail("a dict for a format with names", describe(values_));
    const Value* found = values_.as_dict().find(name);
    if (found == nullptr) fail("a value for each name", fmt::format("'{}' without one", printable(name)));
    used_ = 1;
    return *found;
  }

  Value next_value() {
    const size_t index = used_++;
    if (values_.is(Kind::tuple)) {
      if (index < values_.as_items().size()) return values_.as_items()[index];
    } else if (index == 0) {
      return values_;
    }
    fail("a value for each format", "fewer");
  }

  Runtime& rt_;
  std::string_view format_;
  const Value& values_;
  size_t used_ = 0;
};

}  // namespace

Value percent_format(Runtime& rt, const Text& format, const Value& values) {
  if (format.markup) unsupported("'%' after escaped text");
  return rt.text(PercentFormatter(rt, format.bytes, values).run());
}

Value brace_format(Runtime& rt, const Text& format, const Arguments& given) {
  if (format.markup) unsupported("str.format of escaped text");
  return rt.text(BraceFormatter(rt, format.bytes, given).run());
}

}  // namespace sigma::jinja
