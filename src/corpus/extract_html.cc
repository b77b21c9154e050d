// HTML to text in one pass over its tags. Which element ends where follows the standard's tree construction (13.2.6) as
// far as text depends on it: elements that end by themselves, end tags of nothing, the scope of tables. What stands
// between the cells of a table stays where it is. Nothing is held but the open elements.
#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "corpus/extract.h"
#include "corpus/html_tokens.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr size_t kLargestPage = size_t{32} << 20;
constexpr size_t kDeepest = 1000;  // open elements: an end tag may look at all of them

// Collapses white space and sets blocks apart.
class TextBuilder {
 public:
  // At least this many line feeds before what comes next.
  void break_lines(int lines) { breaks_ = std::max(breaks_, lines), space_ = false; }
  // Marks that belong to what follows ("- ", "## "): dropped when nothing does.
  void prefix(std::string_view mark) { prefix_ = mark; }
  void words(std::string_view text) {
    size_t i = 0;
    while (i < text.size()) {
      if (is_space(text[i])) {
        space_ = true;
        ++i;
        continue;
      }
      size_t end = i;
      while (end < text.size() && !is_space(text[end])) ++end;
      begin_text();
      out_.append(text, i, end - i);
      i = end;
    }
  }
  void mark(std::string_view text) { begin_text(), out_ += text; }  // as words(), kept as it is
  void close(std::string_view text) {
    if (breaks_ == 0) out_ += text;
  }  // directly after what was written
  void literal(std::string_view text) {
    if (text.empty()) return;
    begin_text();
    out_ += text;
  }
  std::string finish() { return std::move(out_); }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  void begin_text() {
    if (breaks_ > 0) {
      if (!out_.empty()) out_.append(static_cast<size_t>(breaks_), '\n');
      breaks_ = 0;
    } else if (space_ && !out_.empty() && prefix_.empty() && out_.back() != '\n') {
      out_ += ' ';
    }
    space_ = false;
    out_ += prefix_;
    prefix_.clear();
  }
  std::string out_, prefix_;
  int breaks_ = 0;
  bool space_ = false;
};

enum class Role : uint8_t {
  text,
  page,  // never closed
  head,
  dropped,
  block,
  paragraph,
  heading,
  item,
  list,
  row,
  cell,
  pre,
  code,
  term,
  definition,
  line_break
};
enum Trait : uint8_t {
  kEmpty = 1,        // has no content
  kEndsP = 2,        // ends an open paragraph
  kSpecial = 4,      // the end tag of something inline does not reach beyond it
  kScope = 8,        // nor does that of a block
  kFormatting = 16,  // may end before what was opened in it
  kOfTable = 32,     // nothing outside of a table
  kOfHead = 64,
  kForeign = 128,  // in it a tag may close itself
};
constexpr uint8_t kBlock = kEndsP | kSpecial;

struct Kind {
  std::string_view names;
  Role role = Role::text;
  uint8_t traits = 0;
};
constexpr Kind kKinds[] = {
    {"html body frameset frame", Role::page, 0},
    {"head", Role::head, kSpecial},
    {"title script style template noscript noframes", Role::dropped, kSpecial | kOfHead},
    {"base basefont bgsound link meta", Role::text, kEmpty | kOfHead},
    {"area col embed img input param source track wbr", Role::text, kEmpty},
    {"svg", Role::dropped, kForeign},
    {"math", Role::text, kForeign},
    {"nav aside footer", Role::dropped, kBlock},
    {"button select textarea iframe noembed audio video canvas", Role::dropped, kSpecial},
    {"object", Role::dropped, kSpecial | kScope},
    {"p dl blockquote figure", Role::paragraph, kBlock},
    {"hr", Role::paragraph, kBlock | kEmpty},
    {"table", Role::paragraph, kBlock | kScope},
    {"div section article main header figcaption address details summary center form fieldset", Role::block, kBlock},
    {"dir menu hgroup listing dialog xmp", Role::text, kBlock},
    {"applet marquee", Role::text, kSpecial | kScope},
    {"h1 h2 h3 h4 h5 h6", Role::heading, kBlock},
    {"li", Role::item, kBlock},
    {"ul ol", Role::list, kBlock},
    {"caption", Role::block, kSpecial | kScope | kOfTable},
    {"tbody thead tfoot colgroup", Role::text, kSpecial | kOfTable},
    {"tr", Role::row, kSpecial | kOfTable},
    {"td th", Role::cell, kSpecial | kScope | kOfTable},
    {"pre", Role::pre, kBlock},
    {"code tt", Role::code, kFormatting},
    {"kbd samp", Role::code, 0},
    {"dt", Role::term, kBlock},
    {"dd", Role::definition, kBlock},
    {"br", Role::line_break, kEmpty},
    {"a b big em font i nobr s small strike strong u", Role::text, kFormatting},
    {"option optgroup", Role::text, 0},
};

