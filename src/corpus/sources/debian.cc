// Debian packages, read as they are: nothing is installed or unpacked onto the disk. A package often ships one manual
// in several forms; one of them becomes text.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/file.h"
#include "corpus/debian_sets.h"
#include "corpus/extract.h"
#include "corpus/source.h"
#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace {

constexpr uint64_t kLargestPackage = uint64_t{2} << 30;  // data.tar as it is stored
constexpr uint64_t kLargestFile = uint64_t{64} << 20;
constexpr uint64_t kLargestDocumentation = uint64_t{384} << 20;  // held at once, as stored in data.tar

struct Candidate {
  std::string path;  // within the package
  std::string key;   // what forms of one manual share
  Form form;
  std::string bytes;
};

struct Package {
  std::string name, version, section, licence = "unknown";
  std::vector<Candidate> files;
  std::set<std::string, std::less<>> manuals;  // names of its manual pages: tool.1 and tool
};

// Licences as a machine-readable copyright file names them, else those that its text names.
std::string licence_of(std::string_view text) {
  std::vector<std::string> found;
  const auto add = [&](std::string_view name) {
    if (!name.empty() && name.size() < 60 && std::find(found.begin(), found.end(), name) == found.end() &&
        found.size() < 8)
      found.emplace_back(name);
  };
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (line.starts_with("License:")) add(trim(line.substr(8)));
  }
  if (found.empty()) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kNames = {
        {{"/common-licenses/GPL-3", "GPL-3"},
         {"/common-licenses/GPL-2", "GPL-2"},
         {"/common-licenses/GPL", "GPL"},
         {"/common-licenses/LGPL", "LGPL"},
         {"/common-licenses/GFDL", "GFDL"},
         {"/common-licenses/Apache-2.0", "Apache-2.0"},
         {"/common-licenses/BSD", "BSD-3-clause"},
         {"/common-licenses/Artistic", "Artistic"},
         {"PostgreSQL", "PostgreSQL"},
         {"Permission is hereby granted, free of charge", "MIT"},
         {"Redistribution and use in source and binary forms", "BSD"},
         {"IBM PUBLIC LICENSE", "IPL"}}};
    for (const auto& [mark, name] : kNames)
      if (text.find(mark) != std::string_view::npos) add(name);
  }
  std::string joined;
  for (const std::string& name : found) joined.append(joined.empty() ? "" : ", ").append(name);
  return joined.empty() ? "see the package's copyright file" : joined;
}

constexpr std::string_view kPulling[] = {".. auto",           ".. literalinclude::", ".. include::",
                                         ".. show-options::", ".. show-policy::",    ".. oslo",
                                         ".. click::",        ".. program-output::"};

bool starts_any(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [&](std::string_view s) { return text.starts_with(s); });
}

// Pages of generated documentation that list names and no text.
bool is_index_page(std::string_view name) {
  const bool listing =
      starts_any(name, {"genindex", "search.", "py-modindex", "globals", "functions_", "functions.", "annotated.",
                        "classes.", "files.", "hierarchy.", "dir_", "graph_legend", "modules.", "bookindex",
                        "http-routingtable", "deprecated-list", "api-index", "index-all", "allclasses"});
  return (listing && name.find(".htm") != std::string_view::npos) ||
         name.find("_source.html") != std::string_view::npos || name.find("-members.html") != std::string_view::npos;
}

// What a member of the package is: empty when it is documentation, else the reason why it is left out; nullptr when it
// is no candidate at all (programs, pictures, ...).
const char* left_out(std::string_view path, const std::optional<Form>& form) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const bool manual = path.starts_with("usr/share/man/"), info = path.starts_with("usr/share/info/");
  const bool document =
      starts_any(path, {"usr/share/doc/", "usr/share/gtk-doc/", "usr/share/help/", "usr/lib/python3/dist-packages/"}) ||
      path.find("/doc/") != std::string_view::npos || path.find("/html/") != std::string_view::npos;
  if (!manual && !info && !document) return nullptr;
  if (path.starts_with("usr/lib/")) return nullptr;
  if (manual) return path.starts_with("usr/share/man/man") ? "" : "debian: a translation";
  if (name.starts_with("copyright")) return nullptr;
  const std::string lower = lower_ascii(name);
  if (starts_any(lower, {"changelog", "news", "changes", "history", "todo", "authors", "thanks", "contributors",
                         "credits", "maintainers", "release-notes", "releasenotes"}))
    return "debian: a list of changes or names";
  if (!form) return nullptr;
  if (path.find("/translations/") != std::string_view::npos) return "debian: a translation";
  if (is_index_page(name)) return "debian: an index page";
  if (name.starts_with("README.Debian") || name.starts_with("README.source")) return "";
  return "";
}

