#include "text/tokenizer_specials.h"

#include <algorithm>

#include "text/unicode.h"

namespace sigma {
namespace {

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

bool is_space(const unsigned char* p, const unsigned char* end, int& length) {
  const unicode::CodePoint c = unicode::decode(p, end);
  length = c.length;
  return unicode::class_of(c.value) == unicode::Class::space;
}

}  // namespace

SpecialMatcher::SpecialMatcher(const std::vector<SpecialToken>& specials, const std::vector<std::string>& texts,
                               bool normalized) {
  for (size_t i = 0; i < specials.size(); ++i) {
    if (specials[i].normalized != normalized) continue;
    order_.push_back({texts[i], &specials[i]});
    only_control_ = only_control_ && specials[i].control;
  }
  std::sort(order_.begin(), order_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (const Entry& e : order_) ++first_byte_[static_cast<unsigned char>(e.text[0]) + 1u];
  for (size_t b = 0; b < 256; ++b) first_byte_[b + 1] += first_byte_[b];
}

SpecialMatcher::Match SpecialMatcher::next(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (first_byte_[byte] == first_byte_[byte + 1u]) continue;
    const size_t found = longest_at(text, at);
    if (found != order_.size()) return {at, at + order_[found].text.size(), order_[found].token};
  }
  return {};
}

SpecialMatcher::Match SpecialMatcher::without_break(std::string_view text, const Match& m,
                                                    std::span<const size_t> breaks, size_t begin) const {
  const auto first = std::upper_bound(breaks.begin(), breaks.end(), begin + m.begin);
  if (first == breaks.end() || *first >= begin + m.end) return m;
  const size_t shorter = longest_at(text.substr(0, *first - begin), m.begin);
  if (shorter == order_.size()) return {m.begin, m.begin + 1, nullptr};
  return {m.begin, m.begin + order_[shorter].text.size(), order_[shorter].token};
}

size_t SpecialMatcher::longest_at(std::string_view text, size_t at) const {
  const auto byte = static_cast<unsigned char>(text[at]);
  auto low = order_.begin() + first_byte_[byte], high = order_.begin() + first_byte_[byte + 1u];
  auto best = order_.end();
  for (size_t depth = 1; low != high; ++depth) {
    if (low->text.size() == depth) best = low++;  // of several with the same start the shortest sorts first
    if (at + depth == text.size()) break;
    const auto next = static_cast<unsigned char>(text[at + depth]);
    const auto at_depth = [depth](const Entry& e) { return static_cast<unsigned char>(e.text[depth]); };
    low = std::partition_point(low, high, [&](const Entry& e) { return at_depth(e) < next; });
    high = std::partition_point(low, high, [&](const Entry& e) { return at_depth(e) == next; });
  }
  return static_cast<size_t>(best - order_.begin());
}

size_t SpecialMatcher::spaces_before(std::string_view text, size_t from, size_t at) {
  const unsigned char* base = bytes_of(text);
  while (at > from) {
    size_t start = at - 1;
    while (start > from && at - start < 4 && (base[start] & 0xc0) == 0x80) --start;
    int length = 0;
    if (!is_space(base + start, base + at, length) || start + static_cast<size_t>(length) != at) break;
    at = start;
  }
  return std::max(at, from);
}

size_t SpecialMatcher::spaces_after(std::string_view text, size_t at) {
  const unsigned char* base = bytes_of(text);
  int length = 0;
  while (at < text.size() && is_space(base + at, base + text.size(), length)) at += static_cast<size_t>(length);
  return at;
}

}  // namespace sigma
