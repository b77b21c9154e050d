// HTML to text over gumbo's tree (the only file that includes it). The tree lives in an arena that is dropped whole,
// and is walked along its parent links: neither the depth of the page nor its size meets the program's stack.
#include <gumbo.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <memory>
#include <vector>

#include "corpus/extract.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr size_t kLargestPage = size_t{32} << 20;
constexpr int kDeepest = 1000;

// Gives memory from its blocks and takes none back; more than `most` bytes ends the parse.
class TreeMemory {
 public:
  explicit TreeMemory(size_t most) : most_(most) {}
  static void* allocate(void* self, size_t bytes) { return static_cast<TreeMemory*>(self)->take(bytes); }
  static void release(void*, void*) {}
  std::jmp_buf& escape() { return escape_; }

 private:
  void* take(size_t bytes) {
    bytes = (bytes + 15) & ~size_t{15};
    if (bytes > left_) {
      const size_t block = std::max(bytes, kBlock);
      used_ += block;
      if (used_ > most_) std::longjmp(escape_, 1);  // over gumbo's frames, which are C and own nothing but this memory
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(block));
      next_ = blocks_.back().get();
      left_ = block;
    }
    void* taken = next_;
    next_ += bytes;
    left_ -= bytes;
    return taken;
  }
  static constexpr size_t kBlock = size_t{1} << 20;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::jmp_buf escape_{};
  char* next_ = nullptr;
  size_t left_ = 0, used_ = 0, most_;
};

// Elements that nest without bound in a parser's tree, counted in the text: an upper limit of its depth, give or take
// those that end by themselves. gumbo's time is proportional to size times depth.
bool nests_too_deeply(std::string_view html) {
  static constexpr std::array<std::string_view, 16> kImplied = {
      "p", "li", "dt", "dd", "tr", "td", "th", "br", "hr", "img", "input", "meta", "link", "option", "area", "col"};
  int depth = 0;
  for (size_t at = html.find('<'); at != std::string_view::npos; at = html.find('<', at + 1)) {
    const bool closes = at + 1 < html.size() && html[at + 1] == '/';
    size_t end = at + (closes ? 2 : 1);
    std::string name;
    while (end < html.size() && std::isalnum(static_cast<unsigned char>(html[end])) != 0 && name.size() < 12)
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(html[end++])));
    if (name.empty() || std::find(kImplied.begin(), kImplied.end(), name) != kImplied.end()) continue;
    depth = closes ? std::max(0, depth - 1) : depth + 1;
    if (depth > kDeepest) return true;
  }
  return false;
}

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

std::string_view attribute(const GumboElement& e, const char* name) {
  const GumboAttribute* a = gumbo_get_attribute(&e.attributes, name);
  return a != nullptr ? a->value : "";
}

// Parts of a page that are not its text, by the words in `class` and `id`: what site generators call them.
bool is_furniture(std::string_view names) {
  static constexpr std::string_view kFurniture[] = {"sphinxsidebar",  "related",
                                                    "navheader",      "navfooter",
                                                    "navbar",         "nav",
                                                    "navigation",     "sidebar",
                                                    "breadcrumb",     "breadcrumbs",
                                                    "footer",         "page-footer",
                                                    "headerlink",     "wy-nav-side",
                                                    "wy-nav-top",     "rst-footer-buttons",
                                                    "rst-versions",   "skip-link",
                                                    "cookie",         "prevnext",
                                                    "prev-next",      "side-nav",
                                                    "nav-path",       "navpath",
                                                    "navrow",         "msearchselectwindow",
                                                    "searchbox",      "site-header",
                                                    "site-footer",    "advertisement",
                                                    "share",          "social",
                                                    "comments-form",  "pagination",
                                                    "toc-sidebar",    "docs-sidebar",
                                                    "menu",           "dropdown",
                                                    "docs-top",       "docs-prev",
                                                    "topnav",         "bottomnav",
                                                    "navtop",         "skipnav",
                                                    "hidden",         "sr-only",
                                                    "mw-editsection", "tabs",
                                                    "tablist",        "versionselector"};
  size_t i = 0;
  while (i < names.size()) {
    while (i < names.size() && (names[i] == ' ' || names[i] == '\n')) ++i;
    size_t end = i;
    while (end < names.size() && names[end] != ' ' && names[end] != '\n') ++end;
    const std::string_view word = names.substr(i, end - i);
    for (const std::string_view furniture : kFurniture)
      if (word.size() == furniture.size() && contains_ignoring_case(word, furniture)) return true;
    i = end;
  }
  return false;
}

