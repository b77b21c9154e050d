// Marked-up plain text: Markdown, reStructuredText, info, texinfo. The marks mostly stay, for they are what people (and
// models) read; what goes is machinery: front matter, directives without text, comments, menus, anchors.
#include <algorithm>
#include <array>
#include <map>

#include "corpus/extract.h"
#include "corpus/text_util.h"
#include "text/unicode.h"

namespace sigma::corpus {

namespace {

std::string strip_markup_suffixes(std::string_view path) {
  std::string name = lower_ascii(path.substr(path.rfind('/') + 1));
  for (const std::string_view suffix : {".gz", ".xz", ".bz2", ".zst"})
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  return name;
}

bool is_rule(std::string_view line) {  // a heading's underline: one punctuation character, three times or more
  line = trim(line);
  if (line.size() < 3 || std::isalnum(static_cast<unsigned char>(line[0])) != 0 || line[0] == '.') return false;
  return line.find_first_not_of(line[0]) == std::string_view::npos;
}

std::string first_heading(std::string_view text) {
  std::string_view before;
  for (int i = 0; i < 60 && !text.empty(); ++i) {
    const std::string_view line = take_line(text);
    if (line.starts_with("# ")) return std::string(trim(line.substr(2)));
    if (is_rule(line) && !is_blank(before) && !is_rule(before)) return std::string(trim(before));
    before = line;
  }
  return {};
}

}  // namespace

std::string_view form_name(Form form) {
  static constexpr std::string_view kNames[] = {"html", "man", "markdown", "rst", "info", "texinfo", "latex", "plain"};
  return kNames[static_cast<size_t>(form)];
}

std::optional<Form> form_of(std::string_view path) {
  std::string name = strip_markup_suffixes(path);
  if (name.ends_with(".rst.txt")) return Form::rst;
  const size_t dot = name.rfind('.');
  const std::string suffix = dot == std::string::npos ? "" : name.substr(dot + 1);
  static const std::map<std::string, Form, std::less<>> kForms = {
      {"html", Form::html},         {"htm", Form::html},     {"xhtml", Form::html},      {"md", Form::markdown},
      {"markdown", Form::markdown}, {"mdx", Form::markdown}, {"rst", Form::rst},         {"rest", Form::rst},
      {"info", Form::info},         {"texi", Form::texinfo}, {"texinfo", Form::texinfo}, {"tex", Form::latex},
      {"ltx", Form::latex},         {"txt", Form::plain},    {"text", Form::plain},      {"adoc", Form::plain},
      {"asciidoc", Form::plain},    {"asc", Form::plain}};
  if (const auto found = kForms.find(suffix); found != kForms.end()) return found->second;
  const std::string_view whole = path;
  const bool manual =
      whole.find("/man") != std::string_view::npos && !suffix.empty() && suffix[0] >= '1' && suffix[0] <= '9';
  if (manual) return Form::man;
  for (const std::string_view plain : {"readme", "faq", "howto", "install", "usage", "tutorial", "guide", "overview"})
    if (name.starts_with(plain) && (suffix.empty() || suffix.size() > 5)) return Form::plain;
  for (const std::string_view plain : {"readme.debian", "readme.source"})
    if (name == plain) return Form::plain;
  return std::nullopt;
}

std::string_view file_stem(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  for (int i = 0; i < 3; ++i) {
    const size_t dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0) break;
    const std::string suffix = lower_ascii(name.substr(dot + 1));
    static constexpr std::array<std::string_view, 18> kDropped = {
        "gz",  "xz",  "bz2",  "zst",  "html", "htm", "xhtml", "md",  "markdown",
        "rst", "txt", "text", "info", "texi", "tex", "adoc",  "asc", "asciidoc"};
    if (std::find(kDropped.begin(), kDropped.end(), suffix) == kDropped.end()) break;
    name = name.substr(0, dot);
  }
  return name;
}

namespace {

Extracted extract_as(Form form, std::string_view bytes) {
  switch (form) {
    case Form::html:
      return extract_html(bytes);
    case Form::man:
      return extract_man(bytes);
    case Form::markdown:
      return extract_markdown(bytes);
    case Form::rst:
      return extract_rst(bytes);
    case Form::info:
      return extract_info(bytes);
    case Form::texinfo:
      return extract_texinfo(bytes);
    case Form::latex:
      return extract_latex(bytes);
    case Form::plain:
      return extract_plain(bytes);
  }
  return {};
}

}  // namespace

