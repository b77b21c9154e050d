// UTF-8 and characters as Python's str knows them: white space, case, what repr() may print as it is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sigma::jinja {

// The character at byte `at` and its length in bytes. `text` is valid UTF-8 and `at` starts a character.
struct CodePoint {
  char32_t value = 0;
  size_t bytes = 0;
};
CodePoint code_point_at(std::string_view text, size_t at);
size_t count_code_points(std::string_view text);
// Byte offset of character `index`, which is at most the number of characters.
size_t byte_offset(std::string_view text, size_t index);

bool is_space(char32_t c);      // str.isspace, and \s of Python's re
bool is_alpha(char32_t c);      // str.isalpha
bool is_alnum(char32_t c);      // str.isalnum, and \w of Python's re but for '_'
bool is_line_end(char32_t c);   // where str.splitlines cuts
bool is_printable(char32_t c);  // repr() leaves it as it is
int decimal_digit(char32_t c);  // 0 to 9, or -1

std::string_view strip_left(std::string_view text);  // white space
std::string_view strip_right(std::string_view text);

std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);
std::string swap_case(std::string_view text);
bool is_lower(std::string_view text);
bool is_upper(std::string_view text);

}  // namespace sigma::jinja
