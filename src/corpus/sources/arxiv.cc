// arXiv's bulk sources: a tar with a .gz for each paper, which holds a tar of LaTeX files or one LaTeX file (or a PDF,
// which has no text here). Titles, categories and licences come from arXiv's metadata, JSON lines {id, title, abstract,
// categories, license}, of which only the places of lines are kept in memory.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/file.h"
#include "corpus/extract.h"
#include "corpus/json_view.h"
#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr uint64_t kLargestPaper = uint64_t{64} << 20;
constexpr int kDeepestInput = 8;

class Metadata {
 public:
  explicit Metadata(const std::string& path) {
    if (path.empty()) return;
    file_ = MappedFile(path);
    std::string_view rest = file_.text();
    while (!rest.empty()) {
      const auto at = static_cast<uint64_t>(rest.data() - file_.text().data());
      const std::string_view line = take_line(rest);
      const std::string_view id = raw_id(line);
      if (!id.empty()) lines_[hash_bytes(id)] = at;
    }
  }
  // Fills in what is known of the paper.
  void apply(Document& d) {
    const auto found = lines_.find(hash_bytes(d.id));
    if (found == lines_.end()) return;
    std::string_view rest = file_.text().substr(found->second);
    const auto root = parser_.parse(take_line(rest));
    if (!root || root->text("id") != d.id) return;
    if (!root->text("title").empty()) d.title = one_line(root->text("title"));
    d.licence = root->text("license");
    d.metadata.emplace_back("categories", root->text("categories"));
    if (!root->text("abstract").empty() && d.text.find("abstract") == std::string::npos)
      d.text = "Abstract: " + one_line(root->text("abstract")) + "\n\n" + d.text;
  }

 private:
  // Of {"id":"0704.0001",...} the text of the id, without parsing the rest.
  static std::string_view raw_id(std::string_view line) {
    const size_t key = line.find("\"id\"");
    if (key == std::string_view::npos) return {};
    const size_t begin = line.find('"', key + 4);
    const size_t end = begin == std::string_view::npos ? begin : line.find('"', begin + 1);
    return end == std::string_view::npos ? std::string_view{} : line.substr(begin + 1, end - begin - 1);
  }
  static std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : trim(text)) {
      const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
      if (!space)
        out += c;
      else if (!out.ends_with(' '))
        out += ' ';
    }
    return out;
  }
  MappedFile file_;
  std::unordered_map<uint64_t, uint64_t> lines_;
  JsonParser parser_;
};

using Files = std::map<std::string, std::string>;

// The main file with the files it takes in put in their places.
void expand(std::string& out, const Files& files, const std::string& name, int depth) {
  const auto file = files.find(name);
  if (file == files.end() || depth > kDeepestInput) return;
  std::string_view rest = file->second;
  while (!rest.empty() && out.size() <= kLargestPaper / 4) {
    const std::string_view line = take_line(rest);
    const std::string_view inner = trim(line);
    size_t brace = std::string_view::npos;
    for (const std::string_view command : {"\\input{", "\\include{", "\\subfile{"})
      if (inner.starts_with(command)) brace = command.size();
    const size_t close = brace == std::string_view::npos ? brace : inner.find('}', brace);
    if (close == std::string_view::npos) {
      out.append(line) += '\n';
      continue;
    }
    std::string wanted(inner.substr(brace, close - brace));
    if (wanted.starts_with("./")) wanted = wanted.substr(2);
    if (!files.contains(wanted)) wanted += ".tex";
    expand(out, files, wanted, depth + 1);
  }
}

void read_paper(const std::string& id, const std::string& packed, const std::string& where, Metadata& metadata,
                Sink& sink) {
  ArchiveReader outer(packed, where, ArchiveReader::Content::one_file);
  ArchiveReader::Member member;
  const std::string bytes = outer.next(member) ? outer.read_all(kLargestPaper) : std::string();
  Files files;
  if (bytes.size() > 262 && std::string_view(bytes).substr(257, 5) == "ustar") {
    ArchiveReader inner(bytes, where, ArchiveReader::Content::members);
    while (inner.next(member))
      if (member.regular && member.path.ends_with(".tex")) {
        std::string name = member.path.starts_with("./") ? member.path.substr(2) : member.path;
        files[name] = inner.read_all(kLargestPaper);
      }
  } else {
    files["main.tex"] = bytes;
  }
  std::string main;
  for (const auto& [name, text] : files)
    if (text.find("\\documentclass") != std::string::npos || text.find("\\documentstyle") != std::string::npos)
      if (main.empty() || text.size() > files[main].size()) main = name;
  if (main.empty()) return sink.skip("arxiv: no LaTeX", id);
  std::string whole;
  expand(whole, files, main, 0);
  Extracted extracted = extract_latex(whole);
  if (!extracted.skip.empty()) return sink.skip(extracted.skip, id);
  Document d;
  d.id = id;
  d.url = "https://arxiv.org/abs/" + id;
  d.title = std::move(extracted.title);
  d.text = std::move(extracted.text);
  metadata.apply(d);
  sink.document(d);
}

}  // namespace

void read_arxiv(const SourceConfig& config, const Unit& unit, Sink& sink) {
  const std::string& path = unit.files.at(0);
  Metadata metadata(config.metadata);
  ArchiveReader archive(path, ArchiveReader::Content::members);
  ArchiveReader::Member member;
  while (archive.next(member)) {
    if (!member.regular) continue;
    const std::string name = member.path.substr(member.path.rfind('/') + 1);
    if (!name.ends_with(".gz")) {
      sink.skip("arxiv: not a LaTeX source", name);
      continue;
    }
    const std::string id = name.substr(0, name.size() - 3);
    const std::string packed = archive.read_all(kLargestPaper);
    try {
      read_paper(id, packed, fmt::format("{}:{}", path, name), metadata, sink);
    } catch (const Stop&) {
      throw;
    } catch (const Error& e) {
      sink.skip("arxiv: a damaged paper", e.what());
    }
  }
}

}  // namespace sigma::corpus
