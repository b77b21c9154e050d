// What one rendering carries along: its limits, the line it is at, and the objects that may refer to each other.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace sigma::jinja {

constexpr int kMaxValueDepth = 600;        // levels of lists in lists
constexpr int kMaxNesting = 1200;          // nested evaluations: expressions, blocks and macro calls together
constexpr int64_t kMaxSteps = 20'000'000;  // evaluations and loop turns
constexpr size_t kMaxBytes = 1u << 28;     // bytes made by one rendering, whether kept or not
constexpr int64_t kMaxRange = 100'000;     // items of a range(), as jinja's sandbox has it

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void set(const std::string& name, Value value);  // Fault for names that start with an underscore
};

class Runtime {
 public:
  void step();                                         // Fault when the work is too much
  void charge(size_t bytes);                           // call before making something big
  Value text(std::string bytes, bool markup = false);  // charged
  Value list(std::vector<Value> items);                // charged
  Value tuple(std::vector<Value> items);               // charged
  Value iterator(const Value& source, std::function<std::optional<Value>()> next);
  Namespace& make_space();

  int line = 1;
  int nesting = 0;

 private:
  int64_t steps_ = 0;
  size_t bytes_ = 0;
  std::deque<Namespace> spaces_;
};

// Counts one level of recursion for as long as it lives.
class Nested {
 public:
  explicit Nested(Runtime& rt);
  ~Nested() { --rt_.nesting; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  Runtime& rt_;
};

// Reads any iterable item by item; iterators are read where they stand. Fault when it is not iterable.
class Cursor {
 public:
  Cursor(Runtime& rt, Value iterable);
  std::optional<Value> next();

 private:
  Runtime* rt_;
  Value source_;
  size_t at_ = 0;
};
bool iterable(const Value& v);
std::vector<Value> collect(Runtime& rt, const Value& v);  // list(v)

// The variable `loop`: reads its items one ahead only when asked to.
struct Loop {
  Loop(Runtime& rt, const Value& iterable);
  std::optional<Value> advance();
  const std::optional<Value>& peek();
  int64_t length();

  Cursor cursor;
  Value source;
  int64_t index0 = -1;
  std::optional<int64_t> known_length;
  bool peeked = false;
  std::optional<Value> after;  // meaningful when peeked
  Value before, current;
  std::optional<Value> last_changed;
  Runtime& rt;
};

// The arguments of a call in the order of `names`; nothing where one was not given. Fault for too many, unknown or
// repeated ones and for fewer than `required`. A name that starts with '/' cannot be given by name.
std::vector<std::optional<Value>> bind(const Arguments& given, std::string_view callee,
                                       std::initializer_list<std::string_view> names, size_t required);

int64_t require_integer(const Value& v, std::string_view what);
const Text& require_text(const Value& v, std::string_view what);

}  // namespace sigma::jinja