Extracted extract(Form form, std::string_view bytes) {
  Extracted result = extract_as(form, bytes);
  // Broken markup may end within a character.
  for (std::string* text : {&result.text, &result.title})
    if (!unicode::is_utf8(*text)) *text = to_utf8(*text);
  return result;
}

Extracted extract_plain(std::string_view bytes) {
  Extracted result;
  if (bytes.substr(0, 4096).find('\0') != std::string_view::npos && !bytes.starts_with("\xff\xfe") &&
      !bytes.starts_with("\xfe\xff")) {
    result.skip = "plain: binary";
    return result;
  }
  result.text = to_utf8(bytes);
  std::string_view rest = result.text;
  while (!rest.empty() && result.title.empty()) {
    const std::string_view line = trim(take_line(rest));
    if (!line.empty() && !is_rule(line)) result.title = cut_text(line, 120);
  }
  if (is_blank(result.text)) result.skip = "plain: no text";
  return result;
}

Extracted extract_markdown(std::string_view bytes) {
  Extracted result;
  const std::string all = to_utf8(bytes);
  std::string_view rest = all;
  if (rest.starts_with("---\n") || rest.starts_with("---\r\n")) {  // front matter (YAML): its title is kept
    std::string_view body = rest;
    take_line(body);
    std::string title;
    while (!body.empty()) {
      const std::string_view line = trim(take_line(body));
      if (line.starts_with("title:")) title = trim(line.substr(6));
      if (line != "---" && line != "...") continue;
      rest = body;
      if (title.size() > 1 && (title.front() == '"' || title.front() == '\'') && title.back() == title.front())
        title = title.substr(1, title.size() - 2);
      result.title = title;
      break;
    }
  }
  bool fenced = false, comment = false;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const std::string_view inner = trim(line);
    if (inner.starts_with("```") || inner.starts_with("~~~")) fenced = !fenced;
    if (!fenced) {
      if (inner.starts_with("<!--")) comment = true;
      if (comment) {
        if (inner.find("-->") != std::string_view::npos) comment = false;
        continue;
      }
      // Microsoft's extensions and badges: no text of their own.
      if (inner.starts_with("[!INCLUDE") || inner.starts_with("[![") || inner.starts_with(":::") ||
          (inner.starts_with("![") && inner.ends_with(")")) || (inner.starts_with("<a ") && inner.ends_with("</a>")))
        continue;
      if (inner.starts_with("> [!") && inner.ends_with("]")) {  // an alert: > [!NOTE]
        result.text.append("> ").append(inner.substr(4, inner.size() - 5)) += ":\n";
        continue;
      }
    }
    result.text.append(line) += '\n';
  }
  if (result.title.empty()) result.title = first_heading(result.text);
  if (is_blank(result.text)) result.skip = "markdown: no text";
  return result;
}

namespace {

// `:ref:`text <target>`` and the like: the text alone, as inline code for :option:, :c:func: ... ; ``code`` -> `code`.
std::string rst_inline(std::string_view line) {
  std::string out;
  size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ':' && (i == 0 || std::isalnum(static_cast<unsigned char>(line[i - 1])) == 0)) {  // a role
      size_t end = i + 1;
      while (end < line.size() && (std::isalnum(static_cast<unsigned char>(line[end])) != 0 || line[end] == ':' ||
                                   line[end] == '-' || line[end] == '_' || line[end] == '+'))
        ++end;
      if (end > i + 1 && end < line.size() && line[end - 1] == ':' && line[end] == '`') {
        const size_t close = line.find('`', end + 1);
        if (close != std::string_view::npos) {
          std::string_view inner = line.substr(end + 1, close - end - 1);
          const std::string_view role = line.substr(i + 1, end - i - 2);
          const size_t target = inner.rfind(" <");
          if (target != std::string_view::npos && inner.ends_with('>')) inner = inner.substr(0, target);
          const bool prose = role == "ref" || role == "doc" || role == "term" || role == "numref";
          out.append(prose ? "" : "`").append(inner).append(prose ? "" : "`");
          i = close + 1;
          continue;
        }
      }
    }
    if (line.substr(i).starts_with("``")) {
      out += '`';
      i += 2;
      continue;
    }
    out += line[i++];
  }
  return out;
}

