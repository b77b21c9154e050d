// HTML as a row of tags and texts: the tokenizer of the HTML standard (13.2.5), without what no text depends on
// (document types, errors, most attributes). One pass, whatever the bytes are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sigma::corpus {

struct HtmlToken {
  enum class Kind : uint8_t { text, start, end };
  Kind kind = Kind::text;
  bool self_closing = false;
  std::string_view text;               // of a text, its character references replaced; else empty
  std::string_view name;               // of a tag, as it is written
  std::string_view classes, id, role;  // attributes of a start tag, as they are written
};

class HtmlTokens {
 public:
  explicit HtmlTokens(std::string_view html) : html_(html) {}  // UTF-8, which must outlive the tokens
  // False at the end. A token's text is valid until the next one.
  bool next(HtmlToken& token);

 private:
  bool read_tag(HtmlToken& token);
  std::string_view decoded(std::string_view text);
  std::string_view html_, raw_;  // raw_: the element whose text has no tags, when in it
  size_t at_ = 0;
  std::string scratch_;
};

}  // namespace sigma::corpus
