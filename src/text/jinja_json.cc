#include "text/jinja_json.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "text/jinja_unicode.h"
#include "text/unicode.h"

namespace sigma::jinja {

namespace {

class Writer {
 public:
  Writer(Runtime& rt, const JsonStyle& style) : rt_(rt), style_(style) {}

  std::string run(const Value& v) {
    write(v);
    return std::move(out_);
  }

 private:
  void add(std::string_view text) {
    rt_.charge(text.size());
    out_ += text;
  }

  void write(const Value& v) {
    const Nested nested(rt_);
    rt_.step();
    switch (v.kind()) {
      case Kind::none:
      case Kind::boolean:
      case Kind::integer:
      case Kind::real:
        return add(scalar(v));
      case Kind::string:
        return write_text(v.as_string());
      case Kind::list:
      case Kind::tuple:
        return write_list(v.as_items());
      case Kind::dict:
        return write_dict(v.as_dict());
      default:
        fail("a value that JSON has", describe(v));
    }
  }

  static std::string scalar(const Value& v) {
    if (v.is(Kind::none)) return "null";
    if (v.is(Kind::boolean)) return v.as_integer() != 0 ? "true" : "false";
    if (v.is(Kind::integer)) return fmt::format("{}", v.as_integer());
    const double d = v.as_real();
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return repr_real(d);
  }

  void write_text(std::string_view text) {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
    rt_.charge(text.size() + 2);
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      const CodePoint c = code_point_at(text, at);
      const size_t escape = c.value < 0x80 ? kEscaped.find(static_cast<char>(c.value)) : kEscaped.npos;
      if (escape != kEscaped.npos) {
        out_ += '\\';
        out_ += kLetters[escape];
      } else if (c.value < 0x20 || (style_.ascii && c.value > 0x7E)) {
        write_escape(c.value);
      } else {
        out_ += text.substr(at, c.bytes);
      }
      at += c.bytes;
    }
    out_ += '"';
  }

  void write_escape(char32_t c) {
    const auto code = static_cast<uint32_t>(c);
    if (code < 0x10000) return add(fmt::format("\\u{:04x}", code));
    add(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)));
  }

  void new_line() {
    if (!style_.indented) return;
    add("\n");
    for (int i = 0; i < level_; ++i) add(style_.indent);
  }

  void write_list(const std::vector<Value>& items) {
    if (items.empty()) return add("[]");
    add("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) add(style_.item_separator);
      new_line();
      write(items[i]);
    }
    --level_;
    new_line();
    add("]");
  }

  void write_dict(const Dict& dict) {
    if (dict.items().empty()) return add("{}");
    std::vector<const Dict::Item*> items;
    rt_.charge(dict.items().size() * sizeof(const Dict::Item*));
    for (const Dict::Item& item : dict.items()) items.push_back(&item);
    if (style_.sorted) {
      std::stable_sort(items.begin(), items.end(), [&](const Dict::Item* a, const Dict::Item* b) {
        return compare(rt_, a->first, b->first, "<") == -1;
      });
    }
    add("{");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) add(style_.item_separator);
      new_line();
      write_key(items[i]->first);
      add(style_.key_separator);
      write(items[i]->second);
    }
    --level_;
    new_line();
    add("}");
  }

  void write_key(const Value& key) {
    if (key.is(Kind::string)) return write_text(key.as_string());
    if (!key.is_number() && !key.is(Kind::none)) fail("a key that JSON has", describe(key));
    write_text(scalar(key));
  }

  Runtime& rt_;
  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

}  // namespace

Value from_json(Runtime& rt, const Json& json) {
  const Nested nested(rt);
  switch (json.type()) {
    case Json::value_t::null:
      return Value::none();
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail("an integer of 64 bits", json.dump());
      }
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!unicode::is_utf8(text)) fail("text in UTF-8", printable(text, 40));
      return rt.text(text);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(rt, item));
      return rt.list(std::move(items));
    }
    case Json::value_t::object: {
      Dict dict;
      for (const auto& [key, value] : json.items()) {
        if (!unicode::is_utf8(key)) fail("text in UTF-8", printable(key, 40));
        dict.set(rt, rt.text(key), from_json(rt, value));
      }
      return Value::dict(std::move(dict));
    }
    default:
      fail("a value that JSON has", json.type_name());
  }
}

std::string to_json(Runtime& rt, const Value& v, const JsonStyle& style) { return Writer(rt, style).run(v); }

}  // namespace sigma::jinja
