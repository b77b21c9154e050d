// User text inside a rendered chat template. What a user writes must not become a control token, yet the template's own
// control tokens must; after rendering the two look alike. So the user's are marked before rendering and found after
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace sigma {

class LiteralText {
 public:
  // value: what a template is rendered over; every string in it is the user's.
  LiteralText(const std::vector<SpecialToken>& specials, const Json& value);

  // The value with a mark inside the text of every control token that its strings hold.
  Json marked(const Json& value) const;

  // A rendered text without its marks; where they stood (offsets in the result, in order) no control token may span.
  struct Unmarked {
    std::string text;
    std::vector<size_t> breaks;
  };
  Unmarked unmark(std::string_view rendered) const;

 private:
  std::string mark_text(std::string text) const;
  std::vector<std::string> controls_;  // texts of control tokens of two characters and more
  std::string mark_;                   // occurs nowhere in the value
};

}  // namespace sigma
