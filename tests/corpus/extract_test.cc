#include "corpus/extract.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(ExtractHtml, KeepsWhatIsReadAndDropsFurniture) {
  const Extracted e =
      extract_html(R"(<!doctype html><html><head><title>VACUUM  &mdash; manual</title><style>p{}</style></head>
<body><nav>Prev Next</nav><div class="navheader">Up</div><div class="sphinxsidebar">Search</div>
<h1>VACUUM<a class="headerlink" href="#">&para;</a></h1>
<p>Reclaims <b>storage</b>,
 see <code>df -h</code>.</p>
<pre>$ vacuum
  --all</pre>
<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul><ol><li>first</li><li>second</li></ol>
<table><tr><th>name</th><th>size</th></tr><tr><td>a</td><td>1</td></tr></table>
<dl><dt>-v</dt><dd>verbose</dd></dl>
<script>var x = "no";</script><footer>Copyright</footer></body></html>)");
  EXPECT_EQ(e.skip, "");
  EXPECT_EQ(e.title, "VACUUM — manual");
  EXPECT_EQ(e.text,
            "# VACUUM\n\nReclaims storage, see `df -h`.\n\n```\n$ vacuum\n  --all\n```\n\n- one\n  - inner\n- "
            "two\n\n1. first\n"
            "2. second\n\nname | size\na | 1\n\n-v\n    verbose\n");
}

TEST(ExtractHtml, TakesTheMainPart) {
  EXPECT_EQ(extract_html("<body>menu<main><p>text</p></main>bottom</body>").text, "text\n");
  EXPECT_EQ(extract_html("<body>menu<div role=main><p>text</p></div></body>").text, "text\n");
  EXPECT_EQ(extract_html("<body><article>one</article></body>").text, "one\n");
  EXPECT_EQ(extract_html("<body><article>one</article><article>two</article></body>").text, "one\ntwo\n");
}

TEST(ExtractHtml, EndsWhatEndsByItself) {
  const auto text = [](const char* html) { return extract_html(html).text; };
  EXPECT_EQ(text("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e"), "- a\n- b\n  - c\n- d\n\ne\n");
  EXPECT_EQ(text("<dl><dt>a<dd>b<p>c<dt>d<dd>e</dl>"), "a\n    b\n\nc\n\nd\n    e\n");
  EXPECT_EQ(text("<p>a<p>b<div>c</p>d</div>"), "a\n\nb\n\nc\n\nd\n");
  EXPECT_EQ(text("<table><tr><td>a<td>b<tr><td>c</table>d"), "a | b\nc\n\nd\n");
  EXPECT_EQ(text("<table><tr><td>a</td></tr><td>b</td><td>c</td></table>"), "a\nb | c\n");  // a row without a tag
  EXPECT_EQ(text("a<td>b</td><tr>c"), "abc\n");  // nothing outside of a table
  EXPECT_EQ(text("<div class=nav>x</table></span></div>a"), "a\n");
  EXPECT_EQ(text("<table><tr><td><div class=nav>x</td><td>a</td></tr></table>"), "| a\n");
  EXPECT_EQ(text("<code>a<p>b</code>c</p>"), "`a\n\nb`c\n");
  EXPECT_EQ(text("<title>x</title>a<svg><g/><title/>x</svg>b"), "ab\n");
}

TEST(ExtractHtml, ReadsTagsAndReferencesAsTheStandardDoes) {
  const auto text = [](const char* html) { return extract_html(html).text; };
  EXPECT_EQ(text("a &lt;b&gt; &amp;amp; &#65;&#x42;; &eacute;&copy &hellip; &nosuch; &lang; AT&T &#x110000; &#150;"),
            "a <b> &amp; AB; \u00e9\u00a9 \u2026 &nosuch; \u27e8 AT&T \ufffd \u2013\n");
  EXPECT_EQ(text("1 < 2 <3 a<!-- x > y -->b<!-->c<?x?>d</ x>e"), "1 < 2 <3 abcde\n");
  EXPECT_EQ(text("<DIV Class='a NavBar' id = x>x</DIV><p data-x=\"a>b\" hidden/>a"), "a\n");
  EXPECT_EQ(text("a<script>x</scripty><b></SCRIPT >b<style><!-- </style>c<textarea></p></textarea>d"), "abcd\n");
  EXPECT_EQ(text("<pre>\n\na &lt;\n  b</pre>"), "```\n\na <\n  b\n```\n");
  EXPECT_EQ(text("a<p class=\"x"), "a\n");  // ends within a tag
  EXPECT_EQ(extract_html("<head><title>a &amp; <b></title></head>b").title, "a & <b>");
}

