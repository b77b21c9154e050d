// Finds special tokens in text: at the leftmost place the longest, without overlap.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace sigma {

class SpecialMatcher {
 public:
  // Of `specials` those that are looked for after normalization, or the others. Refers to them, and to `texts` (their
  // texts, normalized for the former), by index.
  SpecialMatcher(const std::vector<SpecialToken>& specials, const std::vector<std::string>& texts, bool normalized);

  bool empty() const { return order_.empty(); }
  bool only_control() const { return only_control_; }

  // Calls on_text(piece) and on_token(id) in the order of the text, all of which they cover; control tokens that are
  // not to be parsed stay in the pieces, as do those that span one of the `breaks`, offsets in a text in which this one
  // starts at `begin`. White space that a token takes along is in neither.
  template <class OnText, class OnToken>
  void split(std::string_view text, Specials specials, const OnText& on_text, const OnToken& on_token,
             std::span<const size_t> breaks, size_t begin) const {
    size_t done = 0;
    for (Match m = next(text, 0); m.token != nullptr; m = next(text, m.end)) {
      if (m.token->control && specials == Specials::as_text) continue;
      if (m.token->control) m = without_break(text, m, breaks, begin);
      if (m.token == nullptr) continue;
      const size_t stop = m.token->lstrip ? spaces_before(text, done, m.begin) : m.begin;
      if (done < stop) on_text(text.substr(done, stop - done));
      on_token(m.token->id);
      done = m.token->rstrip ? spaces_after(text, m.end) : m.end;
    }
    if (done != text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    size_t begin = 0, end = 0;
    const SpecialToken* token = nullptr;
  };
  Match next(std::string_view text, size_t from) const;
  // The match; or when it spans a break, the longest one at its place that ends there; or no token, and an end behind
  // the first byte: another may begin within it.
  Match without_break(std::string_view text, const Match& m, std::span<const size_t> breaks, size_t begin) const;
  size_t longest_at(std::string_view text, size_t at) const;  // index into order_, or its size
  static size_t spaces_before(std::string_view text, size_t from, size_t at);
  static size_t spaces_after(std::string_view text, size_t at);

  struct Entry {
    std::string_view text;
    const SpecialToken* token;
  };
  std::vector<Entry> order_;                // by text
  std::array<uint32_t, 257> first_byte_{};  // entries whose text starts with b: first_byte_[b] .. first_byte_[b + 1]
  bool only_control_ = true;
};

}  // namespace sigma
