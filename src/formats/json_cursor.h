// Walks along JSON text from value to value: for tokenizer.json, whose vocabulary and merges are read at the speed of
// the disk this way, while the small parts between them go to base/json.h as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sigma {

class JsonCursor {
 public:
  // where: names the text in errors, which also tell the byte.
  JsonCursor(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  // An object or array, member by member: begin('{'), then while (next_key(key)) ... reads the value;
  // begin('['), then while (next_element()) ... reads the element.
  void begin(char bracket);
  bool next_key(std::string& key);
  bool next_element();
  bool at(char c);  // whether the next value starts with c

  void string(std::string& out);  // escapes resolved; not checked to be UTF-8
  int64_t integer();              // at most 18 digits, no sign
  std::string_view skip();        // the text of the next value, checked only as far as it takes to find its end
  void finish();                  // nothing may follow

  size_t position() const { return position_; }
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  bool next(char closing);
  void skip_space();
  void expect(char c);
  void skip_string();
  void escape(std::string& out);
  uint32_t hex4();

  std::string_view text_;
  std::string where_;
  size_t position_ = 0;
  bool first_ = false;  // no member of the innermost container was read yet
};

}  // namespace sigma
