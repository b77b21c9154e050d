// Cuts a template into tokens as jinja2's lexer does with trim_blocks and lstrip_blocks on: what white space is dropped
// around tags is decided here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sigma::jinja {

enum class TokenKind : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,  // its text says which
  eof,
};

struct Token {
  TokenKind kind = TokenKind::eof;
  int line = 1;
  std::string text = {};  // data and strings as they read, unescaped
  int64_t integer = 0;
  double real = 0;
};

// Valid UTF-8 in; ends with one eof token. Error, with `where` and the line, for what jinja2 refuses.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

}  // namespace sigma::jinja
