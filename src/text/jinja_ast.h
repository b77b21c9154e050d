// The parsed template: expressions, statements and the frames that say where each variable lives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_value.h"

namespace sigma::jinja {

// A variable's place: the slot `slot` of the activation of the enclosing function at lexical depth `function` (0 is the
// template itself). Found once, after parsing (jinja_scope.h).
struct Ref {
  int function = -1;
  int slot = -1;
  bool parameter = false;  // set by whoever enters the scope, and gone when it is left
};

enum class Op : uint8_t { add, sub, mul, div, floor_div, mod, pow, eq, ne, lt, le, gt, ge, in, not_in };

enum class ExprKind : uint8_t {
  constant,
  name,
  space_attribute,  // as a target of set: name.attribute
  tuple,
  list,
  dict,         // args: key, value, key, value, ...
  conditional,  // args: test, then, else (may be null)
  logical_or,
  logical_and,
  logical_not,
  negative,
  positive,
  compare,  // args: operands; ops between them
  binary,   // args: left, right; ops: one
  concat,
  attribute,  // args: object; name
  item,       // args: object, index
  slice,      // args: start, stop, step, each may be null; only as the index of an item
  call,       // args: callee, arguments...
  filter,     // args: subject (null in filter blocks), arguments...; name
  test,       // args: subject, arguments...; name
};

enum class Use : uint8_t { load, store, parameter };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::constant;
  int line = 1;
  int depth = 1;  // levels of the tree below and including this node
  std::string name, attribute;
  Value constant;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;  // call, filter, test: name=value
  ExprPtr star, star_star;                             // call, filter, test: *list, **dict
  std::vector<Op> ops;
  Use use = Use::load;  // of a name
  Ref ref;              // of a name
};

// What happens when a scope is entered: variables of outer scopes are looked up, copied, or start out missing.
struct Load {
  enum class From : uint8_t { variables, outer, nothing } from = From::nothing;
  Ref to = {}, source = {};  // source: from outer
  std::string name = {};     // from variables
};

struct Frame {
  std::vector<Load> loads;
  std::vector<Ref> owned;  // all variables of the scope; missing again once it is left
};

enum class StmtKind : uint8_t {
  output,
  set,
  set_block,
  for_loop,
  if_chain,
  macro,
  call_block,
  filter_block,
  with,
  leave,
  next
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Parameter {
  ExprPtr name = nullptr;      // a name
  ExprPtr fallback = nullptr;  // may be null
};

// A body that runs in its own activation: the template, a macro, a call block, the `if` of a for loop.
struct FunctionPlan {
  std::string name;  // empty: a call block's
  std::vector<Parameter> parameters;
  Block body;
  Frame frame;
  Ref caller, rest_named, rest_positional;  // set when the body asks for them
  bool takes_caller = false, takes_named = false, takes_positional = false;
  int depth = 0;          // lexical: 0 is the template
  int slots = 0;          // variables of all its scopes
  bool captured = false;  // functions inside it refer to its variables
};

struct Branch {
  ExprPtr test = nullptr;  // null: else
  Block body;
};

struct Stmt {
  StmtKind kind = StmtKind::output;
  int line = 1;
  // output: what is printed; set: target, value; set_block: target, filter (may be null); for_loop: target, items, test
  // (may be null); call_block: the call (null: a generation block); filter_block: the filter; with: target, value, ...;
  // macro: its name
  std::vector<ExprPtr> exprs = {};
  std::vector<Branch> branches = {};  // if_chain
  Block body = {}, otherwise = {};
  Frame frame = {}, else_frame = {};
  std::unique_ptr<FunctionPlan> function = nullptr;  // macro, call_block; for_loop with a test
  bool uses_loop = false;                            // for_loop: the body asks for the variable `loop`
  Ref loop = {};
};

}  // namespace sigma::jinja