TEST(ExtractHtml, HostilePagesEnd) {
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "<div>";
  EXPECT_EQ(extract_html(deep).skip, "html: nested too deeply");
  std::string paragraphs;  // that end by themselves
  for (int i = 0; i < 20000; ++i) paragraphs += "<p>x<li>y<td>";
  EXPECT_EQ(extract_html(paragraphs).skip, "");
  std::string formatting = "<p>";  // each paragraph opens all of them again in the standard's tree
  for (int i = 0; i < 900; ++i) formatting += "<b class=" + std::to_string(i) + ">";
  for (int i = 0; i < 2000; ++i) formatting += "</p><p>x";
  EXPECT_EQ(extract_html(formatting).text.substr(0, 6), "x\n\nx\n\n");
  std::string anchors;  // of which none is inside another
  for (int i = 0; i < 20000; ++i) anchors += i % 2 == 0 ? "<a name=x></a>" : "<a>y<b><p></b></p>";
  EXPECT_EQ(extract_html(anchors).skip, "");
  EXPECT_EQ(extract_html("").skip, "html: no text");
  EXPECT_EQ(extract_html(std::string("<p>a\0b\xff\xe9</p>", 13)).skip, "");
}

TEST(ExtractMarkdown, DropsFrontMatterAndMachinery) {
  const Extracted e = extract_markdown(
      "---\ntitle: \"Create a VM\"\nms.date: 01/01/2024\n---\n# Create\n<!-- a\ncomment -->\n[!INCLUDE [x](y.md)]\n> "
      "[!NOTE]\n> Take care.\n"
      "![picture](a.png)\n```azurecli\naz vm create\n<!-- kept -->\n```\n");
  EXPECT_EQ(e.title, "Create a VM");
  EXPECT_EQ(e.text, "# Create\n> NOTE:\n> Take care.\n```azurecli\naz vm create\n<!-- kept -->\n```\n");
  EXPECT_EQ(extract_markdown("# Only\ntext").title, "Only");
}

TEST(ExtractRst, RolesDirectivesAndComments) {
  const Extracted e = extract_rst(
      "Title\n=====\n\n.. _target:\n\n.. toctree::\n   :maxdepth: 2\n\n   a\n   b\n\nSee :ref:`the guide <guide>` and "
      "``ls -l`` by :c:func:`open`.\n\n"
      ".. note::\n\n   Careful.\n\n.. code-block:: sh\n   :linenos:\n\n   $ ls\n\n.. function:: f(x)\n\n   Does "
      "it::\n\n     y = f(x)\n");
  EXPECT_EQ(e.title, "Title");
  EXPECT_TRUE(has(e.text, "See the guide and `ls -l` by `open`.")) << e.text;
  EXPECT_TRUE(has(e.text, "Note:\n\n   Careful.")) << e.text;
  EXPECT_TRUE(has(e.text, "   $ ls")) << e.text;
  EXPECT_TRUE(has(e.text, "f(x)\n\n   Does it:\n")) << e.text;
  EXPECT_FALSE(has(e.text, "toctree") || has(e.text, "maxdepth") || has(e.text, "   a\n") || has(e.text, "linenos") ||
               has(e.text, "_target"))
      << e.text;
}

TEST(ExtractInfo, NodesWithoutMenusAndTables) {
  const Extracted e = extract_info(
      "This is sed.info, produced by makeinfo.\n\nSTART-INFO-DIR-ENTRY\n* sed: "
      "(sed).\nEND-INFO-DIR-ENTRY\n\n\x1f\nFile: sed.info,  Node: Top,  Up: (dir)\n\nGNU sed\n*******\n\n"
      "* Menu:\n\n* Intro::   what\n* Usage::\n\n\x1f\nFile: sed.info,  Node: Intro,  Up: Top\n\nA stream "
      "editor.\n\n\x1f\nTag Table:\nNode: Top\x7f"
      "12\n");
  EXPECT_EQ(e.title, "GNU sed");
  EXPECT_TRUE(has(e.text, "A stream editor."));
  EXPECT_FALSE(has(e.text, "Menu") || has(e.text, "Intro::") || has(e.text, "Node:") || has(e.text, "Tag Table") ||
               has(e.text, "START-INFO"))
      << e.text;
}

TEST(ExtractTexinfo, CommandsBecomeText) {
  const Extracted e = extract_texinfo(
      "\\input texinfo\n@settitle The @code{x} manual\n@copying\nno\n@end copying\n@node Top\n@chapter Using "
      "@command{x}\n@cindex use\n"
      "Run @code{x @var{file}} at user@@host.\n@itemize\n@item one\n@end itemize\n@example\n$ x\n@end "
      "example\n@bye\nnever\n");
  EXPECT_EQ(e.title, "The `x` manual");
  EXPECT_TRUE(has(e.text, "# Using `x`\nRun `x file` at user@host.\n- one\n```\n$ x\n```\n")) << e.text;
  EXPECT_FALSE(has(e.text, "never") || has(e.text, "no\n") || has(e.text, "Top"));
}

