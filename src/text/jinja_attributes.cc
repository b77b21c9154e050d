// Subscripts, slices and attributes, and the methods of everything but strings.
#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

// The character or characters at places of a string, whatever their width.
class Characters {
 public:
  explicit Characters(const Text& text) : text_(text) {
    if (text.ascii()) return;
    offsets_.reserve(text.chars + 1);
    for (size_t at = 0; at < text.bytes.size(); at += code_point_at(text.bytes, at).bytes) offsets_.push_back(at);
    offsets_.push_back(text.bytes.size());
  }
  std::string_view at(size_t index) const { return between(index, index + 1); }
  std::string_view between(size_t first, size_t last) const {
    const size_t from = offsets_.empty() ? first : offsets_[first];
    const size_t to = offsets_.empty() ? last : offsets_[last];
    return std::string_view(text_.bytes).substr(from, to - from);
  }

 private:
  const Text& text_;
  std::vector<size_t> offsets_;
};

Value missing_item(const Value& object, const Value& index) {
  const std::string what = index.is(Kind::string) ? fmt::format("attribute '{}'", printable(index.as_string(), 40))
                                                  : fmt::format("element {}", describe(index));
  return Value::undefined(fmt::format("{} without {}", type_name(object), what));
}

std::optional<Value> item_at(Runtime& rt, const Value& object, const Value& index) {
  if (object.is(Kind::dict)) {
    if (index.is(Kind::list) || index.is(Kind::dict)) return std::nullopt;  // unhashable: jinja2 lets it pass
    const Value* found = object.as_dict().find(rt, index);
    return found == nullptr ? std::nullopt : std::optional(*found);
  }
  const bool indexed = object.is(Kind::string) || object.is_sequence() || object.is(Kind::range);
  if (!indexed || !index.is_integral()) return std::nullopt;
  const int64_t size = *length(object);
  int64_t at = index.as_integer();
  if (at < 0) at += size;
  if (at < 0 || at >= size) return std::nullopt;
  if (object.is_sequence()) return object.as_items()[static_cast<size_t>(at)];
  if (object.is(Kind::range)) return Value::integer(object.as_range().start + at * object.as_range().step);
  const Text& text = object.as_text();
  const size_t from = text.ascii() ? static_cast<size_t>(at) : byte_offset(text.bytes, static_cast<size_t>(at));
  return rt.text(text.bytes.substr(from, code_point_at(text.bytes, from).bytes), text.markup);
}

// slice.indices(): where to start and stop, and how many there are.
struct Slice {
  int64_t start = 0, stop = 0, step = 1, count = 0;
};

Slice slice_of(int64_t size, const Value& start, const Value& stop, const Value& step) {
  const auto part = [](const Value& v, int64_t absent) {
    if (v.is(Kind::none)) return absent;
    if (!v.is_integral()) fail("ints or None in a slice", describe(v));
    return v.as_integer();
  };
  Slice slice;
  slice.step = part(step, 1);
  if (slice.step == 0) fail("a step that is not zero", "0");
  slice.step = std::max(slice.step, -std::numeric_limits<int64_t>::max());
  const bool back = slice.step < 0;
  const auto clip = [&](int64_t at) {
    if (at < 0) at = std::max(at + size, int64_t{-1});
    if (back) return std::min(at, size - 1);
    return std::clamp(at, int64_t{0}, size);
  };
  slice.start = start.is(Kind::none) ? (back ? size - 1 : 0) : clip(part(start, 0));
  slice.stop = stop.is(Kind::none) ? (back ? -1 : size) : clip(part(stop, 0));
  slice.count = Range{.start = slice.start, .stop = slice.stop, .step = slice.step}.size();
  return slice;
}

Value slice_text(Runtime& rt, const Text& text, const Slice& slice) {
  const Characters characters(text);
  const auto start = static_cast<size_t>(slice.start);
  const auto count = static_cast<size_t>(slice.count);
  if (slice.step == 1 && count > 0) return rt.text(std::string(characters.between(start, start + count)), text.markup);
  std::string out;
  for (int64_t i = 0; i < slice.count; ++i) out += characters.at(static_cast<size_t>(slice.start + i * slice.step));
  return rt.text(std::move(out), text.markup);
}

Value slice_range(const Range& range, const Slice& slice) {
  Range out{.start = range.start + slice.start * range.step, .stop = range.start + slice.stop * range.step, .step = 1};
  if (__builtin_mul_overflow(range.step, slice.step, &out.step)) fail("a step of 64 bits", "a larger one");
  return Value::range(out);
}