size_t indent_of(std::string_view line) { return std::min(line.find_first_not_of(" \t"), line.size()); }

// A directive's name in ".. name::", empty when the line is none.
std::string_view directive_name(std::string_view inner) {
  if (!inner.starts_with(".. ")) return {};
  const size_t colons = inner.find("::");
  if (colons == std::string_view::npos) return {};
  const std::string_view name = trim(inner.substr(3, colons - 3));
  return name.find(' ') == std::string_view::npos ? name : std::string_view{};
}

enum class Keep : uint8_t { nothing, argument, all };
Keep directive_keeps(std::string_view name) {
  for (const std::string_view gone : {"toctree",
                                      "image",
                                      "figure",
                                      "index",
                                      "contents",
                                      "highlight",
                                      "include",
                                      "literalinclude",
                                      "raw",
                                      "meta",
                                      "only",
                                      "kernel-doc",
                                      "kernel-figure",
                                      "role",
                                      "default-role",
                                      "sectnum",
                                      "tags",
                                      "plot",
                                      "automodule",
                                      "autoclass",
                                      "autofunction",
                                      "module",
                                      "currentmodule",
                                      "moduleauthor",
                                      "sectionauthor",
                                      "c:namespace",
                                      "program",
                                      "graphviz",
                                      "SPDX-License-Identifier"})
    if (name == gone) return Keep::nothing;
  for (const std::string_view block : {"code-block", "code", "sourcecode", "parsed-literal", "math", "container",
                                       "rst-class", "csv-table", "list-table", "table", "flat-table"})
    if (name == block) return Keep::all;
  return Keep::argument;
}

}  // namespace

Extracted extract_rst(std::string_view bytes) {
  Extracted result;
  const std::string all = to_utf8(bytes);
  std::string_view rest = all;
  size_t skipping = std::string_view::npos;  // lines indented deeper than this are left out
  size_t options = std::string_view::npos;   // ":option: value" lines of a directive deeper than this are left out
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const std::string_view inner = trim(line);
    const size_t indent = indent_of(line);
    if (inner.empty()) {
      options = std::string_view::npos;
      if (skipping == std::string_view::npos) result.text += '\n';
      continue;
    }
    if (skipping != std::string_view::npos && indent > skipping) continue;
    skipping = std::string_view::npos;
    if (options != std::string_view::npos && indent > options && inner.starts_with(':')) continue;
    options = std::string_view::npos;
    if (inner.starts_with(".. ") || inner == "..") {
      const std::string_view name = directive_name(inner);
      const Keep keep = directive_keeps(name);
      if (name.empty() || keep == Keep::nothing) {  // a comment, a target, a substitution, or nothing to read
        skipping = indent;
        continue;
      }
      options = indent;
      if (keep == Keep::all) continue;
      const std::string_view argument = trim(inner.substr(inner.find("::") + 2));
      const bool admonition = argument.empty();
      std::string shown(admonition ? name : argument);
      if (admonition) shown[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(shown[0])));
      result.text.append(line.substr(0, indent)).append(rst_inline(shown)).append(admonition ? ":\n" : "\n");
      continue;
    }
    result.text.append(rst_inline(line));
    if (result.text.ends_with("::")) result.text.pop_back();
    result.text += '\n';
  }
  result.title = first_heading(result.text);
  if (is_blank(result.text)) result.skip = "rst: no text";
  return result;
}

Extracted extract_info(std::string_view bytes) {
  Extracted result;
  const std::string all = to_utf8(bytes);
  std::string_view rest = all;
  bool menu = false;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (line.starts_with('\x1f')) {  // between nodes; tables at the end
      const std::string_view next = rest.substr(0, 16);
      if (next.starts_with("Tag Table") || next.starts_with("Local Variables") || next.starts_with("Indirect")) break;
      if (next.starts_with("File: ")) take_line(rest);
      menu = false;
      result.text += '\n';
      continue;
    }
    if (line.starts_with("* Menu:")) {
      menu = true;
      continue;
    }
    if (menu && (line.starts_with("* ") || line.starts_with("  ") || is_blank(line))) continue;
    menu = false;
    if (line.starts_with("This is ") && line.find(".info") != std::string_view::npos) continue;
    if (line.starts_with("START-INFO-DIR-ENTRY")) {
      while (!rest.empty() && !take_line(rest).starts_with("END-INFO-DIR-ENTRY")) {
      }
      continue;
    }
    result.text.append(line) += '\n';
  }
  result.title = first_heading(result.text);
  if (is_blank(result.text)) result.skip = "info: no text";
  return result;
}

