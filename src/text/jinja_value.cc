#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

void fail(std::string expected, std::string found) { throw Fault{std::move(expected), std::move(found)}; }

namespace {

int nested_depth(int inner) {
  if (inner >= kMaxValueDepth) fail(fmt::format("values nested at most {} deep", kMaxValueDepth), "more");
  return inner + 1;
}

std::shared_ptr<Sequence> make_sequence(std::vector<Value> items) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  return std::make_shared<Sequence>(Sequence{.items = std::move(items), .depth = nested_depth(inner)});
}

size_t mix(size_t seed, size_t h) { return seed ^ (h + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2)); }

// Exact, where converting the integer to a double would round it.
int compare_mixed(int64_t a, double b) {
  if (std::isnan(b)) return 2;
  constexpr double kTwo63 = 9223372036854775808.0;
  if (b >= kTwo63) return -1;
  if (b < -kTwo63) return 1;
  const double whole = std::floor(b);
  const auto truncated = static_cast<int64_t>(whole);
  if (a != truncated) return a < truncated ? -1 : 1;
  return whole < b ? -1 : 0;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer() ? 1 : 0;
  }
  if (a.is_integral()) return compare_mixed(a.as_integer(), b.as_real());
  if (b.is_integral()) {
    const int order = compare_mixed(b.as_integer(), a.as_real());
    return order == 2 ? 2 : -order;
  }
  const double x = a.as_real(), y = b.as_real();
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y ? 1 : 0;
}

bool equal_items(Runtime& rt, const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const Value& x, const Value& y) { return equal(rt, x, y); });
}

bool equal_dicts(Runtime& rt, const Dict& a, const Dict& b) {
  if (a.items().size() != b.items().size()) return false;
  return std::all_of(a.items().begin(), a.items().end(), [&](const Dict::Item& item) {
    const Value* other = b.find(rt, item.first);
    return other != nullptr && equal(rt, item.second, *other);
  });
}

// Views of keys and of items compare as sets, views of values by identity.
bool equal_views(Runtime& rt, const View& a, const View& b) {
  if (a.of == View::Of::values || b.of == View::Of::values) return false;
  if (a.of != b.of) fail("values that can be compared", "the keys and the items of dicts");
  if (a.of == View::Of::items) return equal_dicts(rt, *a.dict, *b.dict);
  const auto& keys = a.dict->items();
  return keys.size() == b.dict->items().size() && std::all_of(keys.begin(), keys.end(), [&](const Dict::Item& item) {
           return b.dict->find(rt, item.first) != nullptr;
         });
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.size() != b.size()) return false;
  return a.size() == 0 || (a.start == b.start && (a.size() == 1 || a.step == b.step));
}

}  // namespace

int64_t Range::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

template <class Same>
std::optional<size_t> Dict::locate(size_t hash, Same same) const {
  const auto [first, last] = index_.equal_range(hash);
  const auto found = std::find_if(first, last, [&](const auto& entry) { return same(items_[entry.second].first); });
  if (found == last) return std::nullopt;
  return found->second;
}

void Dict::set(Runtime& rt, Value key, Value value) {
  const size_t h = hash(rt, key);
  const int inner = nested_depth(std::max(key.depth(), value.depth()));
  const auto place = locate(h, [&](const Value& other) { return equal(rt, key, other); });
  depth_ = std::max(depth_, inner);
  if (place) {
    items_[*place].second = std::move(value);
    return;
  }
  rt.charge(2 * sizeof(Item));
  index_.emplace(h, items_.size());
  items_.emplace_back(std::move(key), std::move(value));
}

const Value* Dict::find(Runtime& rt, const Value& key) const {
  const auto place = locate(hash(rt, key), [&](const Value& other) { return equal(rt, key, other); });
  return place ? &items_[*place].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  const auto same = [&](const Value& other) { return other.is(Kind::string) && other.as_string() == key; };
  const auto place = locate(std::hash<std::string_view>{}(key), same);
  return place ? &items_[*place].second : nullptr;
}

Value Value::undefined(std::string why) { return {Kind::undefined, std::make_shared<std::string>(std::move(why))}; }
Value Value::none() { return {Kind::none, nullptr}; }
Value Value::boolean(bool v) {
  Value out(Kind::boolean, nullptr);
  out.integer_ = v ? 1 : 0;
  return out;
}
Value Value::integer(int64_t v) {
  Value out(Kind::integer, nullptr);
  out.integer_ = v;
  return out;
}
Value Value::real(double v) {
  Value out(Kind::real, nullptr);
  out.real_ = v;
  return out;
}
Value Value::text(std::string bytes, bool markup) {
  const size_t chars = count_code_points(bytes);
  return {Kind::string, std::make_shared<Text>(Text{.bytes = std::move(bytes), .chars = chars, .markup = markup})};
}
Value Value::list(std::vector<Value> items) { return {Kind::list, make_sequence(std::move(items))}; }
Value Value::tuple(std::vector<Value> items) { return {Kind::tuple, make_sequence(std::move(items))}; }
Value Value::dict(Dict v) { return {Kind::dict, std::make_shared<Dict>(std::move(v))}; }
Value Value::range(Range v) { return {Kind::range, std::make_shared<Range>(v)}; }
Value Value::view(View v) { return {Kind::view, std::make_shared<View>(std::move(v))}; }
Value Value::iterator(std::function<std::optional<Value>()> next, int depth) {
  Iterator made;
  made.next = std::move(next);
  made.depth = nested_depth(depth);
  return {Kind::iterator, std::make_shared<Iterator>(std::move(made))};
}
Value Value::function(std::string name, std::function<Value(Runtime&, const Arguments&)> call) {
  return {Kind::function, std::make_shared<Function>(Function{.name = std::move(name), .call = std::move(call)})};
}
Value Value::macro(std::shared_ptr<const Macro> v) {
  return {Kind::macro, std::const_pointer_cast<Macro>(std::move(v))};
}
Value Value::space(Namespace* v) { return {Kind::space, std::shared_ptr<void>(std::shared_ptr<void>(), v)}; }
Value Value::loop(std::shared_ptr<Loop> v) { return {Kind::loop, std::move(v)}; }