Value view_of(const Value& dict, View::Of of) { return Value::view({.of = of, .dict = dict.share_dict()}); }

Value dict_get(Runtime& rt, const Value& dict, const Arguments& given) {
  const auto bound = bind(given, "get", {"/key", "/default"}, 1);
  const Value* found = dict.as_dict().find(rt, *bound[0]);
  return found != nullptr ? *found : bound[1].value_or(Value::none());
}

Value sequence_index(Runtime& rt, const Value& sequence, const Arguments& given) {
  const auto bound = bind(given, "index", {"/value"}, 1);
  const auto& items = sequence.as_items();
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(rt, items[i], *bound[0])) return Value::integer(static_cast<int64_t>(i));
  }
  fail("a value that is in the list", describe(*bound[0]));
}

Value sequence_count(Runtime& rt, const Value& sequence, const Arguments& given) {
  const auto bound = bind(given, "count", {"/value"}, 1);
  const auto& items = sequence.as_items();
  return Value::integer(
      std::count_if(items.begin(), items.end(), [&](const Value& item) { return equal(rt, item, *bound[0]); }));
}

Value loop_cycle(const Value& loop, const Arguments& given) {
  if (!given.named.empty() || given.positional.empty()) fail("values to cycle through", "none, or named ones");
  return given.positional[static_cast<size_t>(loop.as_loop().index0) % given.positional.size()];
}

Value loop_changed(Runtime& rt, const Value& loop, const Arguments& given) {
  if (!given.named.empty()) fail("values without a name", "named ones");
  auto& last = loop.as_loop().last_changed;
  Value value = rt.tuple(given.positional);
  const bool changed = !last || !equal(rt, *last, value);
  if (changed) last = std::move(value);
  return Value::boolean(changed);
}

std::optional<Value> loop_attribute(const Value& v, const std::string& name) {
  Loop& loop = v.as_loop();
  const auto integer = [](int64_t i) { return Value::integer(i); };
  if (name == "index") return integer(loop.index0 + 1);
  if (name == "index0") return integer(loop.index0);
  if (name == "revindex") return integer(loop.length() - loop.index0);
  if (name == "revindex0") return integer(loop.length() - loop.index0 - 1);
  if (name == "length") return integer(loop.length());
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(!loop.peek());
  if (name == "depth") return integer(1);
  if (name == "depth0") return integer(0);
  if (name == "previtem") return loop.index0 == 0 ? Value::undefined("there is no previous item") : loop.before;
  if (name == "nextitem") return loop.peek().value_or(Value::undefined("there is no next item"));
  if (name == "cycle") {
    return Value::function("cycle", [v](Runtime&, const Arguments& given) { return loop_cycle(v, given); });
  }
  if (name == "changed") {
    return Value::function("changed", [v](Runtime& rt, const Arguments& given) { return loop_changed(rt, v, given); });
  }
  return std::nullopt;
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Python has it, the sandbox forbids it: undefined until it is used.
Value forbidden(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("'{}' of a {}, which the sandbox forbids", name, type_name(object)));
}

[[noreturn]] void unsupported(const Value& object, std::string_view name) {
  fail(fmt::format("an attribute of {} that is supported", type_name(object)), fmt::format("'{}'", name));
}

std::optional<Value> dict_attribute(const Value& v, const std::string& name) {
  if (one_of(name, {"clear", "pop", "popitem", "setdefault", "update"})) return forbidden(v, name);
  if (name == "fromkeys") unsupported(v, name);
  const auto view = [&](View::Of of) {
    return Value::function(name, [v, of](Runtime&, const Arguments& given) {
      bind(given, "a dict's view", {}, 0);
      return view_of(v, of);
    });
  };
  if (name == "keys") return view(View::Of::keys);
  if (name == "values") return view(View::Of::values);
  if (name == "items") return view(View::Of::items);
  if (name == "get") {
    return Value::function(name, [v](Runtime& rt, const Arguments& given) { return dict_get(rt, v, given); });
  }
  if (name == "copy") {
    return Value::function(name, [v](Runtime&, const Arguments& given) {
      bind(given, "copy", {}, 0);
      return v;
    });
  }
  return std::nullopt;
}

