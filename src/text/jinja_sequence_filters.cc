// Filters on lists, dicts and whatever else can be read item by item. Those that are generators in jinja2 are lazy
// here: nothing happens before the first item is asked for.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

using Next = std::function<std::optional<Value>()>;

// An attribute filter's argument: "a.b.0", an int, or nothing.
std::vector<Value> attribute_path(const std::optional<Value>& attribute) {
  if (!attribute || attribute->is(Kind::none)) return {};
  if (!attribute->is(Kind::string)) return {*attribute};
  std::vector<Value> path;
  std::string_view text = attribute->as_string();
  for (;;) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    const bool digits = !part.empty() && part.size() < 18 &&
                        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    path.push_back(digits ? Value::integer(std::stoll(std::string(part))) : Value::text(std::string(part)));
    if (dot == text.npos) return path;
    text.remove_prefix(dot + 1);
  }
}

Value follow(Runtime& rt, Value item, const std::vector<Value>& path, const std::optional<Value>& otherwise = {}) {
  for (const Value& part : path) {
    item = get_item(rt, item, part);
    if (otherwise && !otherwise->is(Kind::none) && item.is(Kind::undefined)) item = *otherwise;
  }
  return item;
}

Value without_case(Runtime& rt, const Value& v) { return v.is(Kind::string) ? rt.text(lower(v.as_string())) : v; }

bool set_and_true(const std::optional<Value>& v) { return v && truthy(*v); }

int order(Runtime& rt, const Value& a, const Value& b) {
  const int result = compare(rt, a, b, "<");
  if (result == 2) fail("numbers that have an order", "nan");
  return result;
}

struct Keyed {
  Value key, item;
};

void sort_keyed(Runtime& rt, std::vector<Keyed>& items, bool reverse) {
  rt.charge(items.size() * sizeof(Keyed));
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? order(rt, b.key, a.key) < 0 : order(rt, a.key, b.key) < 0;
  });
}

Value sorted_list(Runtime& rt, std::vector<Keyed> items, bool reverse) {
  sort_keyed(rt, items, reverse);
  std::vector<Value> out;
  out.reserve(items.size());
  for (Keyed& keyed : items) out.push_back(std::move(keyed.item));
  return rt.list(std::move(out));
}

Value count(Runtime&, const Value& v, const Arguments& given) {
  bind(given, "length", {}, 0);
  const auto size = length(v);
  if (!size) fail("something that has a length", describe(v));
  return Value::integer(*size);
}

Value first(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "first", {}, 0);
  return Cursor(rt, v).next().value_or(Value::undefined("no first item: the sequence is empty"));
}

// Python's reversed() wants something that knows its length.
std::vector<Value> reversible(Runtime& rt, const Value& v) {
  if (!length(v) || v.is(Kind::loop)) fail("something that can be reversed", describe(v));
  return collect(rt, v);
}

Value last(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "last", {}, 0);
  if (v.is_sequence() && !v.as_items().empty()) return v.as_items().back();
  const std::vector<Value> items = reversible(rt, v);
  return items.empty() ? Value::undefined("no last item: the sequence is empty") : items.back();
}

Value reverse(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "reverse", {}, 0);
  if (v.is(Kind::string)) return get_slice(rt, v, Value::none(), Value::none(), Value::integer(-1));
  std::vector<Value> items = collect(rt, v);
  std::reverse(items.begin(), items.end());
  Value reversed = rt.list(std::move(items));
  if (v.is(Kind::iterator)) return reversed;
  return rt.iterator(reversed, [cursor = Cursor(rt, reversed)]() mutable { return cursor.next(); });
}

Value list(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "list", {}, 0);
  return rt.list(collect(rt, v));
}

Value join(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "join", {"d", "attribute"}, 0);
  const std::string between = bound[0] ? to_text(rt, *bound[0]) : "";
  const std::vector<Value> path = attribute_path(bound[1]);
  std::string out;
  bool started = false;
  Cursor cursor(rt, v);
  while (auto item = cursor.next()) {
    const std::string part = to_text(rt, follow(rt, *std::move(item), path));
    rt.charge(between.size());
    if (std::exchange(started, true)) out += between;
    out += part;
  }
  return Value::text(std::move(out));
}

Value sum(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "sum", {"attribute", "start"}, 0);
  const std::vector<Value> path = attribute_path(bound[0]);
  Value total = bound[1].value_or(Value::integer(0));
  if (total.is(Kind::string)) fail("a start that is not a str", describe(total));
  Cursor cursor(rt, v);
  while (auto item = cursor.next()) total = binary(rt, Op::add, total, follow(rt, *std::move(item), path));
  return total;
}

