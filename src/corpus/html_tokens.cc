#include "corpus/html_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "corpus/text_util.h"
#include "text/unicode.h"

namespace sigma::corpus {

namespace {

// Character references by name: a number is the code of the name behind it, every other name has the next code. Those
// of HTML 4, and HTML 5's for signs of ASCII.
constexpr std::string_view kReferences =
    "9 Tab NewLine 33 excl quot num dollar percnt amp apos lpar rpar ast plus comma 46 period sol 58 colon semi lt "
    "equals gt quest commat 91 lsqb bsol rsqb Hat lowbar grave 123 lcub verbar rcub "
    "160 nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute "
    "micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig "
    "Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash "
    "Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute "
    "ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc "
    "uuml yacute thorn yuml "
    "338 OElig oelig 352 Scaron scaron 376 Yuml 402 fnof 710 circ 732 tilde "
    "913 Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho 931 Sigma Tau Upsilon "
    "Phi Chi Psi Omega 945 alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigmaf sigma tau upsilon phi chi psi omega 977 thetasym upsih 982 piv "
    "8194 ensp emsp 8201 thinsp 8204 zwnj zwj lrm rlm 8211 ndash mdash 8216 lsquo rsquo sbquo 8220 ldquo rdquo bdquo "
    "8224 dagger Dagger bull 8230 hellip 8240 permil 8242 prime Prime 8249 lsaquo rsaquo 8254 oline 8260 frasl "
    "8364 euro 8465 image 8472 weierp 8476 real 8482 trade 8501 alefsym 8592 larr uarr rarr darr harr 8629 crarr "
    "8656 lArr uArr rArr dArr hArr 8704 forall 8706 part exist 8709 empty 8711 nabla isin notin 8715 ni 8719 prod "
    "8721 sum minus 8727 lowast 8730 radic 8733 prop infin 8736 ang 8743 and or cap cup int 8756 there4 8764 sim "
    "8773 cong 8776 asymp 8800 ne equiv 8804 le ge 8834 sub sup nsub 8838 sube supe 8853 oplus 8855 otimes 8869 perp "
    "8901 sdot 8968 lceil rceil lfloor rfloor 10216 lang rang 9674 loz 9824 spades 9827 clubs 9829 hearts diams";
constexpr size_t kLongestReference = 8;

using References = std::unordered_map<std::string_view, uint32_t>;
const References& references() {
  static const References table = [] {
    References out;
    uint32_t code = 0;
    for (std::string_view rest = kReferences; !rest.empty();) {
      const std::string_view name = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      if (std::from_chars(name.data(), name.data() + name.size(), code).ec != std::errc()) out[name] = code++;
    }
    return out;
  }();
  return table;
}

bool is_letter(char c) { return static_cast<unsigned char>((c | 32) - 'a') < 26; }
bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool same_ignoring_case(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

// Appends what the reference at the start of `text` stands for; its length, 0 when it is none.
size_t append_reference(std::string& out, std::string_view text) {
  size_t end = 1;
  if (text.size() > 2 && text[1] == '#') {
    const bool hexadecimal = (text[2] | 32) == 'x';
    uint32_t code = 0;
    const char* const first = text.data() + (hexadecimal ? 3 : 2);
    const auto [stop, fault] = std::from_chars(first, text.data() + text.size(), code, hexadecimal ? 16 : 10);
    if (stop == first) return 0;
    end = static_cast<size_t>(stop - text.data());
    if (fault != std::errc() || code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
    if (code >= 0x80 && code < 0xa0)  // meant as Windows-1252, and a byte of it is read as such
      out += to_utf8(std::string(1, static_cast<char>(code)));
    else
      unicode::append_utf8(out, code);
    return end + (end < text.size() && text[end] == ';' ? 1 : 0);
  }
  while (end < text.size() && end <= kLongestReference && (is_letter(text[end]) || is_digit(text[end]))) ++end;
  const bool ends = end < text.size() && text[end] == ';';
  for (size_t length = end - 1; length > 1; --length) {
    const auto found = references().find(text.substr(1, length));
    const bool whole = ends && length == end - 1;
    // Without its semicolon only what HTML 2 had.
    if (found == references().end() ||
        !(whole || (found->second >= 160 && found->second < 256) || found->first == "amp" || found->first == "lt" ||
          found->first == "gt" || found->first == "quot"))
      continue;
    unicode::append_utf8(out, found->second);
    return 1 + length + (whole ? 1 : 0);
  }
  return 0;
}

// Elements whose text has no tags; in the first two it has references.
constexpr std::array<std::string_view, 9> kRaw = {"title",  "textarea", "script",   "style",    "xmp",
                                                  "iframe", "noembed",  "noframes", "plaintext"};

}  // namespace

std::string_view HtmlTokens::decoded(std::string_view text) {
  size_t at = text.find('&');
  if (at == std::string_view::npos) return text;
  scratch_.clear();
  size_t plain = 0;  // before this it is in scratch_
  for (; at != std::string_view::npos; at = text.find('&', at)) {
    scratch_.append(text, plain, at - plain);
    plain = at;
    plain += append_reference(scratch_, text.substr(at));
    at = std::max(plain, at + 1);
  }
  return scratch_.append(text, plain);
}

bool HtmlTokens::next(HtmlToken& token) {
  while (at_ < html_.size()) {
    token = {};
    // The text before the next tag.
    size_t end = at_;
    for (; (end = html_.find('<', end)) != std::string_view::npos; ++end) {
      const std::string_view behind = html_.substr(end + 1, raw_.size() + 2);
      if (!raw_.empty()) {
        if (behind.size() > raw_.size() && behind[0] == '/' &&
            same_ignoring_case(behind.substr(1, raw_.size()), raw_) &&
            (behind.size() == raw_.size() + 1 || !is_letter(behind.back())))
          break;
      } else if (!behind.empty() &&
                 (is_letter(behind[0]) || behind[0] == '/' || behind[0] == '!' || behind[0] == '?')) {
        break;
      }
    }
    end = std::min(end, html_.size());
    if (end > at_) {
      const std::string_view text = html_.substr(at_, end - at_);
      token.text = raw_.empty() || raw_ == kRaw[0] || raw_ == kRaw[1] ? decoded(text) : text;
      at_ = end;
      return true;
    }
    raw_ = {};
    const std::string_view rest = html_.substr(at_ + 1);
    if (is_letter(rest[0]) || (rest[0] == '/' && rest.size() > 1 && is_letter(rest[1]))) {
      if (read_tag(token)) return true;
    } else if (rest.starts_with("!--")) {
      const bool empty = rest.substr(3).starts_with(">") || rest.substr(3).starts_with("->");
      const size_t stop = html_.find(empty ? ">" : "-->", at_ + 4);
      at_ = stop == std::string_view::npos ? html_.size() : stop + (empty ? 1 : 3);
    } else {
      const size_t stop = html_.find('>', at_ + 1);
      at_ = stop == std::string_view::npos ? html_.size() : stop + 1;
    }
  }
  return false;
}

// At "<NAME" or "</NAME"; false: the text ends within it.
bool HtmlTokens::read_tag(HtmlToken& token) {
  const bool closes = html_[at_ + 1] == '/';
  const size_t size = html_.size();
  size_t i = at_ + (closes ? 2 : 1);
  const auto run = [&](const auto& stops) {
    const size_t begin = i;
    while (i < size && !is_space(html_[i]) && html_[i] != '>' && !stops(html_[i])) ++i;
    return html_.substr(begin, i - begin);
  };
  const auto pass_space = [&] {
    while (i < size && is_space(html_[i])) ++i;
  };
  token.kind = closes ? HtmlToken::Kind::end : HtmlToken::Kind::start;
  token.name = run([](char c) { return c == '/'; });
  at_ = size;  // unless its end is found
  while (true) {
    token.self_closing = false;
    while (i < size && (is_space(html_[i]) || html_[i] == '/')) token.self_closing = html_[i++] == '/';
    if (i == size) return false;
    if (html_[i] == '>') break;
    const size_t first = i++;  // whatever it is
    run([](char c) { return c == '/' || c == '='; });
    const std::string_view attribute = html_.substr(first, i - first);
    pass_space();
    if (i == size || html_[i] != '=') continue;
    ++i;
    pass_space();
    if (i == size) return false;
    std::string_view value;
    if (html_[i] == '"' || html_[i] == '\'') {
      const size_t end = html_.find(html_[i], i + 1);
      if (end == std::string_view::npos) return false;
      value = html_.substr(i + 1, end - i - 1);
      i = end + 1;
    } else {
      value = run([](char) { return false; });
    }
    for (const auto& [name, place] :
         {std::pair{std::string_view("class"), &token.classes}, {"id", &token.id}, {"role", &token.role}})
      if (place->empty() && same_ignoring_case(attribute, name)) *place = value;
  }
  at_ = i + 1;
  if (closes || token.self_closing) return true;
  for (const std::string_view raw : kRaw)
    if (same_ignoring_case(token.name, raw)) raw_ = raw;
  return true;
}

}  // namespace sigma::corpus
