#include "text/jinja_interpreter.h"

#include <algorithm>

#include "base/error.h"
#include "text/jinja_operators.h"

namespace sigma::jinja {

std::string Interpreter::run(std::unordered_map<std::string, Value> variables) {
  variables_ = std::move(variables);
  variables_.merge(globals());
  Activation& at = kept_.emplace_back(Activation{.plan = &root_, .outer = nullptr});
  at.slots.resize(static_cast<size_t>(root_.slots));
  enter(root_.frame, at);
  std::string out;
  execute(root_.body, at, out);
  return out;
}

std::optional<Value> Interpreter::variable(const std::string& name) const {
  const auto found = variables_.find(name);
  if (found == variables_.end()) return std::nullopt;
  return found->second;
}

std::optional<Value>& Interpreter::slot(const Ref& ref, Activation& at) {
  Activation* where = &at;
  while (where->plan->depth > ref.function) where = where->outer;
  return where->slots[static_cast<size_t>(ref.slot)];
}

void Interpreter::enter(const Frame& frame, Activation& at) {
  for (const Load& load : frame.loads) {
    switch (load.from) {
      case Load::From::variables:
        slot(load.to, at) = variable(load.name);
        break;
      case Load::From::outer:
        slot(load.to, at) = slot(load.source, at);
        break;
      case Load::From::nothing:
        slot(load.to, at) = std::nullopt;
        break;
    }
  }
}

void Interpreter::leave(const Frame& frame, Activation& at) {
  for (const Ref& ref : frame.owned) slot(ref, at) = std::nullopt;
}

void Interpreter::append(std::string& out, std::string_view text) {
  rt_.charge(text.size());
  out += text;
}

Interpreter::Flow Interpreter::execute(const Block& block, Activation& at, std::string& out) {
  const Nested nested(rt_);
  for (const Stmt& stmt : block) {
    rt_.step();
    rt_.line = stmt.line;
    const Flow flow = execute(stmt, at, out);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt, Activation& at, std::string& out) {
  switch (stmt.kind) {
    case StmtKind::output:
      print(stmt, at, out);
      return Flow::on;
    case StmtKind::set:
      assign(*stmt.exprs[0], evaluate(*stmt.exprs[1], at), at);
      return Flow::on;
    case StmtKind::if_chain:
      for (const Branch& branch : stmt.branches) {
        if (!branch.test || truthy(evaluate(*branch.test, at))) return execute(branch.body, at, out);
      }
      return Flow::on;
    case StmtKind::for_loop:
      return run_for(stmt, at, out);
    case StmtKind::set_block:
    case StmtKind::filter_block:
      return run_captured(stmt, at, out);
    case StmtKind::with:
      return run_with(stmt, at, out);
    case StmtKind::macro:
      slot(stmt.exprs[0]->ref, at) = make_macro(stmt, at);
      return Flow::on;
    case StmtKind::call_block:
      run_call_block(stmt, at, out);
      return Flow::on;
    case StmtKind::leave:
      return Flow::leave;
    case StmtKind::next:
      return Flow::next;
  }
  return Flow::on;
}

void Interpreter::print(const Stmt& stmt, Activation& at, std::string& out) {
  for (const ExprPtr& expr : stmt.exprs) {
    if (expr->kind == ExprKind::constant && expr->constant.is(Kind::string)) {
      append(out, expr->constant.as_string());
      continue;
    }
    const Value value = evaluate(*expr, at);
    if (value.is(Kind::string)) {
      append(out, value.as_string());
    } else {
      append(out, to_text(rt_, value));
    }
  }
}

void Interpreter::assign(const Expr& target, const Value& value, Activation& at) {
  if (target.kind == ExprKind::name) {
    slot(target.ref, at) = value;
    return;
  }
  if (target.kind == ExprKind::space_attribute) {
    const auto& space = slot(target.ref, at);
    if (!space || !space->is(Kind::space)) {
      fail("a namespace to set an attribute of",
           space ? describe(*space) : fmt::format("'{}' is undefined", target.name));
    }
    rt_.charge(sizeof(Value));
    space->as_space().set(target.attribute, value);
    return;
  }
  const size_t wanted = target.args.size();
  std::vector<Value> items;
  Cursor cursor(rt_, value);
  while (auto item = cursor.next()) {
    items.push_back(*std::move(item));
    if (items.size() > wanted) fail(fmt::format("{} values to unpack", wanted), "more");
  }
  if (items.size() < wanted) fail(fmt::format("{} values to unpack", wanted), fmt::format("{}", items.size()));
  for (size_t i = 0; i < wanted; ++i) assign(*target.args[i], items[i], at);
}

// The items for which the test holds, found as the loop asks for them.
Value Interpreter::filtered_items(const Stmt& stmt, const Value& items, Activation& at) {
  struct State {
    Cursor cursor;
    Activation inside;
    bool started = false;
  };
  const FunctionPlan& plan = *stmt.function;
  auto state = std::make_shared<State>(State{.cursor = Cursor(rt_, items), .inside = {.plan = &plan, .outer = &at}});
  state->inside.slots.resize(static_cast<size_t>(plan.slots));
  const auto next = [this, state, &stmt, &plan]() -> std::optional<Value> {
    if (!std::exchange(state->started, true)) enter(plan.frame, state->inside);
    const Expr& target = *plan.parameters[0].name;
    while (auto item = state->cursor.next()) {
      assign(target, *item, state->inside);
      if (truthy(evaluate(*stmt.exprs[2], state->inside))) return evaluate(target, state->inside);
    }
    return std::nullopt;
  };
  return rt_.iterator(items, next);
}

Interpreter::Flow Interpreter::run_for(const Stmt& stmt, Activation& at, std::string& out) {
  Value items = evaluate(*stmt.exprs[1], at);
  if (stmt.function) items = filtered_items(stmt, items, at);
  std::shared_ptr<Loop> loop;
  std::optional<Cursor> cursor;
  if (stmt.uses_loop) {
    rt_.charge(sizeof(Loop));
    loop = std::make_shared<Loop>(rt_, items);
  } else {
    cursor.emplace(rt_, items);
  }
  bool completed = false;  // some turn reached the end of the body: what jinja2 asks before it runs the else
  for (;;) {
    rt_.step();
    const std::optional<Value> item = loop ? loop->advance() : cursor->next();
    if (!item) break;
    assign(*stmt.exprs[0], *item, at);
    if (loop) slot(stmt.loop, at) = Value::loop(loop);
    enter(stmt.frame, at);
    const Flow flow = execute(stmt.body, at, out);
    if (flow == Flow::leave) break;
    if (flow == Flow::on) completed = true;
  }
  leave(stmt.frame, at);
  if (completed || stmt.otherwise.empty()) return Flow::on;
  enter(stmt.else_frame, at);
  const Flow flow = execute(stmt.otherwise, at, out);
  leave(stmt.else_frame, at);
  return flow;
}

// {% set x %}...{% endset %} and {% filter f %}...{% endfilter %}.
Interpreter::Flow Interpreter::run_captured(const Stmt& stmt, Activation& at, std::string& out) {
  enter(stmt.frame, at);
  std::string text;
  const Flow flow = execute(stmt.body, at, text);
  if (flow != Flow::on) return flow;  // the text is lost, as in jinja2
  const Expr* filter = stmt.kind == StmtKind::set_block ? stmt.exprs[1].get() : stmt.exprs[0].get();
  Value value;
  if (filter == nullptr) {
    value = Value::text(std::move(text));
  } else {
    const std::string* outer = std::exchange(captured_, &text);
    value = evaluate(*filter, at);
    captured_ = outer;
  }
  if (stmt.kind == StmtKind::set_block) {
    assign(*stmt.exprs[0], value, at);
  } else {
    append(out, to_text(rt_, value));
  }
  leave(stmt.frame, at);
  return Flow::on;
}

Interpreter::Flow Interpreter::run_with(const Stmt& stmt, Activation& at, std::string& out) {
  enter(stmt.frame, at);
  for (size_t i = 0; i < stmt.exprs.size(); i += 2) assign(*stmt.exprs[i], evaluate(*stmt.exprs[i + 1], at), at);
  const Flow flow = execute(stmt.body, at, out);
  leave(stmt.frame, at);
  return flow;
}

Value Interpreter::make_macro(const Stmt& stmt, Activation& at) {
  rt_.charge(sizeof(Macro));
  return Value::macro(std::make_shared<Macro>(Macro{.plan = stmt.function.get(), .outer = &at}));
}

void Interpreter::run_call_block(const Stmt& stmt, Activation& at, std::string& out) {
  const Value caller = make_macro(stmt, at);
  const Value result = stmt.exprs[0] ? evaluate_call(*stmt.exprs[0], at, &caller) : call(caller, {});
  append(out, to_text(rt_, result));
}

void Interpreter::bind_parameters(const Macro& macro, const Arguments& given, Activation& inside) {
  const FunctionPlan& plan = *macro.plan;
  const std::string title = plan.name.empty() ? "the call block" : fmt::format("macro '{}'", plan.name);
  std::vector<std::pair<std::string, Value>> named = given.named;
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(), [&](const auto& n) { return n.first == name; });
    if (found == named.end()) return std::nullopt;
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };
  const size_t count = plan.parameters.size();
  const size_t positional = std::min(given.positional.size(), count);
  for (size_t i = 0; i < count; ++i) {
    const Expr& name = *plan.parameters[i].name;
    slot(name.ref, inside) = i < positional ? given.positional[i] : take(name.name);
  }
  const bool declares_caller = std::any_of(plan.parameters.begin(), plan.parameters.end(),
                                           [](const Parameter& p) { return p.name->name == "caller"; });
  if (plan.takes_caller && !declares_caller) {
    const auto caller = take("caller");
    slot(plan.caller, inside) = caller && !caller->is(Kind::none) ? *caller : Value::undefined("No caller defined");
  }
  if (plan.takes_named) {
    Dict rest;
    for (auto& [name, value] : named) rest.set(rt_, Value::text(name), value);
    slot(plan.rest_named, inside) = Value::dict(std::move(rest));
  } else if (!named.empty()) {
    fail(fmt::format("the arguments that {} takes", title), fmt::format("'{}'", printable(named.front().first)));
  }
  const auto rest = given.positional.begin() + static_cast<std::ptrdiff_t>(positional);
  if (plan.takes_positional) {
    slot(plan.rest_positional, inside) = rt_.tuple(std::vector<Value>(rest, given.positional.end()));
  } else if (rest != given.positional.end()) {
    fail(fmt::format("at most {} arguments to {}", count, title), fmt::format("{}", given.positional.size()));
  }
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& given) {
  const Nested nested(rt_);
  const FunctionPlan& plan = *macro.plan;
  rt_.charge(sizeof(Activation) + static_cast<size_t>(plan.slots) * sizeof(std::optional<Value>));
  Activation local{.plan = &plan, .outer = macro.outer};
  Activation& inside = plan.captured ? kept_.emplace_back(std::move(local)) : local;
  inside.slots.resize(static_cast<size_t>(plan.slots));
  bind_parameters(macro, given, inside);
  enter(plan.frame, inside);
  for (const Parameter& parameter : plan.parameters) {
    auto& value = slot(parameter.name->ref, inside);
    if (value) continue;
    value = parameter.fallback ? evaluate(*parameter.fallback, inside)
                               : Value::undefined(fmt::format("parameter '{}' was not provided", parameter.name->name));
  }
  std::string out;
  execute(plan.body, inside, out);
  return Value::text(std::move(out));
}

}  // namespace sigma::jinja
