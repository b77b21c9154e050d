#include "text/literal_text.h"

#include <functional>

namespace sigma {

namespace {

void for_each_string(const Json& value, const std::function<void(const std::string&)>& f) {
  if (value.is_string()) f(value.get_ref<const std::string&>());
  if (value.is_structured())
    for (const Json& member : value) for_each_string(member, f);
}

// Where the first character of a UTF-8 text ends.
size_t first_character(std::string_view text) {
  size_t n = 1;
  while (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xc0u) == 0x80u) ++n;
  return n;
}

}  // namespace

LiteralText::LiteralText(const std::vector<SpecialToken>& specials, const Json& value) {
  for (const SpecialToken& special : specials)
    if (special.control && first_character(special.text) < special.text.size()) controls_.push_back(special.text);
  // Noncharacters, which no text has a use for; longer until the value does not hold them all the same.
  bool taken = true;
  for (mark_ = "\xef\xb7\x90"; taken; mark_ += "\xef\xb7\x91") {
    taken = false;
    for_each_string(value, [&](const std::string& text) { taken = taken || text.find(mark_) != std::string::npos; });
    if (!taken) break;
  }
}

std::string LiteralText::mark_text(std::string text) const {
  for (const std::string& control : controls_)
    for (size_t at = text.find(control); at != std::string::npos; at = text.find(control, at + 1))
      text.insert(at + first_character(control), mark_);
  return text;
}

Json LiteralText::marked(const Json& value) const {
  if (value.is_string()) return mark_text(value.get<std::string>());
  if (!value.is_structured()) return value;
  Json result = value;
  for (Json& member : result) member = marked(member);
  return result;
}

LiteralText::Unmarked LiteralText::unmark(std::string_view rendered) const {
  Unmarked result;
  for (;;) {
    const size_t at = rendered.find(mark_);
    result.text += rendered.substr(0, at);
    if (at == std::string_view::npos) return result;
    result.breaks.push_back(result.text.size());
    rendered.remove_prefix(at + mark_.size());
  }
}

}  // namespace sigma
