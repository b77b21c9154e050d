#include "text/jinja_runtime.h"

#include <algorithm>

#include "base/error.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

Value* Namespace::find(std::string_view name) {
  const auto found = std::find_if(attributes.begin(), attributes.end(), [&](const auto& a) { return a.first == name; });
  return found == attributes.end() ? nullptr : &found->second;
}

void Namespace::set(const std::string& name, Value value) {
  if (name.starts_with('_')) fail("a namespace attribute that does not start with '_'", printable(name));
  if (Value* old = find(name)) {
    *old = std::move(value);
  } else {
    attributes.emplace_back(name, std::move(value));
  }
}

void Runtime::step() {
  if (++steps_ > kMaxSteps) fail(fmt::format("at most {} steps", kMaxSteps), "a template that takes more");
}

void Runtime::charge(size_t bytes) {
  if (bytes > kMaxBytes - bytes_) fail(fmt::format("at most {} bytes made by a template", kMaxBytes), "more");
  bytes_ += bytes;
}

Value Runtime::text(std::string bytes, bool markup) {
  charge(bytes.size() + sizeof(Text));
  return Value::text(std::move(bytes), markup);
}

Value Runtime::list(std::vector<Value> items) {
  charge((items.size() + 1) * sizeof(Value));
  return Value::list(std::move(items));
}

Value Runtime::tuple(std::vector<Value> items) {
  charge((items.size() + 1) * sizeof(Value));
  return Value::tuple(std::move(items));
}

Value Runtime::iterator(const Value& source, std::function<std::optional<Value>()> next) {
  charge(sizeof(Iterator) + sizeof(Cursor));
  return Value::iterator(std::move(next), source.depth());
}

Namespace& Runtime::make_space() {
  charge(sizeof(Namespace));
  return spaces_.emplace_back();
}

Nested::Nested(Runtime& rt) : rt_(rt) {
  if (++rt_.nesting > kMaxNesting) {
    --rt_.nesting;
    fail(fmt::format("at most {} levels of nested evaluation", kMaxNesting), "more, or an endless recursion");
  }
}

bool iterable(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::range:
    case Kind::view:
    case Kind::iterator:
    case Kind::loop:
      return true;
    default:
      return false;
  }
}

Cursor::Cursor(Runtime& rt, Value iterable) : rt_(&rt), source_(std::move(iterable)) {
  if (!jinja::iterable(source_) || source_.is(Kind::loop)) fail("something to iterate over", describe(source_));
}

namespace {

Value view_item(Runtime& rt, View::Of of, const Dict::Item& item) {
  if (of == View::Of::keys) return item.first;
  if (of == View::Of::values) return item.second;
  return rt.tuple({item.first, item.second});
}

std::optional<Value> next_of(Iterator& it) {
  if (it.done) return std::nullopt;
  if (it.running) fail("an iterator at rest", "one that is being read already");
  it.running = true;
  std::optional<Value> item;
  try {
    item = it.next();
  } catch (...) {
    it.running = false;
    it.done = true;
    throw;
  }
  it.running = false;
  it.done = !item;
  return item;
}

}  // namespace

std::optional<Value> Cursor::next() {
  rt_->step();
  const auto item_of = [&](const auto& items) -> std::optional<Value> {
    if (at_ >= items.size()) return std::nullopt;
    return items[at_++];
  };
  switch (source_.kind()) {
    case Kind::list:
    case Kind::tuple:
      return item_of(source_.as_items());
    case Kind::string: {
      const std::string& bytes = source_.as_string();
      if (at_ >= bytes.size()) return std::nullopt;
      const size_t size = code_point_at(bytes, at_).bytes;
      at_ += size;
      return rt_->text(bytes.substr(at_ - size, size));
    }
    case Kind::dict: {
      const auto& items = source_.as_dict().items();
      if (at_ >= items.size()) return std::nullopt;
      return items[at_++].first;
    }
    case Kind::view: {
      const View& view = source_.as_view();
      if (at_ >= view.dict->items().size()) return std::nullopt;
      return view_item(*rt_, view.of, view.dict->items()[at_++]);
    }
    case Kind::range: {
      const Range& range = source_.as_range();
      if (at_ >= static_cast<size_t>(range.size())) return std::nullopt;
      return Value::integer(range.start + static_cast<int64_t>(at_++) * range.step);
    }
    case Kind::iterator: {
      const Nested nested(*rt_);
      return next_of(source_.as_iterator());
    }
    default:
      return std::nullopt;
  }
}

std::vector<Value> collect(Runtime& rt, const Value& v) {
  std::vector<Value> items;
  Cursor cursor(rt, v);
  while (auto item = cursor.next()) {
    rt.charge(sizeof(Value));
    items.push_back(*std::move(item));
  }
  return items;
}

Loop::Loop(Runtime& runtime, const Value& iterable) : cursor(runtime, iterable), source(iterable), rt(runtime) {}

std::optional<Value> Loop::advance() {
  std::optional<Value> item = peeked ? std::exchange(after, std::nullopt) : cursor.next();
  peeked = false;
  if (!item) return std::nullopt;
  ++index0;
  before = std::exchange(current, *item);
  return item;
}

const std::optional<Value>& Loop::peek() {
  if (!peeked || !after) after = cursor.next();
  peeked = true;
  return after;
}

int64_t Loop::length() {
  if (known_length) return *known_length;
  known_length = jinja::length(source);
  if (!known_length) {
    std::vector<Value> rest;
    while (auto item = cursor.next()) rest.push_back(*std::move(item));
    known_length = static_cast<int64_t>(rest.size()) + index0 + 1 + (peeked && after ? 1 : 0);
    cursor = Cursor(rt, rt.list(std::move(rest)));
  }
  return *known_length;
}

std::vector<std::optional<Value>> bind(const Arguments& given, std::string_view callee,
                                       std::initializer_list<std::string_view> names, size_t required) {
  std::vector<std::optional<Value>> bound(names.size());
  if (given.positional.size() > names.size()) {
    fail(fmt::format("at most {} arguments to {}", names.size(), callee), fmt::format("{}", given.positional.size()));
  }
  std::copy(given.positional.begin(), given.positional.end(), bound.begin());
  for (const auto& [name, value] : given.named) {
    const auto place = std::find(names.begin(), names.end(), name);
    const auto at = static_cast<size_t>(place - names.begin());
    if (place == names.end() || bound[at]) {
      fail(fmt::format("the arguments that {} takes", callee),
           fmt::format("{}'{}'", place == names.end() ? "" : "a second ", printable(name)));
    }
    bound[at] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound[i]) fail(fmt::format("{} arguments to {}", required, callee), "fewer");
  }
  return bound;
}

int64_t require_integer(const Value& v, std::string_view what) {
  if (!v.is_integral()) fail(fmt::format("an int for {}", what), describe(v));
  return v.as_integer();
}

const Text& require_text(const Value& v, std::string_view what) {
  if (!v.is(Kind::string)) fail(fmt::format("a str for {}", what), describe(v));
  return v.as_text();
}

}  // namespace sigma::jinja
