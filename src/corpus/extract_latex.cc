// LaTeX to text: the body of a paper, section titles as headings, citations and labels gone, formulas as they are
// written. Macros are not expanded: those that only wrap text are seen through, the rest keep their arguments' text.
#include <algorithm>
#include <array>
#include <vector>

#include "corpus/extract.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr size_t kLargestPaper = size_t{16} << 20;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Latex {
 public:
  explicit Latex(std::string_view text) : text_(text) {}

  Extracted run() {
    const size_t body = text_.find("\\begin{document}");
    if (body != std::string_view::npos) {
      read_title(text_.substr(0, body));
      at_ = body + 16;
    }
    const size_t end = text_.find("\\end{document}", at_);
    if (end != std::string_view::npos) text_ = text_.substr(0, end);
    while (at_ < text_.size()) step();
    Extracted result;
    result.title = std::move(title_);
    result.text = std::move(out_);
    if (is_blank(result.text)) result.skip = "latex: no text";
    return result;
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '\\') return command();
    if (c == '%') return comment();
    ++at_;
    if (c == '{' || c == '}') return;
    if (c == '~')
      out_ += ' ';
    else if (c == '$')
      math_ = !math_, out_ += c;
    else if (c == '&' && !math_)
      out_ += "| ";
    else if (text_.substr(at_ - 1).starts_with("``") || text_.substr(at_ - 1).starts_with("''"))
      out_ += '"', ++at_;
    else
      out_ += c;
  }

  void comment() {
    const size_t end = text_.find('\n', at_);
    at_ = end == std::string_view::npos ? text_.size() : end + 1;
  }

  // The text in braces (or brackets) that follows, which is passed; nesting is counted, not recursed into.
  std::string_view group(char open, char close) {
    size_t i = at_;
    while (i < text_.size() && (text_[i] == ' ' || text_[i] == '\n')) ++i;
    if (i >= text_.size() || text_[i] != open) return {};
    int depth = 0;
    const size_t begin = i + 1;
    for (; i < text_.size(); ++i) {
      if (text_[i] == '\\')
        ++i;
      else if (text_[i] == open)
        ++depth;
      else if (text_[i] == close && --depth == 0)
        break;
    }
    at_ = std::min(i + 1, text_.size());
    return begin <= i && i <= text_.size() ? text_.substr(begin, i - begin) : std::string_view{};
  }

  void skip_environment(std::string_view name) {
    const size_t end = text_.find("\\end{" + std::string(name) + "}", at_);
    at_ = end == std::string_view::npos ? text_.size() : end + 6 + name.size();
  }

  void command() {
    size_t end = ++at_;
    while (end < text_.size() && std::isalpha(static_cast<unsigned char>(text_[end])) != 0) ++end;
    if (end == at_) {  // an escaped character or a line break
      if (at_ >= text_.size() || static_cast<unsigned char>(text_[at_]) >= 0x80) return;  // not a command
      const char c = text_[at_++];
      if (c == '\\')
        out_ += '\n';
      else if (c == '[' || c == ']')
        out_ += "\n$$\n";
      else if (c == '(' || c == ')')
        out_ += '$';
      else if (std::string_view("%&_#${}").find(c) != std::string_view::npos)
        out_ += c;
      else if (c == ' ' || c == ',' || c == ';')
        out_ += ' ';
      return;
    }
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    if (math_) {
      out_.append("\\").append(name);
      return;
    }
    if (at_ < text_.size() && text_[at_] == '*') ++at_;
    if (is_one_of(name, {"part", "chapter", "section", "subsection", "subsubsection", "paragraph"})) {
      group('[', ']');
      const std::string_view title = group('{', '}');
      const int level = name == "subsection" ? 2 : name == "subsubsection" || name == "paragraph" ? 3 : 1;
      out_.append("\n\n").append(static_cast<size_t>(level), '#').append(" ").append(title).append("\n\n");
    } else if (is_one_of(name, {"cite",
                                "citep",
                                "citet",
                                "citealp",
                                "label",
                                "ref",
                                "eqref",
                                "autoref",
                                "cref",
                                "Cref",
                                "pageref",
                                "vspace",
                                "hspace",
                                "bibliography",
                                "bibliographystyle",
                                "includegraphics",
                                "input",
                                "include",
                                "usepackage",
                                "newcommand",
                                "renewcommand",
                                "thanks",
                                "pagestyle",
                                "thispagestyle",
                                "setlength",
                                "author",
                                "date",
                                "affiliation",
                                "email",
                                "institute",
                                "nocite",
                                "setcounter",
                                "address"})) {
      group('[', ']');
      group('{', '}');
      if (name == "newcommand" || name == "renewcommand" || name == "setlength" || name == "setcounter") {
        group('[', ']');
        group('{', '}');
      }
      if (name.starts_with("cite") && out_.ends_with(' ')) out_.pop_back();
    } else if (name == "title") {
      title_ = group('{', '}');
    } else if (name == "href") {
      group('{', '}');
    } else if (name == "item") {
      out_ += "\n- ";
      while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    } else if (name == "begin") {
      const std::string environment(group('{', '}'));
      std::string plain = environment;
      if (plain.ends_with('*')) plain.pop_back();
      if (is_one_of(plain,
                    {"figure", "thebibliography", "tikzpicture", "comment", "wrapfigure", "filecontents", "CCSXML"})) {
        skip_environment(environment);
      } else if (is_one_of(plain, {"equation", "align", "gather", "multline", "eqnarray", "displaymath", "math",
                                   "verbatim", "lstlisting", "minted"})) {
        const bool code = plain == "verbatim" || plain == "lstlisting" || plain == "minted";
        group('[', ']');
        const size_t begin = at_;
        skip_environment(environment);
        const size_t length = at_ - begin >= 6 + environment.size() ? at_ - begin - 6 - environment.size() : 0;
        out_.append(code ? "\n```" : "\n$$").append(text_.substr(begin, length)).append(code ? "```\n" : "$$\n");
      } else {
        group('[', ']');
        if (is_one_of(plain, {"tabular", "tabularx", "minipage", "array"})) group('{', '}');
        out_ += '\n';
      }
    } else if (name == "end") {
      group('{', '}');
      out_ += '\n';
    } else if (name == "par") {
      out_ += "\n\n";
    } else if (is_one_of(name, {"LaTeX", "TeX"})) {
      out_ += name;
    } else if (is_one_of(name, {"ldots", "dots"})) {
      out_ += "...";
    }  // whatever else: its arguments in braces are text and come next
  }

  void read_title(std::string_view head) {
    const size_t at = head.find("\\title");
    if (at == std::string_view::npos) return;
    at_ = at + 6;
    if (text_[at_] == '[') group('[', ']');
    title_ = trim(group('{', '}'));
  }

  std::string_view text_;
  size_t at_ = 0;
  bool math_ = false;
  std::string out_, title_;
};

}  // namespace

Extracted extract_latex(std::string_view bytes) {
  Extracted result;
  if (bytes.size() > kLargestPaper) {
    result.skip = "latex: larger than 16 MiB";
    return result;
  }
  const std::string text = to_utf8(bytes);
  result = Latex(text).run();
  return result;
}

}  // namespace sigma::corpus