enum class Role : uint8_t {
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
  definition,
  line_break,
  text
};

Role role_of(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_SVG:
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_IFRAME:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_AUDIO:
    case GUMBO_TAG_VIDEO:
    case GUMBO_TAG_CANVAS:
    case GUMBO_TAG_HEAD:
      return Role::dropped;
    case GUMBO_TAG_P:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_HR:
      return Role::paragraph;
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_SECTION:
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_MAIN:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_FIGCAPTION:
    case GUMBO_TAG_ADDRESS:
    case GUMBO_TAG_DETAILS:
    case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_CENTER:
    case GUMBO_TAG_FORM:
    case GUMBO_TAG_FIELDSET:
    case GUMBO_TAG_CAPTION:
      return Role::block;
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
      return Role::heading;
    case GUMBO_TAG_LI:
      return Role::item;
    case GUMBO_TAG_UL:
    case GUMBO_TAG_OL:
      return Role::list;
    case GUMBO_TAG_TR:
      return Role::row;
    case GUMBO_TAG_TD:
    case GUMBO_TAG_TH:
      return Role::cell;
    case GUMBO_TAG_PRE:
      return Role::pre;
    case GUMBO_TAG_CODE:
    case GUMBO_TAG_TT:
    case GUMBO_TAG_KBD:
    case GUMBO_TAG_SAMP:
      return Role::code;
    case GUMBO_TAG_DD:
      return Role::definition;
    case GUMBO_TAG_BR:
      return Role::line_break;
    default:
      return Role::text;
  }
}

class Walker {
 public:
  explicit Walker(const GumboNode* top) : top_(top) {}

  std::string run() {
    const GumboNode* node = top_;
    bool entering = true;
    while (true) {
      if (entering && enter(node)) {
        const GumboNode* child = child_of(node, 0);
        if (child != nullptr) {
          node = child;
          continue;
        }
      }
      if (entered_) leave(node);
      if (node == top_) break;
      const GumboNode* next = child_of(node->parent, node->index_within_parent + 1);
      entering = next != nullptr;
      node = next != nullptr ? next : node->parent;
      entered_ = true;
    }
    return out_.finish();
  }

 private:
  static const GumboNode* child_of(const GumboNode* node, size_t i) {
    if (node->type != GUMBO_NODE_ELEMENT && node->type != GUMBO_NODE_TEMPLATE) return nullptr;
    const GumboVector& children = node->v.element.children;
    return i < children.length ? static_cast<const GumboNode*>(children.data[i]) : nullptr;
  }

