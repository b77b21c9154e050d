// The expression half of the interpreter.
#include <utility>

#include "base/error.h"
#include "text/jinja_filters.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"

namespace sigma::jinja {

Value Interpreter::evaluate(const Expr& expr, Activation& at) {
  const Nested nested(rt_);
  rt_.step();
  rt_.line = expr.line;
  return evaluate_node(expr, at);
}

Value Interpreter::evaluate_node(const Expr& expr, Activation& at) {
  const auto arg = [&](size_t i) { return evaluate(*expr.args[i], at); };
  switch (expr.kind) {
    case ExprKind::constant:
      return expr.constant;
    case ExprKind::name:
      return read_name(expr, at);
    case ExprKind::tuple:
      return rt_.tuple(evaluate_all(expr.args, 0, at));
    case ExprKind::list:
      return rt_.list(evaluate_all(expr.args, 0, at));
    case ExprKind::dict:
      return evaluate_dict(expr, at);
    case ExprKind::conditional:
      return evaluate_conditional(expr, at);
    case ExprKind::logical_or: {
      Value left = arg(0);
      return truthy(left) ? left : arg(1);
    }
    case ExprKind::logical_and: {
      Value left = arg(0);
      return truthy(left) ? arg(1) : left;
    }
    case ExprKind::logical_not:
      return Value::boolean(!truthy(arg(0)));
    case ExprKind::negative:
      return negative(arg(0));
    case ExprKind::positive:
      return positive(arg(0));
    case ExprKind::compare:
      return evaluate_comparison(expr, at);
    case ExprKind::binary: {
      const Value left = arg(0), right = arg(1);
      rt_.line = expr.line;
      return binary(rt_, expr.ops[0], left, right);
    }
    case ExprKind::concat:
      return evaluate_concat(expr, at);
    case ExprKind::attribute:
      return get_attribute(rt_, arg(0), expr.name);
    case ExprKind::item:
      return evaluate_item(expr, at);
    case ExprKind::call:
      return evaluate_call(expr, at, nullptr);
    case ExprKind::filter: {
      const Value on = subject(expr, at);
      const Arguments given = arguments(expr, at);
      rt_.line = expr.line;
      return apply_filter(rt_, expr.name, on, given);
    }
    case ExprKind::test: {
      const Value on = subject(expr, at);
      const Arguments given = arguments(expr, at);
      rt_.line = expr.line;
      return Value::boolean(apply_test(rt_, expr.name, on, given));
    }
    case ExprKind::slice:
    case ExprKind::space_attribute:
      break;  // parts of other expressions
  }
  return {};
}

Value Interpreter::read_name(const Expr& expr, Activation& at) {
  const auto& value = slot(expr.ref, at);
  if (!value && expr.ref.parameter) fail("a variable of a scope that has not ended", fmt::format("'{}'", expr.name));
  return value ? *value : Value::undefined(fmt::format("'{}' is undefined", expr.name));
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExprPtr>& exprs, size_t first, Activation& at) {
  std::vector<Value> values;
  values.reserve(exprs.size() - first);
  for (size_t i = first; i < exprs.size(); ++i) values.push_back(evaluate(*exprs[i], at));
  return values;
}

Value Interpreter::evaluate_dict(const Expr& expr, Activation& at) {
  Dict dict;
  for (size_t i = 0; i < expr.args.size(); i += 2) {
    Value key = evaluate(*expr.args[i], at);
    dict.set(rt_, std::move(key), evaluate(*expr.args[i + 1], at));
  }
  return Value::dict(std::move(dict));
}

Value Interpreter::evaluate_conditional(const Expr& expr, Activation& at) {
  if (truthy(evaluate(*expr.args[0], at))) return evaluate(*expr.args[1], at);
  if (expr.args[2]) return evaluate(*expr.args[2], at);
  return Value::undefined("an inline if without an else whose condition is false");
}

Value Interpreter::evaluate_comparison(const Expr& expr, Activation& at) {
  Value left = evaluate(*expr.args[0], at);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.args[i + 1], at);
    rt_.line = expr.line;
    if (!compare_with(rt_, expr.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_concat(const Expr& expr, Activation& at) {
  std::string out;
  for (const ExprPtr& part : expr.args) append(out, to_text(rt_, evaluate(*part, at)));
  return Value::text(std::move(out));
}

Value Interpreter::evaluate_item(const Expr& expr, Activation& at) {
  const Value object = evaluate(*expr.args[0], at);
  const Expr& index = *expr.args[1];
  if (index.kind != ExprKind::slice) {
    const Value key = evaluate(index, at);
    rt_.line = expr.line;
    return get_item(rt_, object, key);
  }
  const auto part = [&](size_t i) { return index.args[i] ? evaluate(*index.args[i], at) : Value::none(); };
  const Value start = part(0), stop = part(1), step = part(2);
  rt_.line = expr.line;
  return get_slice(rt_, object, start, stop, step);
}

Value Interpreter::subject(const Expr& expr, Activation& at) {
  if (expr.args[0]) return evaluate(*expr.args[0], at);
  return rt_.text(*captured_);
}

Arguments Interpreter::arguments(const Expr& expr, Activation& at) {
  Arguments given{.positional = evaluate_all(expr.args, 1, at)};
  for (const auto& [name, value] : expr.named) given.named.emplace_back(name, evaluate(*value, at));
  if (expr.star) {
    for (Value& item : collect(rt_, evaluate(*expr.star, at))) given.positional.push_back(std::move(item));
  }
  if (expr.star_star) {
    const Value more = evaluate(*expr.star_star, at);
    if (!more.is(Kind::dict)) fail("a dict after '**'", describe(more));
    for (const auto& [key, value] : more.as_dict().items()) {
      const std::string& name = require_text(key, "the name of an argument").bytes;
      for (const auto& known : given.named) {
        if (known.first == name) fail("each argument once", fmt::format("'{}' again", printable(name)));
      }
      given.named.emplace_back(name, value);
    }
  }
  return given;
}

Value Interpreter::evaluate_call(const Expr& expr, Activation& at, const Value* caller) {
  const Value callee = evaluate(*expr.args[0], at);
  Arguments given = arguments(expr, at);
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  rt_.line = expr.line;
  return call(callee, given);
}

Value Interpreter::call(const Value& callee, const Arguments& given) {
  if (callee.is(Kind::function)) return callee.as_function().call(rt_, given);
  if (callee.is(Kind::macro)) return call_macro(callee.as_macro(), given);
  if (callee.is(Kind::undefined)) fail("a defined function", describe(callee));
  fail("something to call", describe(callee));
}

}  // namespace sigma::jinja