// Parts of a page that are not its text, by the words in `class` and `id`: what site generators call them.
constexpr std::string_view kFurniture =
    "sphinxsidebar related navheader navfooter navbar nav navigation sidebar breadcrumb breadcrumbs footer "
    "page-footer headerlink wy-nav-side wy-nav-top rst-footer-buttons rst-versions skip-link cookie prevnext "
    "prev-next side-nav nav-path navpath navrow msearchselectwindow searchbox site-header site-footer "
    "advertisement share social comments-form pagination toc-sidebar docs-sidebar menu dropdown docs-top "
    "docs-prev topnav bottomnav navtop skipnav hidden sr-only mw-editsection tabs tablist versionselector";

struct HashName {  // of names that are known and few
  size_t operator()(std::string_view name) const {
    size_t h = 0;
    for (const char c : name) h = h * 31 + static_cast<unsigned char>(c);
    return h;
  }
};
template <class T>
using ByName = std::unordered_map<std::string_view, T, HashName>;

template <class F>
void each_word(std::string_view words, const F& f) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t begin = i;
    while (i < words.size() && !is_space(words[i])) ++i;
    if (i > begin) f(words.substr(begin, i - begin));
  }
}

// What the table has for a name in any case; nullptr: nothing.
template <class T>
const T* find(const ByName<T>& table, std::string_view name) {
  std::array<char, 20> lower;
  if (name.size() > lower.size()) return nullptr;
  std::transform(name.begin(), name.end(), lower.begin(),
                 [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  const auto found = table.find({lower.data(), name.size()});
  return found == table.end() ? nullptr : &found->second;
}

bool is_furniture(std::string_view names) {
  static const ByName<bool> table = [] {
    ByName<bool> out;
    each_word(kFurniture, [&](std::string_view word) { out[word] = true; });
    return out;
  }();
  bool found = false;
  each_word(names, [&](std::string_view word) { found = found || find(table, word) != nullptr; });
  return found;
}

struct Element {
  std::string_view name;
  Role role = Role::text;
  uint8_t traits = 0;
  size_t number = 0;  // of all
};

const ByName<Element>& elements() {
  static const ByName<Element> table = [] {
    ByName<Element> out;
    for (const Kind& kind : kKinds)
      each_word(kind.names, [&](std::string_view word) { out[word] = {word, kind.role, kind.traits, out.size()}; });
    return out;
  }();
  return table;
}

// Unknown names have elements without a name, a few to each, so that an end tag of nothing is mostly seen to be one.
constexpr size_t kUnknown = 64;

const Element& element_of(std::string_view name) {
  static const auto unknown = [] {
    std::array<Element, kUnknown> out;
    for (size_t i = 0; i < out.size(); ++i) out[i].number = elements().size() + i;
    return out;
  }();
  if (const Element* found = find(elements(), name); found != nullptr) return *found;
  size_t hash = 0;
  for (const char c : name) hash = hash * 31 + static_cast<size_t>(c | 32);
  return unknown[hash % kUnknown];
}

// One reading of a page.
class Page {
 public:
  // The text of its `main` if there is one; else of its first article if `article`; else of all of it.
  enum class Wanted : uint8_t { main, article };
  Page(std::string_view html, Wanted wanted) : wanted_(wanted) {
    HtmlTokens tokens(html);
    HtmlToken token;
    while (!done_ && open_.size() <= kDeepest && tokens.next(token)) {
      if (token.kind == HtmlToken::Kind::text) text(token.text);
      fresh_pre_ = false;
      if (token.kind == HtmlToken::Kind::start) start(token);
      if (token.kind == HtmlToken::Kind::end) end(token.name);
    }
    too_deep_ = open_.size() > kDeepest;
    while (!done_ && !open_.empty()) pop();
  }

  const std::string& title() const { return title_; }
  std::string take_text() { return out_.finish(); }
  bool too_deep() const { return too_deep_; }
  bool one_article() const { return top_ == 0 && articles_ == 1; }

 private:
  struct Open {
    const Element* element;
    std::string_view name;
    bool shown;
  };

  void text(std::string_view text) {
    if (!open_.empty() && open_.back().element->name == "title") {
      TextBuilder words;
      words.words(text);
      if (title_.empty()) title_ = words.finish();
    }
    if (!is_blank(text)) end_head();
    if (dropped_ > 0) return;
    if (fresh_pre_ && text.starts_with("\r\n")) text.remove_prefix(1);
    if (fresh_pre_ && text.starts_with('\n')) text.remove_prefix(1);
    if (pre_ > 0)
      out_.literal(text);
    else if (text != "\u00b6")
      out_.words(text);
  }

  void start(const HtmlToken& token) {
    const Element& e = element_of(token.name);
    const bool is_head = e.role == Role::head, within_head = is_head || (e.traits & kOfHead) != 0;
    if (!within_head) end_head();
    if (e.role == Role::page || (is_head && begun_) || ((e.traits & kOfTable) != 0 && count(table_) == 0)) return;
    begun_ = begun_ || is_head || !within_head;
    end_implied(e);
    if (token.self_closing && (foreign_ > 0)) return;
    push(e, token.name);
    articles_ += e.name == "article" ? 1 : 0;
    const bool is_main = e.name == "main" || token.role == "main";
    if (top_ == 0 && (wanted_ == Wanted::main ? is_main : e.name == "article")) {
      top_ = open_.size();
      out_ = {};
      items_.clear();
      pre_ = code_ = heading_ = 0;
      dropped_ = 0;
    } else if (dropped_ == 0 && (e.role == Role::dropped || is_head || is_furniture(token.classes) ||
                                 is_furniture(token.id) || token.role == "navigation" || token.role == "search" ||
                                 token.role == "contentinfo" || token.role == "banner")) {
      dropped_ = open_.size();
    }
    if (dropped_ == 0) show();
    if ((e.traits & kEmpty) != 0) pop();
  }

  void push(const Element& e, std::string_view name) {
    open_.push_back({&e, name, false});
    ++counts_[e.number];
    foreign_ += (e.traits & kForeign) != 0 ? 1 : 0;
  }
  void show() {
    open_.back().shown = true;
    begin(*open_.back().element);
  }
  int count(const Element& e) const { return counts_[e.number]; }

  void end_head() {
    if (!open_.empty() && open_.back().element->role == Role::head) pop();
  }

  // Ends what a start tag of `e` ends without saying so.
  void end_implied(const Element& e) {
    const auto pop_above = [&](auto stays) {
      while (!stays(*open_.back().element)) pop();
    };
    // Ends the nearest element that is `ended`, unless something special is between.
    const auto end_sibling = [&](auto ended) {
      for (size_t i = open_.size(); i > 0; --i) {
        const Element& o = *open_[i - 1].element;
        if (ended(o)) return pop_to(i - 1);
        if ((o.traits & kSpecial) != 0 && o.name != "address" && o.name != "div" && o.name != "p") return;
      }
    };
    if (e.role == Role::item) end_sibling([](const Element& o) { return o.role == Role::item; });
    if (e.role == Role::term || e.role == Role::definition)
      end_sibling([](const Element& o) { return o.role == Role::term || o.role == Role::definition; });
    if ((e.traits & kEndsP) != 0 && count(paragraph_) > 0) close(paragraph_, {});
    if (e.role == Role::heading && !open_.empty() && open_.back().element->role == Role::heading) pop();
    if (e.name == "a" || e.name == "option" || e.name == "button") close(e, {});
    if (e.role == Role::cell) {
      pop_above([](const Element& o) { return o.role == Role::row || o.name == "table" || is_row_group(o); });
      if (open_.back().element->role != Role::row) {
        push(row_, {});
        if (dropped_ == 0) show();
      }
    } else if (e.role == Role::row) {
      pop_above([](const Element& o) { return o.name == "table" || is_row_group(o); });
    } else if ((e.traits & kOfTable) != 0) {
      pop_above([](const Element& o) { return o.name == "table"; });
    }
  }
  static bool is_row_group(const Element& e) { return (e.traits & kOfTable) != 0 && e.role == Role::text; }

  void end(std::string_view name) {
    const Element& e = element_of(name);
    if (e.role == Role::page || (count(e) == 0 && e.role != Role::heading)) {
      if (e.name == "p" && dropped_ == 0) begin(e);  // an empty one
      return;
    }
    close(e, name);
  }

  // Ends the nearest `e` and what is open in it, unless it lies beyond what an end tag reaches.
  void close(const Element& e, std::string_view name) {
    for (size_t i = open_.size(); i > 0; --i) {
      Open& o = open_[i - 1];
      const bool same = o.element == &e ? !e.name.empty() || same_name(o.name, name)
                                        : e.role == Role::heading && o.element->role == Role::heading;
      if (same && (e.traits & kFormatting) != 0 && i < open_.size()) return end_around(i - 1);
      if (same) return pop_to(i - 1);
      const uint8_t t = o.element->traits;
      const bool of_table = (e.traits & kOfTable) != 0 || e.name == "table";
      const bool stops = of_table                                     ? e.name != "table" && o.element->name == "table"
                         : (e.traits & (kSpecial | kFormatting)) != 0 ? (t & kScope) != 0
                                                                      : (t & kSpecial) != 0;
      if (stops || (e.role == Role::item && o.element->role == Role::list)) return;
    }
  }
  static bool same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return (x | 32) == (y | 32); });
  }

  void pop_to(size_t size) {
    while (open_.size() > size) pop();
  }
  void pop() {
    end_around(open_.size() - 1);
    while (!open_.empty() && open_.back().element == &kEnded) open_.pop_back();
  }
  static constexpr Element kEnded{};  // in the place of an element around others
  // The element ends; what was opened in it stays open.
  void end_around(size_t i) {
    Open& o = open_[i];
    --counts_[o.element->number];
    foreign_ -= (o.element->traits & kForeign) != 0 ? 1 : 0;
    if (dropped_ == i + 1) dropped_ = 0;
    if (o.shown) leave(*o.element);
    if (top_ == i + 1) done_ = true;
    o.element = &kEnded;
  }

  void begin(const Element& e) {
    switch (e.role) {
      case Role::block:
      case Role::term:
        out_.break_lines(pre_ > 0 ? 0 : 1);
        break;
      case Role::paragraph:
        out_.break_lines(items_.empty() || e.name != "p" ? 2 : 1);
        break;
      case Role::heading:
        out_.break_lines(2);
        out_.prefix(std::string(static_cast<size_t>(e.name[1] - '0'), '#') + " ");
        ++heading_;
        break;
      case Role::list:
        out_.break_lines(items_.empty() ? 2 : 1);
        items_.push_back(e.name == "ol" ? 1 : 0);
        break;
      case Role::item: {
        out_.break_lines(1);
        std::string mark(items_.empty() ? 0 : 2 * (std::min<size_t>(items_.size(), 8) - 1), ' ');
        mark += items_.empty() || items_.back() == 0 ? "- " : std::to_string(items_.back()++) + ". ";
        out_.prefix(mark);
        break;
      }
      case Role::row:
        out_.break_lines(1), first_cell_ = true;
        break;
      case Role::cell:
        if (!first_cell_) out_.mark("| ");
        first_cell_ = false;
        break;
      case Role::pre:
        if (pre_++ == 0) {
          out_.break_lines(2);
          out_.mark("```\n");
          fresh_pre_ = true;
        }
        break;
      case Role::code:
        if (code_++ == 0 && pre_ == 0 && heading_ == 0) out_.mark("`");
        break;
      case Role::definition:
        out_.break_lines(1), out_.prefix("    ");
        break;
      case Role::line_break:
        if (pre_ > 0)
          out_.literal("\n");
        else
          out_.break_lines(1);
        break;
      default:
        break;
    }
  }

  void leave(const Element& e) {
    switch (e.role) {
      case Role::block:
      case Role::term:
      case Role::item:
      case Role::row:
      case Role::definition:
        out_.break_lines(pre_ > 0 ? 0 : 1);
        break;
      case Role::paragraph:
        out_.break_lines(items_.empty() || e.name != "p" ? 2 : 1);
        break;
      case Role::heading:
        out_.break_lines(2), --heading_;
        break;
      case Role::list:
        if (!items_.empty()) items_.pop_back();
        out_.break_lines(items_.empty() ? 2 : 1);
        break;
      case Role::cell:
        out_.words(" ");
        break;
      case Role::pre:
        if (--pre_ == 0) {
          out_.close("\n```");
          out_.break_lines(2);
        }
        break;
      case Role::code:
        if (--code_ == 0 && pre_ == 0 && heading_ == 0) out_.close("`");
        break;
      default:
        break;
    }
  }

  const Wanted wanted_;
  const Element &table_ = element_of("table"), &row_ = element_of("tr"), &paragraph_ = element_of("p");
  std::string title_;
  TextBuilder out_;
  std::vector<Open> open_;
  std::vector<int> counts_ = std::vector<int>(elements().size() + kUnknown);  // of the open ones, by their number
  // Sizes of open_ when what is wanted, and what is left out, began; 0: it did not.
  size_t top_ = 0, dropped_ = 0;
  std::vector<int> items_;  // of each open list, the number of its next item; 0: it has none
  int pre_ = 0, code_ = 0, heading_ = 0, foreign_ = 0, articles_ = 0;
  bool first_cell_ = true, begun_ = false, done_ = false, too_deep_ = false;
  bool fresh_pre_ = false;  // right behind the start of a <pre>, where a line feed is none
};

// Lines without white space at their ends, no more than one blank line in a row.
std::string tidy(std::string_view text) {
  std::string out;
  int blank = 0;
  while (!text.empty()) {
    std::string_view line = take_line(text);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
    blank = line.empty() ? blank + 1 : 0;
    if (blank > 1 || (out.empty() && line.empty())) continue;
    out.append(line) += '\n';
  }
  return out;
}

}  // namespace

Extracted extract_html(std::string_view bytes) {
  if (bytes.size() > kLargestPage) return skipped("html: larger than 32 MiB");
  const std::string html = to_utf8(bytes);
  Page page(html, Page::Wanted::main);
  if (page.too_deep()) return skipped("html: nested too deeply");
  Extracted result;
  result.title = page.title();
  result.text = tidy(page.one_article() ? Page(html, Page::Wanted::article).take_text() : page.take_text());
  if (result.text.empty()) result.skip = "html: no text";
  return result;
}

std::string html_fragment_text(std::string_view html) { return extract_html(html).text; }

}  // namespace sigma::corpus