Value sort(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "sort", {"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<std::vector<Value>> paths;
  if (bound[2] && bound[2]->is(Kind::string)) {
    const Value parts = call_method(rt, *bound[2], "split", {Value::text(",")});
    for (const Value& part : parts.as_items()) paths.push_back(attribute_path(part));
  } else {
    paths.push_back(attribute_path(bound[2]));
  }
  std::vector<Keyed> items;
  for (const Value& item : collect(rt, v)) {
    std::vector<Value> keys;
    for (const auto& path : paths) {
      const Value key = follow(rt, item, path);
      keys.push_back(set_and_true(bound[1]) ? key : without_case(rt, key));
    }
    items.push_back({.key = rt.list(std::move(keys)), .item = item});
  }
  return sorted_list(rt, std::move(items), set_and_true(bound[0]));
}

Value dict_sort(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "dictsort", {"case_sensitive", "by", "reverse"}, 0);
  if (!v.is(Kind::dict)) fail("a dict to sort", describe(v));
  const std::string by = bound[1] ? require_text(*bound[1], "what to sort by").bytes : "key";
  if (by != "key" && by != "value") fail("'key' or 'value' to sort by", printable(by));
  std::vector<Keyed> items;
  for (const auto& [key, value] : v.as_dict().items()) {
    const Value& sorted_by = by == "key" ? key : value;
    items.push_back(
        {.key = set_and_true(bound[0]) ? sorted_by : without_case(rt, sorted_by), .item = rt.tuple({key, value})});
  }
  return sorted_list(rt, std::move(items), set_and_true(bound[2]));
}

// The first of the items with the least (kSign 1) or greatest (kSign -1) key.
template <int kSign>
Value extreme(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "min and max", {"case_sensitive", "attribute"}, 0);
  const std::vector<Value> path = attribute_path(bound[1]);
  std::optional<Keyed> best;
  Cursor cursor(rt, v);
  while (const auto item = cursor.next()) {
    Value key = follow(rt, *item, path);
    if (!set_and_true(bound[0])) key = without_case(rt, key);
    if (!best || order(rt, key, best->key) * kSign < 0) best = Keyed{.key = std::move(key), .item = *item};
  }
  return best ? best->item : Value::undefined("no least or greatest item: the sequence is empty");
}

// A generator: `use` gives its items, reading v. Nothing is asked of v before the first one is asked for.
Value generate(Runtime& rt, const Value& v, std::function<std::optional<Value>(Cursor&)> use) {
  const Next next = [&rt, v, use = std::move(use), cursor = std::optional<Cursor>()]() mutable -> std::optional<Value> {
    if (!cursor) cursor.emplace(rt, v);
    return use(*cursor);
  };
  return rt.iterator(v, next);
}

// map, select and the like do not even look at something false.
Value generate_if_true(Runtime& rt, const Value& v, std::function<std::optional<Value>(Cursor&)> use) {
  return truthy(v) ? generate(rt, v, std::move(use)) : rt.iterator(v, [] { return std::nullopt; });
}

Value unique(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "unique", {"case_sensitive", "attribute"}, 0);
  const bool cased = set_and_true(bound[0]);
  auto seen = std::make_shared<Dict>();
  return generate(rt, v, [&rt, cased, seen, path = attribute_path(bound[1])](Cursor& cursor) -> std::optional<Value> {
    while (auto item = cursor.next()) {
      Value key = follow(rt, *item, path);
      if (!cased) key = without_case(rt, key);
      if (seen->find(rt, key) != nullptr) continue;
      seen->set(rt, std::move(key), Value::none());
      return item;
    }
    return std::nullopt;
  });
}

Value items(Runtime& rt, const Value& v, const Arguments& given) {
  bind(given, "items", {}, 0);
  if (v.is(Kind::undefined)) return rt.iterator(v, [] { return std::nullopt; });
  if (!v.is(Kind::dict)) {
    return rt.iterator(v, [v]() -> std::optional<Value> { fail("a dict for the filter items", describe(v)); });
  }
  const Value view = Value::view({.of = View::Of::items, .dict = v.share_dict()});
  return generate(rt, view, [](Cursor& cursor) { return cursor.next(); });
}

Value map(Runtime& rt, const Value& v, const Arguments& given) {
  if (given.positional.empty()) {
    const auto bound = bind(given, "map", {"attribute", "default"}, 1);
    return generate_if_true(
        rt, v, [&rt, path = attribute_path(bound[0]), otherwise = bound[1]](Cursor& cursor) -> std::optional<Value> {
          auto item = cursor.next();
          if (!item) return std::nullopt;
          return follow(rt, *std::move(item), path, otherwise);
        });
  }
  const std::string name = require_text(given.positional[0], "the name of a filter").bytes;
  Arguments rest = given;
  rest.positional.erase(rest.positional.begin());
  return generate_if_true(rt, v, [&rt, name, rest](Cursor& cursor) -> std::optional<Value> {
    const auto item = cursor.next();
    if (!item) return std::nullopt;
    return apply_filter(rt, name, *item, rest);
  });
}

