#include "text/jinja_scope.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "text/jinja_filters.h"

namespace sigma::jinja {

namespace {

using NameVisitor = std::function<void(const Expr&)>;

// Every name below, in jinja2's order of fields (which its search for undeclared names depends on).
void each_name(const Expr* expr, const NameVisitor& visit) {
  if (expr == nullptr) return;
  if (expr->kind == ExprKind::name) visit(*expr);
  for (const ExprPtr& arg : expr->args) each_name(arg.get(), visit);
  for (const auto& [name, value] : expr->named) each_name(value.get(), visit);
  each_name(expr->star.get(), visit);
  each_name(expr->star_star.get(), visit);
}

void each_name(const Block& block, const NameVisitor& visit);

void each_name(const Stmt& stmt, const NameVisitor& visit) {
  const auto expr = [&](size_t i) { each_name(stmt.exprs[i].get(), visit); };
  switch (stmt.kind) {
    case StmtKind::for_loop:
      expr(0);
      expr(1);
      each_name(stmt.body, visit);
      each_name(stmt.otherwise, visit);
      expr(2);
      return;
    case StmtKind::if_chain:
      for (const Branch& branch : stmt.branches) {
        each_name(branch.test.get(), visit);
        each_name(branch.body, visit);
      }
      return;
    case StmtKind::macro:
    case StmtKind::call_block:
      if (stmt.kind == StmtKind::call_block) expr(0);
      for (const Parameter& p : stmt.function->parameters) each_name(p.name.get(), visit);
      for (const Parameter& p : stmt.function->parameters) each_name(p.fallback.get(), visit);
      each_name(stmt.function->body, visit);
      return;
    case StmtKind::filter_block:
      each_name(stmt.body, visit);
      expr(0);
      return;
    case StmtKind::with:
      for (size_t i = 0; i < stmt.exprs.size(); i += 2) expr(i);
      for (size_t i = 1; i < stmt.exprs.size(); i += 2) expr(i);
      each_name(stmt.body, visit);
      return;
    default:
      for (size_t i = 0; i < stmt.exprs.size(); ++i) expr(i);
      each_name(stmt.body, visit);
  }
}

void each_name(const Block& block, const NameVisitor& visit) {
  for (const Stmt& stmt : block) each_name(stmt, visit);
}

// Which of `names` the block reads before setting them, nested scopes included.
std::set<std::string> undeclared(const Block& block, std::set<std::string> names) {
  std::set<std::string> found;
  each_name(block, [&](const Expr& name) {
    if (name.use == Use::load && names.contains(name.name)) {
      found.insert(name.name);
    } else {
      names.erase(name.name);
    }
  });
  return found;
}

ExprPtr clone_target(const Expr& target) {
  auto copy = std::make_unique<Expr>();
  copy->kind = target.kind;
  copy->line = target.line;
  copy->name = target.name;
  copy->use = target.use;
  for (const ExprPtr& arg : target.args) copy->args.push_back(clone_target(*arg));
  return copy;
}

// A function while its variables are being laid out. Scopes of equal level share the slot of a name, as jinja2's
// generated code does.
struct Function {
  FunctionPlan* plan;
  std::map<std::pair<int, std::string>, int> slots = {};
};

class Scope {
 public:
  Scope(Scope* parent, Function& function)
      : parent_(parent), function_(&function), level_(parent == nullptr ? 0 : parent->level_ + 1) {}

  const Ref* find(const std::string& name) const {
    const auto found = refs_.find(name);
    if (found != refs_.end()) return &found->second;
    return parent_ == nullptr ? nullptr : parent_->find(name);
  }

  void load(const std::string& name) {
    if (find(name) == nullptr) define(name, {.from = Load::From::variables, .name = name});
  }

  void store(const std::string& name) {
    stores_.insert(name);
    if (refs_.contains(name)) return;
    const Ref* outer = parent_ == nullptr ? nullptr : parent_->find(name);
    if (outer != nullptr) {
      define(name, {.from = Load::From::outer, .source = *outer});
    } else {
      define(name, {});
    }
  }

  Ref declare_parameter(const std::string& name) {
    stores_.insert(name);
    const Ref ref = make_ref(name, true);
    loads_.erase(ref.slot);
    parameters_.insert(ref.slot);
    return ref;
  }