// "usr/share/doc/p/html/_sources/a/b.rst.txt.gz" and "usr/share/doc/p/html/a/b.html" have one key.
std::string key_of(std::string_view path) {
  std::string key;
  std::string_view rest = path.substr(0, path.rfind('/') + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('/');
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    static constexpr std::array<std::string_view, 12> kForms = {"html",  "_sources", "txt",           "text",
                                                                "rst",   "md",       "Documentation", "info",
                                                                "plain", "source",   "singlehtml",    "sgml"};
    if (std::find(kForms.begin(), kForms.end(), part) == kForms.end()) key.append(part) += '/';
  }
  return key.append(file_stem(path));
}

constexpr int kLast = 6;
int preference(Form form) {  // of the forms of one manual the least wins
  switch (form) {
    case Form::rst:
      return 0;
    case Form::markdown:
      return 1;
    case Form::html:
      return 2;
    case Form::texinfo:
      return 3;
    case Form::info:
      return 4;
    default:
      return 5;
  }
}

void read_control(Package& package, std::string_view tar, const std::string& where) {
  ArchiveReader archive(tar, where, ArchiveReader::Content::members);
  ArchiveReader::Member member;
  while (archive.next(member)) {
    if (!member.path.ends_with("control")) continue;
    const std::string control = archive.read_all(kLargestFile);
    std::string_view rest = control;
    while (!rest.empty()) {
      const std::string_view line = take_line(rest);
      if (line.starts_with("Package:")) package.name = trim(line.substr(8));
      if (line.starts_with("Version:")) package.version = trim(line.substr(8));
      if (line.starts_with("Section:")) package.section = trim(line.substr(8));
    }
  }
}

void read_data(Package& package, std::string_view tar, const std::string& where, Sink& sink) {
  ArchiveReader archive(tar, where, ArchiveReader::Content::members);
  ArchiveReader::Member member;
  uint64_t held = 0;
  while (archive.next(member)) {
    std::string_view path = member.path;
    while (path.starts_with("./") || path.starts_with('/')) path.remove_prefix(path.starts_with('/') ? 1 : 2);
    if (!member.regular) continue;  // folders, and links to what comes by its own name
    if (path.ends_with("/copyright") && path.starts_with("usr/share/doc/")) {
      package.licence = licence_of(archive.read_all(kLargestFile));
      continue;
    }
    std::optional<Form> form = form_of(path);
    if (path.starts_with("usr/share/info/") && path.find(".info") != std::string_view::npos) form = Form::info;
    const char* reason = left_out(path, form);
    if (reason == nullptr) continue;
    const std::string shown = package.name + ":" + std::string(path);
    if (*reason != '\0') {
      sink.skip(reason, shown);
      continue;
    }
    if (!form) {
      sink.skip("debian: a manual page of an unknown section", shown);
      continue;
    }
    Candidate candidate{
        .path = std::string(path), .key = key_of(path), .form = *form, .bytes = archive.read_all(kLargestFile)};
    held += candidate.bytes.size();
    if (held > kLargestDocumentation) throw Error(where, "at most 384 MiB of documentation in a package", "more");
    package.files.push_back(std::move(candidate));
  }
}

// An rst file whose text is elsewhere: directives have the documentation of programs or other files pulled in, which
// only the rendered page shows.
bool is_skeleton(const Candidate& c) {
  if (c.form != Form::rst || c.path.ends_with(".gz")) return false;
  return std::any_of(std::begin(kPulling), std::end(kPulling),
                     [&](std::string_view directive) { return c.bytes.find(directive) != std::string::npos; });
}

