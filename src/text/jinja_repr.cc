// str() and repr() as Python prints them, and HTML escaping.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"
#include "text/markup.h"

namespace sigma::jinja {

namespace {

class Printer {
 public:
  Printer(Runtime& rt, std::string& out) : rt_(rt), out_(out) {}

  void print(const Value& v) {
    const Nested nested(rt_);
    rt_.step();
    switch (v.kind()) {
      case Kind::undefined:
        return add("Undefined");
      case Kind::none:
        return add("None");
      case Kind::boolean:
        return add(v.as_integer() != 0 ? "True" : "False");
      case Kind::integer:
        return add(fmt::format("{}", v.as_integer()));
      case Kind::real:
        return add(repr_real(v.as_real()));
      case Kind::string:
        return add(v.as_text().markup ? fmt::format("Markup({})", repr_text(v.as_string())) : repr_text(v.as_string()));
      case Kind::list:
        return guarded(v, "[...]", [&] { print_items("[", v.as_items(), "]"); });
      case Kind::tuple:
        return guarded(v, "(...)", [&] { print_items("(", v.as_items(), v.as_items().size() == 1 ? ",)" : ")"); });
      case Kind::dict:
        return guarded(v, "{...}", [&] { print_dict(v.as_dict()); });
      case Kind::range:
        return print_range(v.as_range());
      case Kind::view:
        return print_view(v);
      case Kind::macro:
        return add(macro_repr(v.as_macro()));
      case Kind::space:
        return guarded(v, "<Namespace {...}>", [&] { print_space(v.as_space()); });
      case Kind::loop:
        return print_loop(v.as_loop());
      case Kind::iterator:
      case Kind::function:
        fail("a value that can be printed", describe(v));  // Python prints its address
    }
  }

 private:
  void add(std::string_view text) {
    rt_.charge(text.size());
    out_ += text;
  }

  // A container inside itself, by way of a namespace, is cut short.
  template <class F>
  void guarded(const Value& v, std::string_view again, F print_it) {
    if (std::find(open_.begin(), open_.end(), v.identity()) != open_.end()) return add(again);
    open_.push_back(v.identity());
    print_it();
    open_.pop_back();
  }

  void print_items(std::string_view open, const std::vector<Value>& items, std::string_view close) {
    add(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) add(", ");
      print(items[i]);
    }
    add(close);
  }

  void print_dict(const Dict& dict) {
    add("{");
    bool first = true;
    for (const auto& [key, value] : dict.items()) {
      if (!first) add(", ");
      first = false;
      print(key);
      add(": ");
      print(value);
    }
    add("}");
  }

  void print_range(const Range& r) {
    add(r.step == 1 ? fmt::format("range({}, {})", r.start, r.stop)
                    : fmt::format("range({}, {}, {})", r.start, r.stop, r.step));
  }

  void print_view(const Value& v) {
    add(type_name(v) + "(");
    print(rt_.list(collect(rt_, v)));
    add(")");
  }

  void print_space(const Namespace& space) {
    add("<Namespace {");
    bool first = true;
    for (const auto& [name, value] : space.attributes) {
      add((first ? "" : ", ") + repr_text(name) + ": ");
      first = false;
      print(value);
    }
    add("}>");
  }

  void print_loop(Loop& loop) { add(fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.length())); }

  static std::string macro_repr(const Macro& macro) {
    return macro.plan->name.empty() ? "<Macro anonymous>" : fmt::format("<Macro {}>", repr_text(macro.plan->name));
  }

  Runtime& rt_;
  std::string& out_;
  std::vector<const void*> open_;  // containers being printed
};

}  // namespace

std::string repr(Runtime& rt, const Value& v) {
  std::string out;
  Printer(rt, out).print(v);
  return out;
}

std::string to_text(Runtime& rt, const Value& v) {
  if (v.is(Kind::undefined)) return "";
  if (v.is(Kind::string)) {
    rt.charge(v.as_string().size());
    return v.as_string();
  }
  return repr(rt, v);
}

std::string repr_text(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (c.value == static_cast<char32_t>(quote) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (is_printable(c.value)) {
      out += text.substr(at, c.bytes);
    } else {
      const auto code = static_cast<uint32_t>(c.value);
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
    at += c.bytes;
  }
  return out + quote;
}

std::string repr_real(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  // The shortest digits that read back as v: d[.ddd]e[+-]xx, laid out as Python does.
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific).ptr;
  const std::string_view printed(buffer, static_cast<size_t>(end - buffer));
  const bool negative = printed.front() == '-';
  const size_t e = printed.find('e');
  std::string digits;
  for (const char c : printed.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const size_t signed_at = printed[e + 1] == '+' ? e + 2 : e + 1;
  int exponent = 0;
  std::from_chars(buffer + signed_at, end, exponent);
  std::string out = negative ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  const size_t whole = static_cast<size_t>(exponent) + 1;
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

Value escaped(Runtime& rt, const Value& v) {
  if (v.is(Kind::string) && v.as_text().markup) return v;
  return rt.text(escape_html(to_text(rt, v)), true);
}

}  // namespace sigma::jinja