  // Branches of an if: a variable that only some set starts out as it is outside.
  void merge(const std::vector<Scope>& branches) {
    std::set<std::string> stored;
    for (const Scope& branch : branches) stored.insert(branch.stores_.begin(), branch.stores_.end());
    for (const std::string& name : stores_) stored.erase(name);
    for (const Scope& branch : branches) {
      for (const auto& [name, ref] : branch.refs_) refs_.insert_or_assign(name, ref);
      for (const auto& [slot, action] : branch.loads_) loads_.insert_or_assign(slot, action);
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    for (const std::string& name : stored) {
      const Ref ref = refs_.at(name);
      const Ref* outer = parent_ == nullptr ? nullptr : parent_->find(name);
      Load action{.from = Load::From::variables, .to = ref, .name = name};
      if (outer != nullptr) action = {.from = Load::From::outer, .to = ref, .source = *outer};
      loads_.insert_or_assign(ref.slot, action);
    }
  }

  Frame frame() const {
    Frame frame;
    for (const auto& [slot, action] : loads_) {
      frame.loads.push_back(action);
      frame.owned.push_back(action.to);
    }
    for (const int slot : parameters_) frame.owned.push_back({.function = function_->plan->depth, .slot = slot});
    return frame;
  }

  Function& function() const { return *function_; }

 private:
  Ref make_ref(const std::string& name, bool parameter) {
    const auto [place, fresh] = function_->slots.try_emplace({level_, name}, function_->plan->slots);
    if (fresh) ++function_->plan->slots;
    const Ref ref{.function = function_->plan->depth, .slot = place->second, .parameter = parameter};
    refs_.insert_or_assign(name, ref);
    return ref;
  }

  void define(const std::string& name, Load action) {
    action.to = make_ref(name, false);
    loads_.insert_or_assign(action.to.slot, std::move(action));
  }

  Scope* parent_;
  Function* function_;
  int level_;
  std::map<std::string, Ref> refs_;
  std::map<int, Load> loads_;  // by slot
  std::set<int> parameters_;   // slots that are filled by whoever enters
  std::set<std::string> stores_;
};

class Resolver {
 public:
  explicit Resolver(const std::string& where) : where_(where) {}

  void run(FunctionPlan& root) {
    Function function{.plan = &root};
    Scope scope(nullptr, function);
    analyze(root.body, scope);
    root.frame = scope.frame();
    resolve(root.body, scope, false);
  }

 private:
  [[noreturn]] void refuse(int line, const std::string& expected, const std::string& found) const {
    throw Error(fmt::format("{}:{}", where_, line), expected, found);
  }

  // First pass over a scope: which names it reads and sets itself. Nested scopes are left for their own turn.
  void analyze(const Expr* expr, Scope& scope) const {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::space_attribute) scope.load(expr->name);
    each_name(expr, [&](const Expr& name) {
      if (name.use == Use::load) {
        load(name, scope);
      } else if (name.use == Use::store) {
        scope.store(name.name);
      } else {
        scope.declare_parameter(name.name);
      }
    });
    if (expr->kind != ExprKind::tuple) return;
    for (const ExprPtr& arg : expr->args) {  // a.b, c = ...
      if (arg->kind == ExprKind::space_attribute) scope.load(arg->name);
    }
  }

  void load(const Expr& name, Scope& scope) const {
    for (const std::string_view known : {"lipsum", "cycler", "joiner", "self"}) {
      if (name.name == known && scope.find(name.name) == nullptr) {
        refuse(name.line, "a global that is supported", fmt::format("'{}'", known));
      }
    }
    scope.load(name.name);
  }

  void declare_target(const Expr& target, Scope& scope) const {
    each_name(&target, [&](const Expr& name) { scope.declare_parameter(name.name); });
  }

  void analyze(const Block& block, Scope& scope) const {
    for (const Stmt& stmt : block) analyze(stmt, scope);
  }

  void analyze(const Stmt& stmt, Scope& scope) const {
    switch (stmt.kind) {
      case StmtKind::output:
        for (const ExprPtr& expr : stmt.exprs) analyze(expr.get(), scope);
        return;
      case StmtKind::set:
        analyze(stmt.exprs[1].get(), scope);
        analyze(stmt.exprs[0].get(), scope);
        return;
      case StmtKind::for_loop:
        return analyze(stmt.exprs[1].get(), scope);
      case StmtKind::if_chain:
        return analyze_branches(stmt.branches, scope);
      case StmtKind::with:
        for (size_t i = 1; i < stmt.exprs.size(); i += 2) analyze(stmt.exprs[i].get(), scope);
        return;
      case StmtKind::set_block:
      case StmtKind::macro:
      case StmtKind::call_block:
      case StmtKind::filter_block:
        return analyze(stmt.exprs[0].get(), scope);
      case StmtKind::leave:
      case StmtKind::next:
        return;
    }
  }

