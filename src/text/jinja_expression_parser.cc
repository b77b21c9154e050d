// The expression half of the parser, lowest precedence first.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/jinja_parser.h"

namespace sigma::jinja {

namespace {

struct Operator {
  std::string_view text;
  Op op;
};
constexpr std::array<Operator, 6> kComparisons = {
    {{"==", Op::eq}, {"!=", Op::ne}, {"<", Op::lt}, {"<=", Op::le}, {">", Op::gt}, {">=", Op::ge}}};
constexpr std::array<Operator, 2> kSums = {{{"+", Op::add}, {"-", Op::sub}}};
constexpr std::array<Operator, 4> kProducts = {{{"*", Op::mul}, {"/", Op::div}, {"//", Op::floor_div}, {"%", Op::mod}}};

template <size_t N>
const Operator* find_operator(const std::array<Operator, N>& operators, const Token& token) {
  if (token.kind != TokenKind::op) return nullptr;
  const auto found =
      std::find_if(operators.begin(), operators.end(), [&](const Operator& o) { return o.text == token.text; });
  return found == operators.end() ? nullptr : &*found;
}

}  // namespace

ExprPtr Parser::make(ExprKind kind, int line) {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExprPtr Parser::make(ExprKind kind, int line, ExprPtr child) const {
  ExprPtr node = make(kind, line);
  adopt(*node, std::move(child));
  return node;
}

void Parser::deepen(Expr& parent, const Expr& child) const {
  parent.depth = std::max(parent.depth, child.depth + 1);
  if (parent.depth > kMaxTreeDepth) {
    refuse(fmt::format("an expression at most {} operations high", kMaxTreeDepth), "a higher one", parent.line);
  }
}

void Parser::adopt(Expr& parent, ExprPtr child) const {
  if (child) deepen(parent, *child);
  parent.args.push_back(std::move(child));
}

ExprPtr Parser::tuple(const TupleRules& rules) {
  const int line = current().line;
  ExprPtr node = make(ExprKind::tuple, line);
  bool is_tuple = false;
  for (;;) {
    if (!node->args.empty()) expect_op(",");
    const TokenKind kind = current().kind;
    if (kind == TokenKind::variable_end || kind == TokenKind::block_end || at_op(")") ||
        (!rules.end_word.empty() && at_word(rules.end_word))) {
      break;
    }
    adopt(*node, rules.targets ? primary(rules.attributes) : rules.conditional ? expression() : disjunction());
    if (!at_op(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return node;
  if (!node->args.empty()) return std::move(node->args.front());
  if (!rules.parentheses) refuse("an expression");
  return node;
}

ExprPtr Parser::expression() { return conditional(); }

ExprPtr Parser::conditional() {
  const Level level(*this);
  const int line = current().line;
  ExprPtr then = disjunction();
  while (skip_word("if")) {
    ExprPtr node = make(ExprKind::conditional, line, disjunction());
    adopt(*node, std::move(then));
    adopt(*node, skip_word("else") ? conditional() : nullptr);
    then = std::move(node);
  }
  return then;
}

ExprPtr Parser::disjunction() {
  ExprPtr left = conjunction();
  while (at_word("or")) {
    left = make(ExprKind::logical_or, advance().line, std::move(left));
    adopt(*left, conjunction());
  }
  return left;
}

ExprPtr Parser::conjunction() {
  ExprPtr left = negation();
  while (at_word("and")) {
    left = make(ExprKind::logical_and, advance().line, std::move(left));
    adopt(*left, negation());
  }
  return left;
}

ExprPtr Parser::negation() {
  if (!at_word("not")) return comparison();
  const Level level(*this);
  const int line = advance().line;
  return make(ExprKind::logical_not, line, negation());
}

ExprPtr Parser::comparison() {
  ExprPtr first = sum();
  ExprPtr node;
  for (;;) {
    const int line = current().line;
    Op op = Op::in;
    if (const Operator* found = find_operator(kComparisons, current())) {
      op = found->op;
    } else if (at_word("not") && following().kind == TokenKind::name && following().text == "in") {
      advance();
      op = Op::not_in;
    } else if (!at_word("in")) {
      return node ? std::move(node) : std::move(first);
    }
    advance();
    if (!node) node = make(ExprKind::compare, line, std::move(first));
    node->ops.push_back(op);
    adopt(*node, sum());
  }
}

ExprPtr Parser::sum() {
  ExprPtr left = concatenation();
  while (const Operator* found = find_operator(kSums, current())) {
    left = make(ExprKind::binary, advance().line, std::move(left));
    left->ops.push_back(found->op);
    adopt(*left, concatenation());
  }
  return left;
}

ExprPtr Parser::concatenation() {
  ExprPtr first = product();
  if (!at_op("~")) return first;
  ExprPtr node = make(ExprKind::concat, current().line, std::move(first));
  while (skip_op("~")) adopt(*node, product());
  return node;
}

ExprPtr Parser::product() {
  ExprPtr left = power();
  while (const Operator* found = find_operator(kProducts, current())) {
    left = make(ExprKind::binary, advance().line, std::move(left));
    left->ops.push_back(found->op);
    adopt(*left, power());
  }
  return left;
}

ExprPtr Parser::power() {
  ExprPtr left = unary(true);
  while (at_op("**")) {
    left = make(ExprKind::binary, advance().line, std::move(left));
    left->ops.push_back(Op::pow);
    adopt(*left, unary(true));
  }
  return left;
}

ExprPtr Parser::unary(bool with_filters) {
  const Level level(*this);
  ExprPtr node;
  if (at_op("-") || at_op("+")) {
    const ExprKind kind = at_op("-") ? ExprKind::negative : ExprKind::positive;
    const int line = advance().line;
    node = make(kind, line, unary(false));
  } else {
    node = primary(false);
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr Parser::primary(bool with_attributes) {
  const int line = current().line;
  switch (current().kind) {
    case TokenKind::name:
      return name_or_literal(with_attributes);
    case TokenKind::string: {
      std::string text;
      while (current().kind == TokenKind::string) text += advance().text;
      ExprPtr node = make(ExprKind::constant, line);
      node->constant = Value::text(std::move(text));
      return node;
    }
    case TokenKind::integer:
    case TokenKind::real: {
      ExprPtr node = make(ExprKind::constant, line);
      const Token number = advance();
      node->constant = number.kind == TokenKind::integer ? Value::integer(number.integer) : Value::real(number.real);
      return node;
    }
    default:
      break;
  }
  if (at_op("[")) return list();
  if (at_op("{")) return dict();
  if (!skip_op("(")) refuse("an expression");
  ExprPtr node = tuple({.parentheses = true});
  expect_op(")");
  return node;
}

ExprPtr Parser::name_or_literal(bool with_attributes) {
  const Token token = advance();
  ExprPtr node = make(ExprKind::constant, token.line);
  if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
    node->constant = Value::boolean(token.text == "true" || token.text == "True");
  } else if (token.text == "none" || token.text == "None") {
    node->constant = Value::none();
  } else {
    node->kind = ExprKind::name;
    node->name = token.text;
    if (with_attributes && skip_op(".")) {
      node->kind = ExprKind::space_attribute;
      node->attribute = expect_name();
    }
  }
  return node;
}

ExprPtr Parser::list() {
  ExprPtr node = make(ExprKind::list, advance().line);
  while (!at_op("]")) {
    if (!node->args.empty()) expect_op(",");
    if (at_op("]")) break;
    adopt(*node, expression());
  }
  advance();
  return node;
}

ExprPtr Parser::dict() {
  ExprPtr node = make(ExprKind::dict, advance().line);
  while (!at_op("}")) {
    if (!node->args.empty()) expect_op(",");
    if (at_op("}")) break;
    adopt(*node, expression());
    expect_op(":");
    adopt(*node, expression());
  }
  advance();
  return node;
}

ExprPtr Parser::postfix(ExprPtr node) {
  for (;;) {
    if (at_op(".") || at_op("[")) {
      node = subscript(std::move(node));
    } else if (at_op("(")) {
      node = make(ExprKind::call, current().line, std::move(node));
      call_arguments(*node);
    } else {
      return node;
    }
  }
}

ExprPtr Parser::filters_and_tests(ExprPtr node) {
  for (;;) {
    if (at_op("|")) {
      node = filters(std::move(node), false);
    } else if (at_word("is")) {
      node = test(std::move(node));
    } else if (at_op("(")) {
      node = make(ExprKind::call, current().line, std::move(node));
      call_arguments(*node);
    } else {
      return node;
    }
  }
}

ExprPtr Parser::subscript(ExprPtr node) {
  const int line = current().line;
  if (skip_op(".")) {
    if (current().kind == TokenKind::name) {
      const std::string& name = current().text;
      if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) {
        refuse("an attribute that the sandbox allows", name, line);
      }
      ExprPtr attribute = make(ExprKind::attribute, line, std::move(node));
      attribute->name = advance().text;
      return attribute;
    }
    if (current().kind != TokenKind::integer) refuse("a name or a number");
    ExprPtr index = make(ExprKind::constant, current().line);
    index->constant = Value::integer(advance().integer);
    ExprPtr item = make(ExprKind::item, line, std::move(node));
    adopt(*item, std::move(index));
    return item;
  }
  advance();
  ExprPtr parts = make(ExprKind::tuple, line);
  while (!at_op("]")) {
    if (!parts->args.empty()) expect_op(",");
    adopt(*parts, subscript_part());
  }
  advance();
  ExprPtr item = make(ExprKind::item, line, std::move(node));
  const bool sliced =
      std::any_of(parts->args.begin(), parts->args.end(), [](const ExprPtr& p) { return p->kind == ExprKind::slice; });
  if (parts->args.size() != 1 && sliced) refuse("one slice", "several subscripts with one among them", line);
  adopt(*item, parts->args.size() == 1 ? std::move(parts->args.front()) : std::move(parts));
  return item;
}

ExprPtr Parser::subscript_part() {
  const int line = current().line;
  ExprPtr start;
  if (!at_op(":")) {
    start = expression();
    if (!at_op(":")) return start;
  }
  advance();
  const auto part = [&]() -> ExprPtr { return at_op(":") || at_op("]") || at_op(",") ? nullptr : expression(); };
  ExprPtr node = make(ExprKind::slice, line);
  adopt(*node, std::move(start));
  adopt(*node, part());
  adopt(*node, skip_op(":") ? part() : nullptr);
  return node;
}

// Appends to the call's args, and fills its named and starred arguments.
void Parser::call_arguments(Expr& call) {
  const int line = current().line;
  expect_op("(");
  const auto ensure = [&](bool allowed) {
    if (!allowed) refuse("arguments in the order: values, name=value, *list, **dict", "another order", line);
  };
  bool first = true;
  while (!at_op(")")) {
    if (!std::exchange(first, false)) {
      expect_op(",");
      if (at_op(")")) break;
    }
    if (skip_op("*")) {
      ensure(!call.star && !call.star_star);
      call.star = expression();
      deepen(call, *call.star);
    } else if (skip_op("**")) {
      ensure(!call.star_star);
      call.star_star = expression();
      deepen(call, *call.star_star);
    } else if (current().kind == TokenKind::name && following().kind == TokenKind::op && following().text == "=") {
      ensure(!call.star_star);
      std::string name = advance().text;
      advance();
      const bool repeated =
          std::any_of(call.named.begin(), call.named.end(), [&](const auto& given) { return given.first == name; });
      if (repeated) refuse("each argument once", printable(name) + " again", line);
      call.named.emplace_back(std::move(name), expression());
      deepen(call, *call.named.back().second);
    } else {
      ensure(!call.star && !call.star_star && call.named.empty());
      adopt(call, expression());
    }
  }
  advance();
}

std::string Parser::dotted_name() {
  std::string name = expect_name();
  while (skip_op(".")) name += "." + expect_name();
  return name;
}

ExprPtr Parser::filters(ExprPtr node, bool at_name) {
  while (at_name || at_op("|")) {
    if (!std::exchange(at_name, false)) advance();
    node = make(ExprKind::filter, current().line, std::move(node));
    node->name = dotted_name();
    if (at_op("(")) call_arguments(*node);
  }
  return node;
}

ExprPtr Parser::test(ExprPtr node) {
  const int line = advance().line;
  const bool negated = skip_word("not");
  node = make(ExprKind::test, line, std::move(node));
  node->name = dotted_name();
  const TokenKind kind = current().kind;
  const bool argument_follows = (kind == TokenKind::name && !at_word("else") && !at_word("or") && !at_word("and")) ||
                                kind == TokenKind::string || kind == TokenKind::integer || kind == TokenKind::real ||
                                at_op("[") || at_op("{");
  if (at_op("(")) {
    call_arguments(*node);
  } else if (argument_follows) {
    if (at_word("is")) refuse("one test", "several in a chain", line);
    adopt(*node, postfix(primary(false)));
  }
  return negated ? make(ExprKind::logical_not, line, std::move(node)) : std::move(node);
}

}  // namespace sigma::jinja
