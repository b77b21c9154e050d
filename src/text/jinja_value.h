// What a template computes with: Python's values, as far as templates can make them. Values are cheap to copy and
// immutable but for namespaces, iterators and loops, which keep Python's reference semantics.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sigma::jinja {

class Runtime;
class Value;

// What Python would have raised; becomes an Error with the template's name and line.
struct Fault {
  std::string expected, found;
};
[[noreturn]] void fail(std::string expected, std::string found);

enum class Kind : uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  dict,
  range,
  view,      // dict.keys(), .values(), .items()
  iterator,  // generators and the like: what is read from it is gone
  function,  // globals and bound methods
  macro,
  space,  // namespace()
  loop,   // the variable `loop`
};

struct Text {
  std::string bytes;  // valid UTF-8
  size_t chars = 0;
  bool markup = false;  // markupsafe.Markup: already escaped for HTML
  bool ascii() const { return chars == bytes.size(); }
};

struct Sequence {
  std::vector<Value> items;
  int depth = 1;  // levels of nesting, this one included
};

class Dict {
 public:
  using Item = std::pair<Value, Value>;
  void set(Runtime& rt, Value key, Value value);  // Fault when the key cannot be hashed
  const Value* find(Runtime& rt, const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Item>& items() const { return items_; }
  int depth() const { return depth_; }

 private:
  template <class Same>
  std::optional<size_t> locate(size_t hash, Same same) const;

  std::vector<Item> items_;
  std::unordered_multimap<size_t, size_t> index_;  // hash of a key -> its place in items_
  int depth_ = 1;
};

struct Range {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
};

struct View {
  enum class Of : uint8_t { keys, values, items } of = Of::keys;
  std::shared_ptr<const Dict> dict;
};

struct Iterator {
  std::function<std::optional<Value>()> next;
  int depth = 1;
  bool running = false, done = false;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function {
  std::string name;
  std::function<Value(Runtime&, const Arguments&)> call;
};

struct Macro;      // jinja_interpreter.h
struct Namespace;  // jinja_runtime.h
struct Loop;       // jinja_runtime.h

class Value {
 public:
  Value() = default;  // undefined
  static Value undefined(std::string why);
  static Value none();
  static Value boolean(bool v);
  static Value integer(int64_t v);
  static Value real(double v);
  static Value text(std::string bytes, bool markup = false);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value dict(Dict v);
  static Value range(Range v);
  static Value view(View v);
  static Value iterator(std::function<std::optional<Value>()> next, int depth);
  static Value function(std::string name, std::function<Value(Runtime&, const Arguments&)> call);
  static Value macro(std::shared_ptr<const Macro> v);
  static Value space(Namespace* v);  // owned by the Runtime
  static Value loop(std::shared_ptr<Loop> v);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return kind_ == Kind::boolean || kind_ == Kind::integer || kind_ == Kind::real; }
  bool is_integral() const { return kind_ == Kind::boolean || kind_ == Kind::integer; }
  bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }

  // Each for its kinds only.
  int64_t as_integer() const { return integer_; }  // boolean or integer
  double as_real() const { return is_integral() ? static_cast<double>(integer_) : real_; }
  const std::string& why() const;  // why it is undefined; may be empty
  const Text& as_text() const { return *static_cast<const Text*>(object_.get()); }
  const std::string& as_string() const { return as_text().bytes; }
  const std::vector<Value>& as_items() const { return static_cast<const Sequence*>(object_.get())->items; }
  const Dict& as_dict() const { return *static_cast<const Dict*>(object_.get()); }
  std::shared_ptr<const Dict> share_dict() const { return std::static_pointer_cast<const Dict>(object_); }
  const Range& as_range() const { return *static_cast<const Range*>(object_.get()); }
  const View& as_view() const { return *static_cast<const View*>(object_.get()); }
  const Function& as_function() const { return *static_cast<const Function*>(object_.get()); }
  const Macro& as_macro() const { return *static_cast<const Macro*>(object_.get()); }
  Iterator& as_iterator() const { return *static_cast<Iterator*>(object_.get()); }
  Namespace& as_space() const { return *static_cast<Namespace*>(object_.get()); }
  Loop& as_loop() const { return *static_cast<Loop*>(object_.get()); }

  const void* identity() const { return object_.get(); }
  int depth() const;

 private:
  Value(Kind kind, std::shared_ptr<void> object) : kind_(kind), object_(std::move(object)) {}

  Kind kind_ = Kind::undefined;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<void> object_;
};

std::string type_name(const Value& v);  // Python's
std::string describe(const Value& v);   // for messages: type and, for small things, the value

bool truthy(const Value& v);
std::optional<int64_t> length(const Value& v);  // nothing where Python's len() raises
bool equal(Runtime& rt, const Value& a, const Value& b);
size_t hash(Runtime& rt, const Value& v);  // Fault when it cannot be hashed
// a < b: -1, equal: 0, a > b: 1, unordered (nan): 2. Fault when Python does not order the two; `op` names the operator.
int compare(Runtime& rt, const Value& a, const Value& b, std::string_view op);

std::string to_text(Runtime& rt, const Value& v);  // str(v)
std::string repr(Runtime& rt, const Value& v);     // repr(v)
std::string repr_text(std::string_view text);      // repr of a str
std::string repr_real(double v);                   // repr of a float
Value escaped(Runtime& rt, const Value& v);        // ... of any value, which is left as it is when it is markup

}  // namespace sigma::jinja