  // Each branch sees the names from before the if; an elif is an if of its own in the place of the second branch.
  void analyze_branches(const std::vector<Branch>& branches, Scope& scope) const {
    analyze(branches[0].test.get(), scope);
    std::vector<Scope> parts(3, scope);
    analyze(branches[0].body, parts[0]);
    for (size_t i = 1; i < branches.size() && branches[i].test; ++i) analyze_elif(branches[i], parts[1]);
    if (!branches.back().test) analyze(branches.back().body, parts[2]);
    scope.merge(parts);
  }

  void analyze_elif(const Branch& branch, Scope& scope) const {
    analyze(branch.test.get(), scope);
    std::vector<Scope> parts(1, scope);
    analyze(branch.body, parts[0]);
    scope.merge(parts);
  }

  // Second pass: every name gets its place, every nested scope its two passes.
  void resolve(Block& block, Scope& scope, bool soft) {
    for (Stmt& stmt : block) resolve(stmt, scope, soft);
  }

  void resolve(Stmt& stmt, Scope& scope, bool soft) {
    switch (stmt.kind) {
      case StmtKind::output:
      case StmtKind::set:
        for (ExprPtr& expr : stmt.exprs) resolve(expr.get(), scope, soft);
        return;
      case StmtKind::if_chain:
        for (Branch& branch : stmt.branches) {
          resolve(branch.test.get(), scope, true);
          resolve(branch.body, scope, true);
        }
        return;
      case StmtKind::for_loop:
        return resolve_for(stmt, scope, soft);
      case StmtKind::set_block:
      case StmtKind::filter_block:
        return resolve_captured(stmt, scope, soft);
      case StmtKind::with:
        return resolve_with(stmt, scope, soft);
      case StmtKind::macro:
        resolve(stmt.exprs[0].get(), scope, soft);
        return resolve_function(*stmt.function, scope, stmt.line);
      case StmtKind::call_block:
        resolve_function(*stmt.function, scope, stmt.line);
        return resolve(stmt.exprs[0].get(), scope, soft);
      case StmtKind::leave:
      case StmtKind::next:
        return;
    }
  }

  void resolve_for(Stmt& stmt, Scope& scope, bool soft) {
    each_name(stmt, [&](const Expr& name) {
      if (name.use == Use::store && name.name == "loop") {
        refuse(name.line, "a variable that can be set inside a loop", "'loop'");
      }
    });
    Scope inside(&scope, scope.function());
    stmt.uses_loop = undeclared(stmt.body, {"loop"}).contains("loop");
    if (stmt.uses_loop) stmt.loop = inside.declare_parameter("loop");
    declare_target(*stmt.exprs[0], inside);
    analyze(stmt.body, inside);
    if (stmt.function) resolve_loop_test(stmt, scope);
    resolve(stmt.exprs[0].get(), inside, soft);
    resolve(stmt.exprs[1].get(), scope, soft);
    stmt.frame = inside.frame();
    resolve(stmt.body, inside, false);
    Scope otherwise(&scope, scope.function());
    analyze(stmt.otherwise, otherwise);
    stmt.else_frame = otherwise.frame();
    resolve(stmt.otherwise, otherwise, false);
  }

  // for .. in .. if test: a function of one parameter, the loop's target.
  void resolve_loop_test(Stmt& stmt, Scope& scope) {
    Function function = enter(*stmt.function, scope);
    Scope inside(&scope, function);
    stmt.function->parameters.push_back({.name = clone_target(*stmt.exprs[0]), .fallback = nullptr});
    declare_target(*stmt.exprs[0], inside);
    analyze(stmt.exprs[2].get(), inside);
    stmt.function->frame = inside.frame();
    resolve(stmt.function->parameters[0].name.get(), inside, false);
    resolve(stmt.exprs[2].get(), inside, false);
  }

  static Function enter(FunctionPlan& plan, Scope& scope) {
    scope.function().plan->captured = true;
    plan.depth = scope.function().plan->depth + 1;
    return {.plan = &plan};
  }

  void resolve_captured(Stmt& stmt, Scope& scope, bool soft) {
    Scope inside(&scope, scope.function());
    analyze(stmt.body, inside);
    if (stmt.kind == StmtKind::filter_block) {
      analyze(stmt.exprs[0].get(), inside);
      resolve(stmt.exprs[0].get(), inside, false);
    } else {
      resolve(stmt.exprs[0].get(), scope, soft);
      resolve(stmt.exprs[1].get(), inside, false);
    }
    stmt.frame = inside.frame();
    resolve(stmt.body, inside, false);
  }