void add_names(std::set<std::string, std::less<>>& names, std::string_view page) {
  names.emplace(page);
  const size_t section = page.rfind('.');  // MPI_Put.3, function::ns_gid.3stap
  if (section != std::string_view::npos && section + 1 < page.size() &&
      std::isdigit(static_cast<unsigned char>(page[section + 1])) != 0)
    names.emplace(page.substr(0, section));
}

// Leaves one form of each manual.
void choose_forms(Package& package, Sink& sink) {
  std::map<std::string, int> best;
  const auto preference_of = [](const Candidate& c) { return is_skeleton(c) ? kLast : preference(c.form); };
  uint64_t pages_bytes = 0;
  for (const Candidate& c : package.files) {
    const auto [at, fresh] = best.emplace(c.key, preference_of(c));
    if (!fresh) at->second = std::min(at->second, preference_of(c));
    if (c.form == Form::man) add_names(package.manuals, file_stem(c.path));
    if (c.form == Form::html || c.form == Form::rst) pages_bytes += c.bytes.size();
  }
  std::vector<Candidate> chosen;
  std::set<std::string> seen;
  std::sort(package.files.begin(), package.files.end(),
            [](const Candidate& a, const Candidate& b) { return a.path < b.path; });
  for (Candidate& c : package.files) {
    const bool other_form = c.form != Form::man && preference_of(c) > best.at(c.key);
    const bool is_manual = c.form == Form::html && package.manuals.contains(file_stem(c.path));
    const bool is_info = c.form == Form::info && pages_bytes / 2 > c.bytes.size();
    if (other_form || is_manual || is_info || (c.form != Form::man && !seen.insert(c.key).second)) {
      sink.skip("debian: another form of a manual", package.name + ":" + c.path);
      continue;
    }
    chosen.push_back(std::move(c));
  }
  package.files = std::move(chosen);
}

void emit(const Package& package, Candidate& candidate, Sink& sink) {
  const std::string what = package.name + ":" + candidate.path;
  std::string inflated;
  Extracted extracted;
  try {
    std::string_view bytes = candidate.bytes;
    if (candidate.path.ends_with(".gz") || candidate.path.ends_with(".xz") || candidate.path.ends_with(".bz2")) {
      ArchiveReader reader(candidate.bytes, what, ArchiveReader::Content::one_file);
      ArchiveReader::Member member;
      if (reader.next(member)) inflated = reader.read_all(kLargestFile);
      bytes = inflated;
    }
    extracted = extract(candidate.form, bytes);
  } catch (const Stop&) {
    throw;
  } catch (const Error& e) {
    return sink.skip("debian: a damaged file", e.what());
  }
  if (!extracted.skip.empty()) return sink.skip(extracted.skip, what);
  // A page under another name: titled as a manual page of the package.
  if (candidate.form == Form::html && package.manuals.contains(trim(extracted.title)))
    return sink.skip("debian: another form of a manual", what);
  Document document;
  document.id = what;
  document.category = debian_category(package.name);
  document.licence = package.licence;
  document.url = "/" + candidate.path;
  document.title = std::move(extracted.title);
  document.text = std::move(extracted.text);
  document.metadata = {{"package", package.name},
                       {"version", package.version},
                       {"section", package.section},
                       {"form", std::string(form_name(candidate.form))}};
  sink.document(document);
}

}  // namespace

void read_debian(const SourceConfig&, const Unit& unit, Sink& sink) {
  for (const std::string& path : unit.files) {
    Package package;
    ArchiveReader archive(path, ArchiveReader::Content::members);
    ArchiveReader::Member member;
    bool data = false;
    while (archive.next(member)) {
      if (member.path.starts_with("control.tar")) read_control(package, archive.read_all(kLargestPackage), path);
      if (!member.path.starts_with("data.tar")) continue;
      data = true;
      read_data(package, archive.read_all(kLargestPackage), path, sink);
    }
    if (!data || package.name.empty()) throw Error(path, "a Debian package", "an archive without control and data");
    choose_forms(package, sink);
    for (Candidate& candidate : package.files) {
      emit(package, candidate, sink);
      candidate.bytes = {};
    }
  }
}

}  // namespace sigma::corpus