  // Whether the children are to be walked, and leave() called.
  bool enter(const GumboNode* node) {
    entered_ = false;
    if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_CDATA || node->type == GUMBO_NODE_WHITESPACE) {
      if (pre_ > 0) {
        out_.literal(node->v.text.text);
      } else if (std::strcmp(node->v.text.text, "\u00b6") != 0) {
        out_.words(node->v.text.text);
      }
      return false;
    }
    if (node->type != GUMBO_NODE_ELEMENT) return false;
    const GumboElement& e = node->v.element;
    const Role role = role_of(e.tag);
    if (node != top_ &&
        (role == Role::dropped || is_furniture(attribute(e, "class")) || is_furniture(attribute(e, "id"))))
      return false;
    if (const std::string_view kind = attribute(e, "role");
        node != top_ && (kind == "navigation" || kind == "search" || kind == "contentinfo" || kind == "banner"))
      return false;
    entered_ = true;
    begin(e, role);
    return true;
  }

  void begin(const GumboElement& e, Role role) {
    switch (role) {
      case Role::block:
        out_.break_lines(pre_ > 0 ? 0 : 1);
        break;
      case Role::paragraph:
        out_.break_lines(items_.empty() || e.tag != GUMBO_TAG_P ? 2 : 1);
        break;
      case Role::heading:
        out_.break_lines(2);
        out_.prefix(std::string(static_cast<size_t>(e.tag - GUMBO_TAG_H1) + 1, '#') + " ");
        ++heading_;
        break;
      case Role::list:
        out_.break_lines(items_.empty() ? 2 : 1);
        items_.push_back(e.tag == GUMBO_TAG_OL ? 1 : 0);
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

  void leave(const GumboNode* node) {
    if (node->type != GUMBO_NODE_ELEMENT) return;
    const GumboElement& e = node->v.element;
    switch (role_of(e.tag)) {
      case Role::block:
      case Role::item:
      case Role::row:
      case Role::definition:
        out_.break_lines(pre_ > 0 ? 0 : 1);
        break;
      case Role::paragraph:
        out_.break_lines(items_.empty() || e.tag != GUMBO_TAG_P ? 2 : 1);
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

  const GumboNode* top_;
  TextBuilder out_;
  std::vector<int> items_;  // of each open list, the number of its next item; 0: it has none
  int pre_ = 0, code_ = 0, heading_ = 0;
  bool first_cell_ = true, entered_ = true;
};

// The first node in document order for which `wanted` holds.
template <class F>
const GumboNode* find_node(const GumboNode* top, const F& wanted) {
  const GumboNode* node = top;
  while (true) {
    if (node->type == GUMBO_NODE_ELEMENT) {
      if (wanted(node->v.element)) return node;
      if (node->v.element.children.length > 0) {
        node = static_cast<const GumboNode*>(node->v.element.children.data[0]);
        continue;
      }
    }
    while (node != top) {
      const GumboVector& siblings = node->parent->v.element.children;
      if (node->index_within_parent + 1 < siblings.length) {
        node = static_cast<const GumboNode*>(siblings.data[node->index_within_parent + 1]);
        break;
      }
      node = node->parent;
    }
    if (node == top) return nullptr;
  }
}

const GumboNode* main_part(const GumboNode* root) {
  const GumboNode* main =
      find_node(root, [](const GumboElement& e) { return e.tag == GUMBO_TAG_MAIN || attribute(e, "role") == "main"; });
  if (main != nullptr) return main;
  int articles = 0;
  find_node(root, [&](const GumboElement& e) { return e.tag == GUMBO_TAG_ARTICLE && ++articles > 1; });
  if (articles == 1) return find_node(root, [](const GumboElement& e) { return e.tag == GUMBO_TAG_ARTICLE; });
  const GumboNode* body = find_node(root, [](const GumboElement& e) { return e.tag == GUMBO_TAG_BODY; });
  return body != nullptr ? body : root;
}

// `use` gets the root of the tree. False: the parse was ended for its memory.
template <class F>
bool with_tree(std::string_view html, const F& use) {
  TreeMemory memory(html.size() * 64 + (size_t{16} << 20));
  GumboOptions options = kGumboDefaultOptions;
  options.allocator = TreeMemory::allocate;
  options.deallocator = TreeMemory::release;
  options.userdata = &memory;
  options.max_errors = 0;
  const GumboOutput* output = nullptr;
  if (setjmp(memory.escape()) != 0) return false;
  output = gumbo_parse_with_options(&options, html.data(), html.size());
  use(output->root);
  return true;
}

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
  if (nests_too_deeply(html)) return skipped("html: nested too deeply");
  Extracted result;
  const bool whole = with_tree(html, [&](const GumboNode* root) {
    const GumboNode* title = find_node(root, [](const GumboElement& e) { return e.tag == GUMBO_TAG_TITLE; });
    if (title != nullptr && title->v.element.children.length > 0) {
      const auto* child = static_cast<const GumboNode*>(title->v.element.children.data[0]);
      if (child->type == GUMBO_NODE_TEXT) {
        TextBuilder words;
        words.words(child->v.text.text);
        result.title = words.finish();
      }
    }
    result.text = tidy(Walker(main_part(root)).run());
  });
  if (!whole) return skipped("html: too large a tree");
  if (result.text.empty()) result.skip = "html: no text";
  return result;
}

std::string html_fragment_text(std::string_view html) { return extract_html(html).text; }

}  // namespace sigma::corpus
