#include "text/jinja_parser.h"

#include <algorithm>

#include "base/error.h"

namespace sigma::jinja {

namespace {

void set_use(Expr& target, Use use) {
  target.use = use;
  for (const ExprPtr& arg : target.args) set_use(*arg, use);
}

bool assignable(const Expr& target) {
  switch (target.kind) {
    case ExprKind::name:
    case ExprKind::space_attribute:
      return true;
    case ExprKind::tuple:
      return std::all_of(target.args.begin(), target.args.end(), [](const ExprPtr& arg) { return assignable(*arg); });
    default:
      return false;
  }
}

}  // namespace

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::data:
      return "text";
    case TokenKind::variable_begin:
      return "'{{'";
    case TokenKind::variable_end:
      return "'}}'";
    case TokenKind::block_begin:
      return "'{%'";
    case TokenKind::block_end:
      return "'%}'";
    case TokenKind::string:
      return "a string";
    case TokenKind::eof:
      return "the end of the template";
    default:
      return fmt::format("'{}'", printable(token.text));
  }
}

Parser::Parser(std::string_view source, std::string where)
    : where_(std::move(where)), tokens_(tokenize(source, where_)) {}

Parser::Level::Level(Parser& parser) : parser_(parser) {
  if (parser.nesting_ >= kMaxParseNesting) {
    parser.refuse(fmt::format("at most {} levels of nesting", kMaxParseNesting), "more", 0);
  }
  ++parser.nesting_;
}

Block Parser::parse() { return statements_until({}); }

void Parser::refuse(const std::string& expected, int line) const { refuse(expected, describe(current()), line); }

void Parser::refuse(const std::string& expected, const std::string& found, int line) const {
  throw Error(fmt::format("{}:{}", where_, line == 0 ? current().line : line), expected, found);
}

Token Parser::advance() {
  Token token = current();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  advance();
  return true;
}

bool Parser::skip_word(std::string_view word) {
  if (!at_word(word)) return false;
  advance();
  return true;
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) refuse(fmt::format("'{}'", op));
}

void Parser::expect_word(std::string_view word) {
  if (!skip_word(word)) refuse(fmt::format("'{}'", word));
}

std::string Parser::expect_name() {
  if (current().kind != TokenKind::name) refuse("a name");
  return advance().text;
}

// Up to {% end %}, whose word is left for the caller; everything when there are no ends.
Block Parser::statements_until(const std::vector<std::string_view>& ends) {
  const Level level(*this);
  Block block;
  const auto output = [&]() -> Stmt& {
    if (block.empty() || block.back().kind != StmtKind::output) {
      block.push_back({.kind = StmtKind::output, .line = current().line});
    }
    return block.back();
  };
  for (;;) {
    const Token& token = current();
    if (token.kind == TokenKind::eof) {
      if (!ends.empty()) refuse(fmt::format("'{{% {} %}}'", ends.back()));
      return block;
    }
    if (token.kind == TokenKind::data) {
      ExprPtr text = make(ExprKind::constant, token.line);
      text->constant = Value::text(token.text);
      output().exprs.push_back(std::move(text));
      advance();
    } else if (token.kind == TokenKind::variable_begin) {
      advance();
      ExprPtr printed = tuple({});
      if (current().kind != TokenKind::variable_end) refuse("'}}'");
      advance();
      output().exprs.push_back(std::move(printed));
    } else {
      advance();  // block_begin: the lexer gives nothing else between tags
      const bool ended =
          current().kind == TokenKind::name && std::find(ends.begin(), ends.end(), current().text) != ends.end();
      if (ended) return block;
      block.push_back(statement());
      if (current().kind != TokenKind::block_end) refuse("'%}'");
      advance();
    }
  }
}

// The rest of an opening tag and the statements after it.
Block Parser::body_until(const std::vector<std::string_view>& ends) {
  skip_op(":");
  if (current().kind != TokenKind::block_end) refuse("'%}'");
  advance();
  return statements_until(ends);
}

Stmt Parser::statement() {
  if (current().kind != TokenKind::name) refuse("the name of a tag");
  const std::string tag = current().text;
  if (tag == "for") return parse_for();
  if (tag == "if") return parse_if();
  if (tag == "set") return parse_set();
  if (tag == "macro") return parse_macro();
  if (tag == "call") return parse_call_block();
  if (tag == "generation") return parse_generation();
  if (tag == "filter") return parse_filter_block();
  if (tag == "with") return parse_with();
  if (tag == "print") return parse_print();
  if (tag == "break" || tag == "continue") {
    if (loops_ == 0) refuse("a loop around it");
    return {.kind = tag == "break" ? StmtKind::leave : StmtKind::next, .line = advance().line};
  }
  for (const std::string_view known : {"block", "extends", "include", "import", "from", "autoescape"}) {
    if (tag == known) refuse("a tag that is supported", fmt::format("'{{% {} %}}'", tag), 0);
  }
  refuse("a tag of jinja", fmt::format("'{{% {} %}}'", printable(tag)), 0);
}

ExprPtr Parser::parse_target(bool with_attributes, std::string_view end_word) {
  const int line = current().line;
  ExprPtr target = tuple({.targets = true, .attributes = with_attributes, .end_word = end_word});
  set_use(*target, Use::store);
  if (!assignable(*target)) refuse("something that can be assigned to", "another expression", line);
  return target;
}