const std::string& Value::why() const {
  static const std::string kEmpty;
  return object_ ? *static_cast<const std::string*>(object_.get()) : kEmpty;
}

int Value::depth() const {
  switch (kind_) {
    case Kind::list:
    case Kind::tuple:
      return static_cast<const Sequence*>(object_.get())->depth;
    case Kind::dict:
      return as_dict().depth();
    case Kind::view:
      return as_view().dict->depth() + 1;
    case Kind::iterator:
      return as_iterator().depth;
    case Kind::loop:
      return as_loop().source.depth() + 1;
    default:
      return 0;
  }
}

std::string type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return v.as_text().markup ? "Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::range:
      return "range";
    case Kind::view: {
      const auto of = v.as_view().of;
      return of == View::Of::keys ? "dict_keys" : of == View::Of::values ? "dict_values" : "dict_items";
    }
    case Kind::iterator:
      return "generator";
    case Kind::function:
      return "function";
    case Kind::macro:
      return "Macro";
    case Kind::space:
      return "Namespace";
    case Kind::loop:
      return "LoopContext";
  }
  return "";
}

std::string describe(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return v.why().empty() ? "an undefined value" : v.why();
    case Kind::none:
      return "None";
    case Kind::boolean:
      return v.as_integer() != 0 ? "True" : "False";
    case Kind::integer:
      return fmt::format("the int {}", v.as_integer());
    case Kind::real:
      return fmt::format("the float {}", repr_real(v.as_real()));
    case Kind::string:
      return fmt::format("the {} '{}'", type_name(v), printable(v.as_string(), 40));
    case Kind::function:
      return fmt::format("the function {}", v.as_function().name);
    default:
      return fmt::format("a {}", type_name(v));
  }
}

bool truthy(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return v.as_integer() != 0;
    case Kind::real:
      return v.as_real() != 0.0;
    default:
      return length(v).value_or(1) != 0;
  }
}

std::optional<int64_t> length(const Value& v) {
  switch (v.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return static_cast<int64_t>(v.as_text().chars);
    case Kind::list:
    case Kind::tuple:
      return static_cast<int64_t>(v.as_items().size());
    case Kind::dict:
      return static_cast<int64_t>(v.as_dict().items().size());
    case Kind::view:
      return static_cast<int64_t>(v.as_view().dict->items().size());
    case Kind::range:
      return v.as_range().size();
    case Kind::loop:
      return v.as_loop().length();
    default:
      return std::nullopt;
  }
}

bool equal(Runtime& rt, const Value& a, const Value& b) {
  rt.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return a.as_string() == b.as_string();
    case Kind::list:
    case Kind::tuple:
      return a.identity() == b.identity() || equal_items(rt, a.as_items(), b.as_items());
    case Kind::dict:
      return a.identity() == b.identity() || equal_dicts(rt, a.as_dict(), b.as_dict());
    case Kind::range:
      return equal_ranges(a.as_range(), b.as_range());
    case Kind::view:
      return a.identity() == b.identity() || equal_views(rt, a.as_view(), b.as_view());
    default:
      return a.identity() == b.identity();
  }
}

size_t hash(Runtime& rt, const Value& v) {
  rt.step();
  switch (v.kind()) {
    case Kind::undefined:
      return 1;
    case Kind::none:
      return 2;
    case Kind::boolean:
    case Kind::integer:
      return std::hash<int64_t>{}(v.as_integer());
    case Kind::real: {
      // Equal numbers have equal hashes, whatever their types.
      const double d = v.as_real();
      if (d == std::floor(d) && std::fabs(d) < 9.2e18) return std::hash<int64_t>{}(static_cast<int64_t>(d));
      return std::hash<double>{}(d);
    }
    case Kind::string:
      return std::hash<std::string_view>{}(v.as_string());
    case Kind::tuple: {
      size_t h = 3;
      for (const Value& item : v.as_items()) h = mix(h, hash(rt, item));
      return h;
    }
    case Kind::range:
      return static_cast<size_t>(v.as_range().size());
    case Kind::list:
    case Kind::dict:
    case Kind::view:
      fail("something that can be a key", describe(v));
    default:
      return std::hash<const void*>{}(v.identity());
  }
}

int compare(Runtime& rt, const Value& a, const Value& b, std::string_view op) {
  rt.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is(Kind::string) && b.is(Kind::string)) {
    const int order = a.as_string().compare(b.as_string());  // bytes of UTF-8 order as characters do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& x = a.as_items();
    const auto& y = b.as_items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(rt, x[i], y[i])) return compare(rt, x[i], y[i], op);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  for (const Value* v : {&a, &b}) {
    if (v->is(Kind::undefined)) fail("a defined value", describe(*v));
  }
  if (a.is(Kind::view) && b.is(Kind::view)) fail("values that can be compared", "two dict views");
  fail(fmt::format("values that '{}' orders", op), fmt::format("{} and {}", describe(a), describe(b)));
}

}  // namespace sigma::jinja
