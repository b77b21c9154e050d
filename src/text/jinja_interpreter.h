// Runs a parsed template.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace sigma::jinja {

// A running function: its variables, and the activation of the function it was written in.
struct Activation {
  const FunctionPlan* plan = nullptr;
  Activation* outer = nullptr;
  std::vector<std::optional<Value>> slots = {};
};

struct Macro {
  const FunctionPlan* plan = nullptr;
  Activation* outer = nullptr;
};

class Interpreter {
 public:
  explicit Interpreter(const FunctionPlan& root) : root_(root) {}  // `root` outlives the interpreter
  // Once. Names that `variables` lacks are looked up among the globals.
  std::string run(std::unordered_map<std::string, Value> variables);

  Runtime& runtime() { return rt_; }

 private:
  enum class Flow : uint8_t { on, leave, next };

  // Statements: jinja_interpreter.cc.
  Flow execute(const Block& block, Activation& at, std::string& out);
  Flow execute(const Stmt& stmt, Activation& at, std::string& out);
  void print(const Stmt& stmt, Activation& at, std::string& out);
  Flow run_for(const Stmt& stmt, Activation& at, std::string& out);
  Flow run_captured(const Stmt& stmt, Activation& at, std::string& out);
  Flow run_with(const Stmt& stmt, Activation& at, std::string& out);
  void run_call_block(const Stmt& stmt, Activation& at, std::string& out);
  Value filtered_items(const Stmt& stmt, const Value& items, Activation& at);
  Value make_macro(const Stmt& stmt, Activation& at);
  Value call_macro(const Macro& macro, const Arguments& given);
  void bind_parameters(const Macro& macro, const Arguments& given, Activation& inside);
  void assign(const Expr& target, const Value& value, Activation& at);
  void enter(const Frame& frame, Activation& at);
  void leave(const Frame& frame, Activation& at);
  std::optional<Value>& slot(const Ref& ref, Activation& at);
  std::optional<Value> variable(const std::string& name) const;
  void append(std::string& out, std::string_view text);

  // Expressions: jinja_evaluate.cc.
  Value evaluate(const Expr& expr, Activation& at);
  Value evaluate_node(const Expr& expr, Activation& at);
  Value read_name(const Expr& expr, Activation& at);
  Value evaluate_dict(const Expr& expr, Activation& at);
  Value evaluate_conditional(const Expr& expr, Activation& at);
  Value evaluate_comparison(const Expr& expr, Activation& at);
  Value evaluate_concat(const Expr& expr, Activation& at);
  Value evaluate_item(const Expr& expr, Activation& at);
  Value evaluate_call(const Expr& expr, Activation& at, const Value* caller);
  std::vector<Value> evaluate_all(const std::vector<ExprPtr>& exprs, size_t first, Activation& at);
  Arguments arguments(const Expr& expr, Activation& at);
  Value subject(const Expr& expr, Activation& at);
  Value call(const Value& callee, const Arguments& given);

  const FunctionPlan& root_;
  std::unordered_map<std::string, Value> variables_;
  Runtime rt_;
  std::deque<Activation> kept_;            // activations that macros may refer to later
  const std::string* captured_ = nullptr;  // the text a filter block or block set filters
};

std::unordered_map<std::string, Value> globals();  // jinja_globals.cc

}  // namespace sigma::jinja
