// From tokens to the tree, with jinja2's grammar. A construct that exists in jinja2 and not here is refused with its
// line.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace sigma::jinja {

// What is accepted: nesting of statements and expressions while parsing, and the height of an expression's tree.
constexpr int kMaxParseNesting = 200;
constexpr int kMaxTreeDepth = 250;

class Parser {
 public:
  Parser(std::string_view source, std::string where);
  Block parse();

 private:
  // Statements: jinja_parser.cc.
  Block statements_until(const std::vector<std::string_view>& ends);
  Block body_until(const std::vector<std::string_view>& ends);
  Stmt statement();
  Stmt parse_for();
  Stmt parse_if();
  Stmt parse_set();
  Stmt parse_macro();
  Stmt parse_call_block();
  Stmt parse_generation();
  Stmt parse_filter_block();
  Stmt parse_with();
  Stmt parse_print();
  std::vector<Parameter> parse_parameters();
  ExprPtr parse_target(bool with_attributes, std::string_view end_word);

  // Expressions: jinja_expression_parser.cc. end_word: a name that ends the tuple; empty for none.
  struct TupleRules {
    bool targets = false, attributes = false, conditional = true, parentheses = false;
    std::string_view end_word = {};
  };
  ExprPtr tuple(const TupleRules& rules);
  ExprPtr expression();
  ExprPtr conditional();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters);
  ExprPtr primary(bool with_attributes);
  ExprPtr name_or_literal(bool with_attributes);
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filters_and_tests(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscript_part();
  ExprPtr filters(ExprPtr node, bool at_name);
  ExprPtr test(ExprPtr node);
  void call_arguments(Expr& call);
  std::string dotted_name();

  // Counts one level of nesting for as long as it lives.
  class Level {
   public:
    explicit Level(Parser& parser);
    ~Level() { --parser_.nesting_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
  };

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token advance();
  bool at_op(std::string_view op) const { return current().kind == TokenKind::op && current().text == op; }
  bool at_word(std::string_view word) const { return current().kind == TokenKind::name && current().text == word; }
  bool skip_op(std::string_view op);
  bool skip_word(std::string_view word);
  void expect_op(std::string_view op);
  void expect_word(std::string_view word);
  std::string expect_name();
  [[noreturn]] void refuse(const std::string& expected, int line = 0) const;
  [[noreturn]] void refuse(const std::string& expected, const std::string& found, int line) const;

  static ExprPtr make(ExprKind kind, int line);
  ExprPtr make(ExprKind kind, int line, ExprPtr child) const;
  void adopt(Expr& parent, ExprPtr child) const;  // a null child is an absent part
  void deepen(Expr& parent, const Expr& child) const;

  std::string where_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;  // loops around this point within the innermost macro or call block
};

std::string describe(const Token& token);

}  // namespace sigma::jinja
