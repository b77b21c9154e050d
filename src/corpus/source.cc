#include "corpus/source.h"

#include <algorithm>
#include <filesystem>

namespace sigma::corpus {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kDeb[] = {".deb"}, kJson[] = {".json", ".json.gz"},
                           kJsonLines[] = {".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json"},
                           kWarc[] = {".warc", ".warc.gz", ".wet", ".wet.gz"}, kTar[] = {".tar", ".tar.gz"},
                           kPosts[] = {".7z", ".xml", ".xml.gz"}, kMbox[] = {".mbox", ".mbox.gz", ".txt.gz"};
constexpr SourceKind kKinds[] = {
    {"debian", "Debian packages (.deb), their manual pages and documentation", "commands", "unknown", kDeb, false,
     read_debian},
    {"folder",
     "HTML, Markdown (also with front matter), rst, texinfo, LaTeX, man pages and text in folders",
     "blogs",
     "unknown",
     {},
     true,
     read_folder},
    {"stack_exchange", "Posts.xml of a Stack Exchange dump, plain or in its .7z", "stack_exchange", "CC-BY-SA-4.0",
     kPosts, false, read_stack_exchange},
    {"gh_archive", "issues with their comments from GH Archive's hourly files", "github_issues", "unknown", kJson, true,
     read_gh_archive},
    {"warc", "web pages from WARC files, text from WET files", "blogs", "unknown", kWarc, false, read_warc},
    {"arxiv", "LaTeX sources of papers, in arXiv's tar files", "arxiv", "unknown", kTar, false, read_arxiv},
    {"papers", "papers as S2ORC and peS2o have them (JSON lines)", "papers", "unknown", kJsonLines, false, read_papers},
    {"discourse", "topics of a Discourse forum, a JSON file each", "forums", "unknown", kJson, true, read_discourse},
    {"mbox", "mailing lists", "forums", "unknown", kMbox, false, read_mbox},
    {"json_lines", "JSON lines with id and text, as dolma has them", "blogs", "unknown", kJsonLines, false,
     read_json_lines},
};

constexpr uint64_t kBatchBytes = uint64_t{32} << 20;
constexpr size_t kBatchFiles = 1000;

bool is_wanted(const SourceKind& kind, const std::string& path) {
  if (kind.suffixes.empty()) return true;
  return std::any_of(kind.suffixes.begin(), kind.suffixes.end(), [&](std::string_view s) { return path.ends_with(s); });
}

struct Found {
  std::string path, base;
  uint64_t bytes;
};

void search(std::vector<Found>& out, const SourceKind& kind, const std::string& top) {
  std::error_code error;
  const fs::file_status status = fs::status(top, error);
  if (error || !fs::exists(status)) throw Error(top, "a file or folder of the source", "nothing");
  if (!fs::is_directory(status)) {
    out.push_back({top, fs::path(top).parent_path().string(), fs::file_size(top)});
    return;
  }
  const size_t first = out.size();
  // Links are not followed: they could lead anywhere, or in circles.
  for (auto entry = fs::recursive_directory_iterator(top); entry != fs::end(entry); ++entry) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    if (entry->is_symlink() || !entry->is_regular_file() || !is_wanted(kind, entry->path().string())) continue;
    out.push_back({entry->path().string(), top, entry->file_size()});
  }
  std::sort(out.begin() + static_cast<ptrdiff_t>(first), out.end(),
            [](const Found& a, const Found& b) { return a.path < b.path; });
}

}  // namespace

std::span<const SourceKind> source_kinds() { return kKinds; }

const SourceKind& source_kind(const std::string& name, const std::string& where) {
  std::string names;
  for (const SourceKind& kind : kKinds) {
    if (kind.name == name) return kind;
    names.append(names.empty() ? "" : ", ").append(kind.name);
  }
  throw Error(where, "one of the kinds " + names, printable(name));
}

std::vector<Unit> list_units(const SourceConfig& config) {
  const SourceKind& kind = source_kind(config.kind, config.name);
  std::vector<Found> files;
  for (const std::string& path : config.paths) {
    try {
      search(files, kind, path);
    } catch (const fs::filesystem_error& e) {
      throw Error(path, "a folder that can be read", e.code().message());
    }
  }
  std::vector<Unit> units;
  for (Found& file : files) {
    const bool joins = kind.batches && !units.empty() && units.back().base == file.base &&
                       units.back().files.size() < kBatchFiles && units.back().bytes + file.bytes <= kBatchBytes;
    if (!joins) units.push_back({.files = {}, .base = file.base});
    units.back().files.push_back(std::move(file.path));
    units.back().bytes += file.bytes;
  }
  return units;
}

}  // namespace sigma::corpus