  void resolve_with(Stmt& stmt, Scope& scope, bool soft) {
    Scope inside(&scope, scope.function());
    for (size_t i = 0; i < stmt.exprs.size(); i += 2) declare_target(*stmt.exprs[i], inside);
    analyze(stmt.body, inside);
    stmt.frame = inside.frame();
    for (size_t i = 0; i < stmt.exprs.size(); ++i) resolve(stmt.exprs[i].get(), i % 2 == 0 ? inside : scope, soft);
    resolve(stmt.body, inside, false);
  }

  void resolve_function(FunctionPlan& plan, Scope& scope, int line) {
    Function function = enter(plan, scope);
    Scope inside(&scope, function);
    const std::set<std::string> special = undeclared(plan.body, {"caller", "kwargs", "varargs"});
    const auto parameter = [&](std::string_view name) {
      return std::find_if(plan.parameters.begin(), plan.parameters.end(),
                          [&](const Parameter& p) { return p.name->name == name; });
    };
    const auto declared = [&](std::string_view name) { return parameter(name) != plan.parameters.end(); };
    for (const Parameter& p : plan.parameters) inside.declare_parameter(p.name->name);
    plan.takes_caller = special.contains("caller");
    if (plan.takes_caller && declared("caller") && !parameter("caller")->fallback) {
      refuse(line, "no parameter 'caller', or one with a default", "one without");
    }
    if (plan.takes_caller && !declared("caller")) plan.caller = inside.declare_parameter("caller");
    plan.takes_named = special.contains("kwargs") && !declared("kwargs");
    if (plan.takes_named) plan.rest_named = inside.declare_parameter("kwargs");
    plan.takes_positional = special.contains("varargs") && !declared("varargs");
    if (plan.takes_positional) plan.rest_positional = inside.declare_parameter("varargs");
    for (const Parameter& p : plan.parameters) analyze(p.fallback.get(), inside);
    analyze(plan.body, inside);
    plan.frame = inside.frame();
    for (Parameter& p : plan.parameters) {
      resolve(p.name.get(), inside, false);
      const bool outer = std::exchange(in_defaults_, true);
      resolve(p.fallback.get(), inside, false);
      in_defaults_ = outer;
    }
    resolve(plan.body, inside, false);
  }

  // soft: jinja2 lets unknown filters and tests pass until they are used, inside an if.
  void resolve(Expr* expr, Scope& scope, bool soft) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::name || expr->kind == ExprKind::space_attribute) {
      const Ref* ref = scope.find(expr->name);
      if (ref == nullptr) refuse(expr->line, "a variable that is seen here", fmt::format("'{}'", expr->name));
      expr->ref = *ref;
      if (in_defaults_) expr->ref.parameter = false;  // a later parameter is not there yet: undefined
    }
    if (expr->kind == ExprKind::filter) check_filter(*expr, soft);
    if (expr->kind == ExprKind::test) check_test(expr->name, expr->line, soft);
    soft = soft || expr->kind == ExprKind::conditional;
    for (ExprPtr& arg : expr->args) resolve(arg.get(), scope, soft);
    for (auto& [name, value] : expr->named) resolve(value.get(), scope, soft);
    resolve(expr->star.get(), scope, soft);
    resolve(expr->star_star.get(), scope, soft);
  }

  void check_filter_name(const std::string& name, int line, bool soft) const {
    if (find_filter(name) != nullptr) return;
    if (jinja_has_filter(name)) refuse(line, "a filter that is supported", fmt::format("'{}'", name));
    if (!soft) refuse(line, "a filter that jinja has", fmt::format("'{}'", printable(name)));
  }

  void check_test(const std::string& name, int line, bool soft) const {
    if (find_test(name) != nullptr) return;
    if (!soft) refuse(line, "a test that jinja has", fmt::format("'{}'", printable(name)));
  }

  void check_filter(const Expr& filter, bool soft) const {
    check_filter_name(filter.name, filter.line, soft);
    const auto text_argument = [&](size_t i) {
      const Expr* arg = filter.args.size() > i ? filter.args[i].get() : nullptr;
      const bool known = arg != nullptr && arg->kind == ExprKind::constant && arg->constant.is(Kind::string);
      return known ? arg->constant.as_string() : std::string();
    };
    if (filter.name == "map" && !text_argument(1).empty()) check_filter_name(text_argument(1), filter.line, true);
  }

  const std::string& where_;
  bool in_defaults_ = false;  // inside the default of a parameter
};

}  // namespace

void resolve_names(FunctionPlan& root, const std::string& where) { Resolver(where).run(root); }

}  // namespace sigma::jinja
