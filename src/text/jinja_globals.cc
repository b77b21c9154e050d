// The functions that are there without being passed in.
#include <array>
#include <chrono>
#include <ctime>

#include "base/error.h"
#include "text/jinja_interpreter.h"

namespace sigma::jinja {

namespace {

Value make_range(Runtime&, const Arguments& given) {
  const auto bound = bind(given, "range", {"/start", "/stop", "/step"}, 1);
  Range range;
  if (bound[1]) {
    range.start = require_integer(*bound[0], "range");
    range.stop = require_integer(*bound[1], "range");
  } else {
    range.stop = require_integer(*bound[0], "range");
  }
  if (bound[2]) range.step = require_integer(*bound[2], "range");
  constexpr int64_t kSafe = int64_t{1} << 61;  // sizes and items below cannot overflow
  for (const int64_t v : {range.start, range.stop, range.step}) {
    if (v > kSafe || v < -kSafe) fail("a range of smaller numbers", fmt::format("{}", v));
  }
  if (range.step == 0) fail("a step of range that is not zero", "0");
  if (range.size() > kMaxRange)
    fail(fmt::format("a range of at most {} items", kMaxRange), fmt::format("{}", range.size()));
  return Value::range(range);
}

// dict(mapping or pairs, **more)
Dict build_dict(Runtime& rt, std::string_view callee, const Arguments& given) {
  if (given.positional.size() > 1) fail(fmt::format("at most one argument without a name to {}", callee), "more");
  Dict dict;
  if (!given.positional.empty()) {
    const Value& source = given.positional[0];
    if (source.is(Kind::dict)) {
      for (const auto& [key, value] : source.as_dict().items()) dict.set(rt, key, value);
    } else {
      Cursor cursor(rt, source);
      while (const auto pair = cursor.next()) {
        std::vector<Value> items = collect(rt, *pair);
        if (items.size() != 2) fail("pairs of key and value", fmt::format("{} items", items.size()));
        dict.set(rt, std::move(items[0]), std::move(items[1]));
      }
    }
  }
  for (const auto& [name, value] : given.named) dict.set(rt, Value::text(name), value);
  return dict;
}

Value make_dict(Runtime& rt, const Arguments& given) { return Value::dict(build_dict(rt, "dict", given)); }

Value make_namespace(Runtime& rt, const Arguments& given) {
  const Dict attributes = build_dict(rt, "namespace", given);
  Namespace& space = rt.make_space();
  for (const auto& [key, value] : attributes.items()) {
    space.set(require_text(key, "the name of a namespace attribute").bytes, value);
  }
  return Value::space(&space);
}

Value raise_exception(Runtime& rt, const Arguments& given) {
  const auto bound = bind(given, "raise_exception", {"message"}, 1);
  fail("a conversation that the template accepts", printable(to_text(rt, *bound[0]), 300));
}

Value strftime_now(Runtime& rt, const Arguments& given) {
  const auto bound = bind(given, "strftime_now", {"format"}, 1);
  const std::string& format = require_text(*bound[0], "strftime_now").bytes;
  if (format.find('\0') != format.npos) fail("a date format without NUL", "one");
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  localtime_r(&seconds, &local);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
  // Python's own directives: %f is microseconds; the time carries no zone, so %z and %Z are empty.
  std::string out;
  for (size_t at = 0; at < format.size();) {
    size_t end = format.find('%', at);
    if (end != at) {
      end = std::min(end, format.size());
      out += format.substr(at, end - at);
      at = end;
      continue;
    }
    constexpr std::string_view kFlags = "-_0^#EO";
    size_t last = at + 1;
    while (last < format.size() && (kFlags.find(format[last]) != kFlags.npos)) ++last;
    if (last >= format.size()) fail("a complete date format", printable(format));
    const char directive = format[last];
    constexpr std::string_view kKnown = "aAbBcdDeFfgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";
    if (kKnown.find(directive) == kKnown.npos) fail("a date format that is supported", printable(format));
    if (directive == 'f') {
      out += fmt::format("{:06}", micros);
    } else if (directive != 'z' && directive != 'Z') {
      std::array<char, 256> buffer{};
      const std::string one = format.substr(at, last + 1 - at);
      out += std::string_view(buffer.data(), std::strftime(buffer.data(), buffer.size(), one.c_str(), &local));
    }
    at = last + 1;
  }
  return rt.text(std::move(out));
}

}  // namespace

std::unordered_map<std::string, Value> globals() {
  return {{"range", Value::function("range", make_range)},
          {"dict", Value::function("dict", make_dict)},
          {"namespace", Value::function("namespace", make_namespace)},
          {"raise_exception", Value::function("raise_exception", raise_exception)},
          {"strftime_now", Value::function("strftime_now", strftime_now)}};
}

}  // namespace sigma::jinja