TEST(ExtractLatex, BodyWithoutMachinery) {
  const Extracted e = extract_latex(R"(\documentclass{article} % a comment
\title{On \emph{Caches}}
\begin{document}
\maketitle
\section{Introduction}\label{s}
We follow~\cite{a,b} 50\% of ``systems''.
\begin{itemize}\item one \item \textbf{two}\end{itemize}
\begin{equation} x = y^2 \end{equation}
\begin{figure}\caption{gone}\end{figure}
Inline $a_i$ stays.
\begin{thebibliography}{9}\bibitem{a} gone\end{thebibliography}
\end{document} gone)");
  EXPECT_EQ(e.title, "On \\emph{Caches}");
  EXPECT_TRUE(has(e.text, "# Introduction\n\n\nWe follow 50% of \"systems\".")) << e.text;
  EXPECT_TRUE(has(e.text, "- one \n- two")) << e.text;
  EXPECT_TRUE(has(e.text, "x = y^2") && has(e.text, "$a_i$")) << e.text;
  EXPECT_FALSE(has(e.text, "gone") || has(e.text, "cite")) << e.text;
  EXPECT_EQ(extract_latex("\\begin{document}\\begin{figure}").skip, "latex: no text");
}

TEST(ExtractMan, RendersPlainText) {
  if (std::system("command -v mandoc >/dev/null") != 0) GTEST_SKIP() << "mandoc is not installed";
  const Extracted e =
      extract_man(".TH LS 1\n.SH NAME\nls \\- list \\fBdirectory\\fP contents\n.SH OPTIONS\n.TP\n.B \\-a\nall\n");
  EXPECT_EQ(e.title, "LS(1)");
  EXPECT_TRUE(has(e.text, "ls - list directory contents")) << e.text;
  EXPECT_TRUE(has(e.text, "-a")) << e.text;
  EXPECT_EQ(extract_man(".so man1/ls.1\n").skip, "man: another name of a page");
  EXPECT_EQ(extract_man("").skip, "man: no text");
}

// A renderer that dies before it has read its page must not take the program along.
TEST(ExtractMan, ChildThatDies) {
  const test::TempFolder folder;
  write_file(folder.path("mandoc"), "#!/bin/sh\nkill -9 $$\n");
  std::filesystem::permissions(folder.path("mandoc"), std::filesystem::perms::owner_all);
  const std::string before = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  ::setenv("PATH", (folder.path() + ":" + before).c_str(), 1);
  EXPECT_EQ(extract_man(".TH A 1\n" + std::string(4 << 20, 'x')).skip, "man: mandoc crashed or took 10 seconds");
  ::setenv("PATH", "/nonexistent", 1);
  EXPECT_THROW(extract_man(".TH A 1\n"), Error);
  ::setenv("PATH", before.c_str(), 1);
}

TEST(ExtractPlain, TitleAndBinary) {
  EXPECT_EQ(extract_plain("\n=====\nThe title\n=====\ntext").title, "The title");
  std::string accents;  // a title is cut between characters
  for (int i = 0; i < 100; ++i) accents += "\u00e9";
  EXPECT_EQ(extract_plain("x" + accents).title.size(), 119u);
  EXPECT_EQ(extract_plain(std::string("ELF\0\1", 5)).skip, "plain: binary");
  EXPECT_EQ(extract_plain(std::string("\xff\xfeh\0i\0", 6)).text, "hi");
  EXPECT_EQ(extract_plain("caf\xe9 \x93quoted\x94").text, "café “quoted”");
}

TEST(Form, ByName) {
  const auto is = [](std::string_view path, Form form) { return form_of(path) == form; };
  EXPECT_TRUE(is("usr/share/man/man1/ls.1.gz", Form::man));
  EXPECT_TRUE(is("usr/share/man/man3/open.3posix.gz", Form::man));
  EXPECT_TRUE(is("doc/html/a.html", Form::html));
  EXPECT_TRUE(is("doc/_sources/a.rst.txt.gz", Form::rst));
  EXPECT_TRUE(is("doc/README", Form::plain));
  EXPECT_TRUE(is("doc/README.md", Form::markdown));
  EXPECT_FALSE(form_of("doc/logo.png").has_value());
  EXPECT_FALSE(form_of("doc/script.js").has_value());
  EXPECT_EQ(file_stem("html/postconf.5.html.gz"), "postconf.5");
  EXPECT_EQ(file_stem("man5/postconf.5.gz"), "postconf.5");
}

}  // namespace
}  // namespace sigma::corpus