Stmt Parser::parse_for() {
  Stmt stmt{.kind = StmtKind::for_loop, .line = advance().line};
  stmt.exprs.push_back(parse_target(false, "in"));
  expect_word("in");
  stmt.exprs.push_back(tuple({.conditional = false, .end_word = "recursive"}));
  stmt.exprs.push_back(skip_word("if") ? expression() : nullptr);
  if (at_word("recursive")) refuse("a for loop that is supported", "a recursive one", 0);
  if (stmt.exprs[2]) stmt.function = std::make_unique<FunctionPlan>();
  ++loops_;
  stmt.body = body_until({"else", "endfor"});
  --loops_;
  if (advance().text == "else") {
    stmt.otherwise = body_until({"endfor"});
    advance();
  }
  return stmt;
}

Stmt Parser::parse_if() {
  Stmt stmt{.kind = StmtKind::if_chain, .line = current().line};
  advance();
  for (;;) {
    ExprPtr test = tuple({.conditional = false});
    Block body = body_until({"elif", "else", "endif"});
    stmt.branches.push_back({.test = std::move(test), .body = std::move(body)});
    if (skip_word("elif")) continue;
    if (!skip_word("endif")) {
      advance();
      stmt.branches.push_back({.test = nullptr, .body = body_until({"endif"})});
      advance();
    }
    return stmt;
  }
}

Stmt Parser::parse_set() {
  Stmt stmt{.kind = StmtKind::set, .line = advance().line};
  stmt.exprs.push_back(parse_target(true, ""));
  if (skip_op("=")) {
    stmt.exprs.push_back(tuple({}));
    return stmt;
  }
  stmt.kind = StmtKind::set_block;
  stmt.exprs.push_back(at_op("|") ? filters(nullptr, false) : nullptr);
  stmt.body = body_until({"endset"});
  advance();
  return stmt;
}

std::vector<Parameter> Parser::parse_parameters() {
  std::vector<Parameter> parameters;
  expect_op("(");
  while (!at_op(")")) {
    if (!parameters.empty()) expect_op(",");
    Parameter& parameter = parameters.emplace_back();
    parameter.name = make(ExprKind::name, current().line);
    parameter.name->name = expect_name();
    parameter.name->use = Use::parameter;
    const bool repeated = std::any_of(parameters.begin(), parameters.end() - 1,
                                      [&](const Parameter& p) { return p.name->name == parameter.name->name; });
    if (repeated) refuse("parameters of different names", printable(parameter.name->name), 0);
    if (skip_op("=")) {
      parameter.fallback = expression();
    } else if (parameters.size() > 1 && parameters[parameters.size() - 2].fallback) {
      refuse("a default for every parameter after the first that has one");
    }
  }
  advance();
  return parameters;
}

Stmt Parser::parse_macro() {
  Stmt stmt{.kind = StmtKind::macro, .line = advance().line};
  ExprPtr name = make(ExprKind::name, current().line);
  name->name = expect_name();
  name->use = Use::store;
  stmt.function = std::make_unique<FunctionPlan>();
  stmt.function->name = name->name;
  stmt.exprs.push_back(std::move(name));
  stmt.function->parameters = parse_parameters();
  const int loops = std::exchange(loops_, 0);
  stmt.function->body = body_until({"endmacro"});
  loops_ = loops;
  advance();
  return stmt;
}

Stmt Parser::parse_call_block() {
  Stmt stmt{.kind = StmtKind::call_block, .line = advance().line};
  stmt.function = std::make_unique<FunctionPlan>();
  if (at_op("(")) stmt.function->parameters = parse_parameters();
  stmt.exprs.push_back(expression());
  if (stmt.exprs[0]->kind != ExprKind::call) refuse("a call", "another expression", stmt.line);
  const int loops = std::exchange(loops_, 0);
  stmt.function->body = body_until({"endcall"});
  loops_ = loops;
  advance();
  return stmt;
}

// The tag transformers adds: it marks what the assistant says, and prints it.
Stmt Parser::parse_generation() {
  Stmt stmt{.kind = StmtKind::call_block, .line = advance().line};
  stmt.function = std::make_unique<FunctionPlan>();
  stmt.exprs.push_back(nullptr);
  const int loops = std::exchange(loops_, 0);
  stmt.function->body = body_until({"endgeneration"});
  loops_ = loops;
  advance();
  return stmt;
}

Stmt Parser::parse_filter_block() {
  Stmt stmt{.kind = StmtKind::filter_block, .line = advance().line};
  stmt.exprs.push_back(filters(nullptr, true));
  stmt.body = body_until({"endfilter"});
  advance();
  return stmt;
}

Stmt Parser::parse_with() {
  Stmt stmt{.kind = StmtKind::with, .line = advance().line};
  while (current().kind != TokenKind::block_end) {
    if (!stmt.exprs.empty()) expect_op(",");
    stmt.exprs.push_back(parse_target(false, ""));
    set_use(*stmt.exprs.back(), Use::parameter);
    expect_op("=");
    stmt.exprs.push_back(expression());
  }
  stmt.body = body_until({"endwith"});
  advance();
  return stmt;
}

Stmt Parser::parse_print() {
  Stmt stmt{.kind = StmtKind::output, .line = advance().line};
  while (current().kind != TokenKind::block_end) {
    if (!stmt.exprs.empty()) expect_op(",");
    stmt.exprs.push_back(expression());
  }
  return stmt;
}

}  // namespace sigma::jinja
