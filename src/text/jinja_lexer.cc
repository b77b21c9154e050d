#include "text/jinja_lexer.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "text/jinja_unicode.h"
#include "text/unicode.h"

namespace sigma::jinja {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word(char c) { return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit_of(char c, int base) {
  if (base <= 10) return c >= '0' && c < '0' + base;
  return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Line ends become \n, and one at the very end is dropped.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where) : source_(normalize(source)), where_(where) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_data();
    emit(TokenKind::eof, "");
    return std::move(tokens_);
  }

 private:
  enum class Tag : uint8_t { raw, comment, block, variable };

  [[noreturn]] void refuse(const std::string& expected, const std::string& found) {
    throw Error(fmt::format("{}:{}", where_, line_at(at_)), expected, found);
  }

  int line_at(size_t at) {
    for (; counted_ < std::min(at, source_.size()); ++counted_) line_ += source_[counted_] == '\n';
    return line_;
  }

  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }

  void emit(TokenKind kind, std::string text) {
    tokens_.push_back({.kind = kind, .line = line_at(at_), .text = std::move(text)});
  }

  void skip_space(size_t& at) const { at = source_.size() - strip_left(std::string_view(source_).substr(at)).size(); }

  void move_to(size_t at) {
    line_starting_ = at > 0 && source_[at - 1] == '\n';
    at_ = at;
  }

  // {%- raw %} and its variants: the end of the tag when there is one at `at`.
  std::optional<size_t> raw_tag(size_t at, std::string_view keyword) const {
    at += 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    skip_space(at);
    if (!std::string_view(source_).substr(at).starts_with(keyword)) return std::nullopt;
    at += keyword.size();
    skip_space(at);
    return at;
  }

  std::optional<size_t> end_of_raw_begin(size_t at) const {
    const auto inside = raw_tag(at, "raw");
    if (!inside) return std::nullopt;
    const std::string_view tail = std::string_view(source_).substr(*inside);
    if (tail.starts_with("%}")) return *inside + 2;
    if (!tail.starts_with("-%}")) return std::nullopt;
    size_t end = *inside + 3;
    skip_space(end);
    return end;
  }

  // Past the end of a block, {# #} or {% endraw %} tag whose last two characters are `close`.
  std::optional<size_t> end_of_tag(size_t at, std::string_view close) const {
    const std::string_view tail = std::string_view(source_).substr(at);
    if (tail.starts_with(close)) return at + 2 + (tail.substr(2).starts_with('\n') ? 1 : 0);
    if (tail.size() < 3 || tail.substr(1, 2) != close) return std::nullopt;
    if (tail[0] == '+') return at + 3;
    if (tail[0] != '-') return std::nullopt;
    size_t end = at + 3;
    skip_space(end);
    return end;
  }

  // Text up to a tag, less what the tag's sign and lstrip_blocks take away.
  std::string_view data_before(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return strip_right(text);
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line = newline == text.npos ? 0 : newline + 1;
    if (line == 0 && !line_starting_) return text;
    return strip_left(text.substr(line)).empty() ? text.substr(0, line) : text;
  }

  void read_data() {
    size_t open = at_;
    for (;; ++open) {
      open = source_.find('{', open);
      if (open == source_.npos || open + 1 >= source_.size()) {
        emit(TokenKind::data, std::string(rest()));
        return move_to(source_.size());
      }
      const char c = source_[open + 1];
      if (c == '%' || c == '{' || c == '#') break;
    }
    const auto raw_end = source_[open + 1] == '%' ? end_of_raw_begin(open) : std::nullopt;
    const Tag tag = raw_end                    ? Tag::raw
                    : source_[open + 1] == '%' ? Tag::block
                    : source_[open + 1] == '{' ? Tag::variable
                                               : Tag::comment;
    const char next = open + 2 < source_.size() ? source_[open + 2] : '\0';
    const bool has_sign = next == '-' || next == '+';
    const std::string_view text = std::string_view(source_).substr(at_, open - at_);
    const std::string_view kept = data_before(text, has_sign ? next : '\0', tag == Tag::variable);
    if (!kept.empty()) emit(TokenKind::data, std::string(kept));
    at_ = open;
    const size_t inside = open + (has_sign ? 3 : 2);
    switch (tag) {
      case Tag::raw:
        return read_raw(*raw_end);
      case Tag::comment:
        return skip_comment(inside);
      case Tag::block:
        return read_tag(inside, TokenKind::block_begin, TokenKind::block_end);
      case Tag::variable:
        return read_tag(inside, TokenKind::variable_begin, TokenKind::variable_end);
    }
  }

  void skip_comment(size_t inside) {
    for (size_t at = inside; at < source_.size(); ++at) {
      if (const auto end = end_of_tag(at, "#}")) return move_to(*end);
    }
    refuse("the end of a comment, '#}'", "the end of the template");
  }

  void read_raw(size_t inside) {
    line_starting_ = source_[inside - 1] == '\n';
    for (size_t at = source_.find("{%", inside); at != source_.npos; at = source_.find("{%", at + 1)) {
      const auto tag = raw_tag(at, "endraw");
      const auto end = tag ? end_of_tag(*tag, "%}") : std::nullopt;
      if (!end) continue;
      const char next = source_[at + 2];
      const char sign = next == '-' || next == '+' ? next : '\0';
      const std::string_view kept = data_before(std::string_view(source_).substr(inside, at - inside), sign, false);
      if (!kept.empty()) emit(TokenKind::data, std::string(kept));
      return move_to(*end);
    }
    refuse("{% endraw %}", "the end of the template");
  }

  void read_tag(size_t inside, TokenKind begin, TokenKind end_kind) {
    emit(begin, "");
    at_ = inside;
    const bool is_block = end_kind == TokenKind::block_end;
    while (at_ < source_.size()) {
      if (brackets_.empty()) {
        std::optional<size_t> end;
        if (is_block) {
          end = end_of_tag(at_, "%}");
        } else if (looking_at("}}")) {
          end = at_ + 2;
        } else if (looking_at("-}}")) {
          end = at_ + 3;
          skip_space(*end);
        }
        if (end) {
          emit(end_kind, "");
          return move_to(*end);
        }
      }
      read_token();
    }
    if (!brackets_.empty()) refuse(fmt::format("'{}'", brackets_.back()), "the end of the template");
    refuse(is_block ? "the end of the tag, '%}'" : "the end of the expression, '}}'", "the end of the template");
  }

  void read_token() {
    const char c = source_[at_];
    if (is_space(code_point_at(source_, at_).value)) {
      skip_space(at_);
    } else if (digit(c)) {
      read_number();
    } else if (word(c)) {
      size_t end = at_;
      while (end < source_.size() && word(source_[end])) ++end;
      refuse_unicode_word(end);
      emit(TokenKind::name, source_.substr(at_, end - at_));
      at_ = end;
    } else if (c == '\'' || c == '"') {
      read_string();
    } else {
      read_operator();
    }
  }

  void refuse_unicode_word(size_t end) {
    if (end < source_.size() && static_cast<unsigned char>(source_[end]) >= 0x80 &&
        !is_space(code_point_at(source_, end).value)) {
      refuse("names of ASCII letters, digits and '_'", printable(std::string_view(source_).substr(at_, end + 4 - at_)));
    }
  }

  // Digits with single underscores between them, from `at`; the end of the run (`at` itself when there is none).
  size_t digits_end(size_t at, int base = 10) const {
    size_t end = at;
    while (end < source_.size() && digit_of(source_[end], base)) {
      ++end;
      if (end + 1 < source_.size() && source_[end] == '_' && digit_of(source_[end + 1], base)) ++end;
    }
    return end;
  }

  void read_number() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    const size_t whole = digits_end(at_);
    size_t end = whole;
    bool is_real = false;
    if (!after_dot) {
      if (end + 1 < source_.size() && source_[end] == '.' && digit(source_[end + 1])) {
        end = digits_end(end + 1);
        is_real = true;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        const size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
        const size_t exponent = digits_end(end + 1 + sign);
        if (exponent > end + 1 + sign) {
          end = exponent;
          is_real = true;
        }
      }
    }
    if (is_real) return emit_real(end);
    emit_integer(whole);
  }

  void emit_real(size_t end) {
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    double value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec == std::errc::result_out_of_range) refuse("a float that a double holds", printable(text));
    emit(TokenKind::real, text);
    tokens_.back().real = value;
    at_ = end;
  }

  void emit_integer(size_t end) {
    int base = 10;
    size_t first = at_;
    if (source_[at_] == '0') {
      const char mark = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
      const int marked = mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
      size_t from = at_ + 2;
      if (marked != 10 && from < source_.size() && source_[from] == '_') ++from;
      if (marked != 10 && digits_end(from, marked) > from) {
        base = marked;
        first = from;
        end = digits_end(from, marked);
      } else {  // zeros only: 007 is 0, 0 and 7 to jinja2, which then finds no operator between them
        end = at_;
        while (end < source_.size() &&
               (source_[end] == '0' || (source_[end] == '_' && end + 1 < source_.size() && source_[end + 1] == '0'))) {
          ++end;
        }
      }
    }
    std::string text = source_.substr(first, end - first);
    std::erase(text, '_');
    int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (result.ec != std::errc{}) refuse("an integer of 64 bits", printable(text));
    emit(TokenKind::integer, text);
    tokens_.back().integer = value;
    at_ = end;
  }

  void read_string() {
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) refuse(fmt::format("the end of a string, {}", quote), "the end of the template");
    emit(TokenKind::string, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    at_ = end + 1;
  }

  // Python's string escapes; unknown ones stay as they are.
  std::string unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        out += text[i++];
        continue;
      }
      const char c = text[i + 1];  // the string's end was found past an escaped character
      i += 2;
      constexpr std::string_view kNames = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
      if (c == '\n') continue;
      if (const size_t simple = kNames.find(c); simple != kNames.npos) {
        out += kMeant[simple];
      } else if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        --i;
        for (int n = 0; n < 3 && i < text.size() && digit_of(text[i], 8); ++n) code = code * 8 + (text[i++] - '0');
        unicode::append_utf8(out, code);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        unicode::append_utf8(out, hex_escape(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8));
      } else if (c == 'N') {
        refuse("strings without \\N{...}", printable(text));
      } else if (static_cast<unsigned char>(c) >= 0x80) {  // Python escapes the character first and then sees "\\x.."
        const CodePoint point = code_point_at(text, i - 1);
        const auto code = static_cast<uint32_t>(point.value);
        out += code < 0x100     ? fmt::format("\\x{:02x}", code)
               : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                : fmt::format("\\U{:08x}", code);
        i += point.bytes - 1;
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  char32_t hex_escape(std::string_view text, size_t& at, size_t count) {
    uint32_t code = 0;
    const std::string_view digits = text.substr(std::min(at, text.size()), count);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() < count || result.ptr != digits.data() + count || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000)) {
      refuse(fmt::format("{} hexadecimal digits of a character", count), printable(digits));
    }
    at += count;
    return code;
  }

  void read_operator() {
    constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view op : kTwo) {
      if (looking_at(op)) {
        emit(TokenKind::op, std::string(op));
        at_ += 2;
        return;
      }
    }
    const char c = source_[at_];
    if (kOne.find(c) == kOne.npos) {
      refuse("a tag as jinja writes it", printable(rest().substr(0, code_point_at(source_, at_).bytes)));
    }
    if (c == '(' || c == '[' || c == '{') {
      brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) refuse("an opening bracket before", fmt::format("'{}'", c));
      if (brackets_.back() != c) refuse(fmt::format("'{}'", brackets_.back()), fmt::format("'{}'", c));
      brackets_.pop_back();
    }
    emit(TokenKind::op, std::string(1, c));
    ++at_;
  }

  std::string source_;
  const std::string& where_;
  std::vector<Token> tokens_;
  std::string brackets_;  // the closing brackets awaited
  size_t at_ = 0;
  size_t counted_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& where) { return Lexer(source, where).run(); }

}  // namespace sigma::jinja