namespace {

// "@code{x}" -> "`x`", "@emph{x}" -> "x", "@@" -> "@"; commands nest.
void texinfo_inline(std::string& out, std::string_view line) {
  std::string closers;  // what each open brace leaves at its end: '`' or nothing (0)
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '}' && !closers.empty()) {
      if (closers.back() != 0) out += closers.back();
      closers.pop_back();
      continue;
    }
    if (c != '@' || i + 1 >= line.size()) {
      out += c;
      continue;
    }
    size_t end = i + 1;
    while (end < line.size() && std::isalpha(static_cast<unsigned char>(line[end])) != 0) ++end;
    if (end == i + 1 && static_cast<unsigned char>(line[end]) >= 0x80) continue;  // not a command
    if (end == i + 1) {                                                           // @@ @{ @} @* @: ...
      if (line[end] == '@' || line[end] == '{' || line[end] == '}') out += line[end];
      i = end;
      continue;
    }
    const std::string_view name = line.substr(i + 1, end - i - 1);
    if (end < line.size() && line[end] == '{') {
      const bool code = name == "code" || name == "command" || name == "option" || name == "file" || name == "samp" ||
                        name == "kbd" || name == "env" || name == "verb" || name == "t";
      if (name == "dots") out += "...";
      if (name == "copyright") out += "(C)";
      if (name == "anchor" || name == "cindex" || name == "image") {
        while (end < line.size() && line[end] != '}') ++end;
        i = end;
        continue;
      }
      if (code) out += '`';
      closers += code ? '`' : '\0';
      i = end;
      continue;
    }
    i = end - 1;  // a bare command within a line
  }
}

}  // namespace

Extracted extract_texinfo(std::string_view bytes) {
  Extracted result;
  const std::string all = to_utf8(bytes);
  std::string_view rest = all;
  std::string until;  // lines up to "@end X" are left out
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (!until.empty()) {
      if (line.starts_with("@end " + until)) until.clear();
      continue;
    }
    if (!line.starts_with('@')) {
      texinfo_inline(result.text, line);
      result.text += '\n';
      continue;
    }
    const size_t end = std::min(line.find_first_of(" {@", 1), line.size());
    const std::string_view name = line.substr(1, end - 1);
    const std::string_view argument = trim(line.substr(end));
    if (name == "bye") break;
    if (name == "ignore" || name == "menu" || name == "copying" || name == "titlepage" || name == "direntry" ||
        name == "tex" || name == "iftex" || name == "ifhtml" || name == "html" || name == "ifset" || name == "macro" ||
        name == "detailmenu") {
      until = name;
    } else if (name == "settitle") {
      texinfo_inline(result.title, argument);
    } else if (name == "chapter" || name == "unnumbered" || name == "appendix" || name == "top") {
      result.text += "\n# ";
      texinfo_inline(result.text, argument);
      result.text += '\n';
    } else if (name.ends_with("section") || name.ends_with("sec") || name.ends_with("heading")) {
      result.text += name.starts_with("sub") ? "\n### " : "\n## ";
      texinfo_inline(result.text, argument);
      result.text += '\n';
    } else if (name == "item" || name == "itemx") {
      result.text += "- ";
      texinfo_inline(result.text, argument);
      result.text += '\n';
    } else if (name == "example" || name == "smallexample" || name == "lisp" || name == "verbatim" ||
               line.starts_with("@end example") || line.starts_with("@end smallexample") ||
               line.starts_with("@end lisp") || line.starts_with("@end verbatim")) {
      result.text += "```\n";
    } else if (end < line.size() && line[end] == '{') {  // text that starts with an inline command
      texinfo_inline(result.text, line);
      result.text += '\n';
    }
  }
  if (is_blank(result.text)) result.skip = "texinfo: no text";
  return result;
}

}  // namespace sigma::corpus
