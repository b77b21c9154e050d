// Files to text, one function per form. What comes out is plain text with Markdown's marks where they carry meaning:
// headings, lists, code blocks, table rows. Input may be anything: every function ends in time and memory proportional
// to its input, and says in `skip` why a file gives no text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sigma::corpus {

struct Extracted {
  std::string title, text;
  std::string skip;  // a reason, in a few words that are the same for every such file; empty: there is text
};

inline Extracted skipped(const std::string& reason) { return {.title = {}, .text = {}, .skip = reason}; }

enum class Form : uint8_t { html, man, markdown, rst, info, texinfo, latex, plain };
std::string_view form_name(Form form);
// By the name of a file, compression suffix and all; nullopt: not a form of text that is read.
std::optional<Form> form_of(std::string_view path);
// The name of the file without folders, compression and form: "html/ovs-vsctl.8.html.gz" -> "ovs-vsctl.8".
std::string_view file_stem(std::string_view path);

Extracted extract(Form form, std::string_view bytes);

Extracted extract_html(std::string_view bytes);  // extract_html.cc
Extracted extract_man(
    std::string_view bytes);  // extract_man.cc: by `mandoc`, a child that gets 10 seconds of processor time
// Of this process's own processor time, what starting, feeding and hearing mandoc took so far; mandoc's apart.
double man_rendering_seconds();
Extracted extract_markdown(std::string_view bytes);  // extract_markup.cc: as it is, without front matter and HTML
Extracted extract_rst(std::string_view bytes);
Extracted extract_info(std::string_view bytes);
Extracted extract_texinfo(std::string_view bytes);
Extracted extract_plain(std::string_view bytes);
Extracted extract_latex(std::string_view bytes);  // extract_latex.cc

// What a piece of HTML inside another format says (the body of a post).
std::string html_fragment_text(std::string_view html);

}  // namespace sigma::corpus
