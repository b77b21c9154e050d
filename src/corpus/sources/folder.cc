// Folders of documentation: a site's HTML, a git repository's docs, Microsoft's Markdown. The form of a file is that of
// its name.
#include <filesystem>

#include "base/file.h"
#include "corpus/extract.h"
#include "corpus/source.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr uint64_t kLargestFile = uint64_t{64} << 20;

std::string read_bytes(const std::string& path) {
  ArchiveReader reader(path, ArchiveReader::Content::one_file);
  ArchiveReader::Member member;
  return reader.next(member) ? reader.read_all(kLargestFile) : std::string();
}

}  // namespace

void read_folder(const SourceConfig& config, const Unit& unit, Sink& sink) {
  for (const std::string& path : unit.files) {
    const std::string name = path.starts_with(unit.base + "/") ? path.substr(unit.base.size() + 1) : path;
    const std::optional<Form> form = form_of("/" + name);
    if (!form) {
      sink.skip("folder: not a form of text", name);
      continue;
    }
    Extracted extracted;
    try {
      extracted = extract(*form, read_bytes(path));
    } catch (const Stop&) {
      throw;
    } catch (const Error& e) {
      sink.skip("folder: a damaged file", e.what());
      continue;
    }
    if (!extracted.skip.empty()) {
      sink.skip(extracted.skip, name);
      continue;
    }
    Document document;
    document.id = name;
    document.url = config.url_prefix + name;
    document.title = std::move(extracted.title);
    document.text = std::move(extracted.text);
    document.metadata = {{"form", std::string(form_name(*form))}};
    sink.document(document);
  }
}

}  // namespace sigma::corpus