// select, reject and their attr forms: items for which the test (truth, when none is named) comes out as wanted.
template <bool kWanted, bool kAttribute>
Value choose(Runtime& rt, const Value& v, const Arguments& given) {
  constexpr size_t kName = kAttribute ? 1 : 0;
  std::vector<Value> path;
  if (kAttribute) {
    if (given.positional.empty()) fail("the name of an attribute", "none");
    path = attribute_path(given.positional[0]);
  }
  std::string name;
  Arguments rest;
  if (given.positional.size() > kName) {
    name = require_text(given.positional[kName], "the name of a test").bytes;
    rest = given;
    rest.positional.erase(rest.positional.begin(), rest.positional.begin() + kName + 1);
  }
  return generate_if_true(rt, v, [&rt, path, name, rest](Cursor& cursor) -> std::optional<Value> {
    while (auto item = cursor.next()) {
      const Value tested = follow(rt, *item, path);
      const bool holds = name.empty() ? truthy(tested) : apply_test(rt, name, tested, rest);
      if (holds == kWanted) return item;
    }
    return std::nullopt;
  });
}

Value batch(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "batch", {"linecount", "fill_with"}, 1);
  const int64_t size = require_integer(*bound[0], "the size of a batch");
  if (size < 1) fail("a batch of at least one", fmt::format("{}", size));
  const Value filler = bound[1].value_or(Value::none());
  return generate(rt, v, [&rt, size, filler](Cursor& cursor) -> std::optional<Value> {
    std::vector<Value> row;
    while (static_cast<int64_t>(row.size()) < size) {
      auto item = cursor.next();
      if (!item) break;
      row.push_back(*std::move(item));
    }
    if (row.empty()) return std::nullopt;
    if (!filler.is(Kind::none)) {
      if (static_cast<uint64_t>(size) > kMaxBytes / sizeof(Value)) rt.charge(kMaxBytes + 1);
      rt.charge(static_cast<size_t>(size) * sizeof(Value));
      row.resize(static_cast<size_t>(size), filler);
    }
    return rt.list(std::move(row));
  });
}

Value slice(Runtime& rt, const Value& v, const Arguments& given) {
  const auto bound = bind(given, "slice", {"slices", "fill_with"}, 1);
  const int64_t slices = require_integer(*bound[0], "the number of slices");
  if (slices < 1) fail("at least one slice", fmt::format("{}", slices));
  const Value filler = bound[1].value_or(Value::none());
  const Next next = [&rt, v, slices, filler, all = std::optional<std::vector<Value>>(),
                     at = int64_t{0}]() mutable -> std::optional<Value> {
    if (!all) all = collect(rt, v);
    if (at == slices) return std::nullopt;
    const auto size = static_cast<int64_t>(all->size());
    const int64_t per = size / slices, longer = size % slices;
    const int64_t start = at * per + std::min(at, longer), end = start + per + (at < longer ? 1 : 0);
    std::vector<Value> row(all->begin() + start, all->begin() + end);
    if (!filler.is(Kind::none) && at >= longer) row.push_back(filler);
    ++at;
    return rt.list(std::move(row));
  };
  return rt.iterator(v, next);
}

constexpr NamedFilter kFilters[] = {
    {"batch", batch},
    {"count", count},
    {"dictsort", dict_sort},
    {"first", first},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", count},
    {"list", list},
    {"map", map},
    {"max", extreme<-1>},
    {"min", extreme<1>},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"reverse", reverse},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

FilterTable sequence_filters() { return {std::begin(kFilters), std::end(kFilters)}; }

FilterFunction find_filter(std::string_view name) {
  for (const FilterTable& table : {text_filters(), sequence_filters()}) {
    const auto* found = std::find_if(table.begin, table.end, [&](const NamedFilter& f) { return f.name == name; });
    if (found != table.end) return found->apply;
  }
  return nullptr;
}

bool jinja_has_filter(std::string_view name) {
  constexpr std::string_view kOthers[] = {"attr",      "filesizeformat", "groupby", "pprint",   "random",
                                          "striptags", "urlencode",      "urlize",  "wordwrap", "xmlattr"};
  return find_filter(name) != nullptr || std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers);
}

Value apply_filter(Runtime& rt, std::string_view name, const Value& subject, const Arguments& given) {
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) fail("a filter that is known", fmt::format("'{}'", printable(name)));
  return filter(rt, subject, given);
}

}  // namespace sigma::jinja