std::optional<Value> sequence_attribute(const Value& v, const std::string& name) {
  if (name == "index") {
    return Value::function(name, [v](Runtime& rt, const Arguments& given) { return sequence_index(rt, v, given); });
  }
  if (name == "count") {
    return Value::function(name, [v](Runtime& rt, const Arguments& given) { return sequence_count(rt, v, given); });
  }
  if (v.is(Kind::tuple)) return std::nullopt;
  if (one_of(name, {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"})) {
    return forbidden(v, name);
  }
  if (name == "copy") {
    return Value::function(name, [v](Runtime&, const Arguments& given) {
      bind(given, "copy", {}, 0);
      return v;
    });
  }
  return std::nullopt;
}

std::optional<Value> macro_attribute(Runtime& rt, const Macro& macro, const std::string& name) {
  const FunctionPlan& plan = *macro.plan;
  if (name == "name") return plan.name.empty() ? Value::none() : Value::text(plan.name);
  if (name == "catch_kwargs") return Value::boolean(plan.takes_named);
  if (name == "catch_varargs") return Value::boolean(plan.takes_positional);
  if (name == "caller") return Value::boolean(plan.takes_caller);
  if (name != "arguments") return std::nullopt;
  std::vector<Value> names;
  for (const Parameter& parameter : plan.parameters) names.push_back(Value::text(parameter.name->name));
  return rt.tuple(std::move(names));
}

// Names that Python's types have beyond what is here: refused rather than taken for undefined.
void refuse_unsupported(const Value& object, std::string_view name) {
  const bool refused =
      (object.is_number() &&
       one_of(name, {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "fromhex",
                     "hex", "imag", "is_integer", "numerator", "real", "to_bytes"})) ||
      (object.is(Kind::range) && one_of(name, {"count", "index"})) ||
      (object.is(Kind::view) && one_of(name, {"isdisjoint", "mapping"})) ||
      (object.is(Kind::macro) && name == "explicit_caller") ||
      (object.is(Kind::iterator) &&
       one_of(name, {"close", "gi_code", "gi_frame", "gi_running", "gi_suspended", "gi_yieldfrom", "send", "throw"}));
  if (refused) unsupported(object, name);
}

}  // namespace

std::optional<Value> attribute_of(Runtime& rt, const Value& object, const std::string& name) {
  switch (object.kind()) {
    case Kind::undefined:
      fail("a defined value", describe(object));
    case Kind::string:
      return string_method(object, name);
    case Kind::dict:
      return dict_attribute(object, name);
    case Kind::list:
    case Kind::tuple:
      return sequence_attribute(object, name);
    case Kind::loop:
      return loop_attribute(object, name);
    case Kind::macro:
      refuse_unsupported(object, name);
      return macro_attribute(rt, object.as_macro(), name);
    case Kind::space: {
      const Value* found = object.as_space().find(name);
      return found == nullptr ? std::nullopt : std::optional(*found);
    }
    case Kind::range:
      if (name == "start") return Value::integer(object.as_range().start);
      if (name == "stop") return Value::integer(object.as_range().stop);
      if (name == "step") return Value::integer(object.as_range().step);
      refuse_unsupported(object, name);
      return std::nullopt;
    default:
      refuse_unsupported(object, name);
      return std::nullopt;
  }
}

Value get_attribute(Runtime& rt, const Value& object, const std::string& name) {
  if (auto found = attribute_of(rt, object, name)) return *std::move(found);
  if (object.is(Kind::dict)) {
    if (const Value* found = object.as_dict().find(name)) return *found;
  }
  return missing_item(object, Value::text(name));
}

Value get_item(Runtime& rt, const Value& object, const Value& index) {
  if (object.is(Kind::undefined)) fail("a defined value", describe(object));
  if (auto found = item_at(rt, object, index)) return *std::move(found);
  if (index.is(Kind::string)) {
    if (auto found = attribute_of(rt, object, index.as_string())) return *std::move(found);
  }
  return missing_item(object, index);
}

Value get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is(Kind::undefined)) fail("a defined value", describe(object));
  if (!object.is(Kind::string) && !object.is_sequence() && !object.is(Kind::range)) {
    fail("a str, list, tuple or range to slice", describe(object));
  }
  const Slice slice = slice_of(*length(object), start, stop, step);
  if (object.is(Kind::string)) return slice_text(rt, object.as_text(), slice);
  if (object.is(Kind::range)) return slice_range(object.as_range(), slice);
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(slice.count));
  for (int64_t i = 0; i < slice.count; ++i) {
    items.push_back(object.as_items()[static_cast<size_t>(slice.start + i * slice.step)]);
  }
  return object.is(Kind::list) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

}  // namespace sigma::jinja
