// The one interface of all sources. A kind of source is a row in a table: it lists its inputs as units (what is read in
// one go, by one thread, and again from its start after a crash), and reads a unit into documents.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "corpus/document.h"

namespace sigma::corpus {

// A fault that must end the run: a full disk, a program that is not there. Any other Error that a reader throws is
// about its unit, which is then counted as damaged, with all that was read before.
class Stop : public Error {
 public:
  using Error::Error;
  explicit Stop(const Error& e) : Error(e) {}
};

// One [[source]] of the configuration.
struct SourceConfig {
  std::string name, kind;
  std::string category, licence;   // of documents that do not say; empty: what the kind gives
  std::string url_prefix;          // before the path of a file, for kinds that read folders
  std::vector<std::string> paths;  // files, or folders that are searched
  std::string metadata;            // a file beside them (arXiv)
};

struct Unit {
  std::vector<std::string> files;  // one, or a batch of small ones
  std::string base;                // the folder below which files have their names
  std::string scratch;             // temporary files may be made of this path and a suffix
  uint64_t bytes = 0;
};

// Takes what a reader finds.
class Sink {
 public:
  virtual ~Sink() = default;
  // Fills in the source's name and, where the document has none, its category and licence.
  virtual void document(Document& document) = 0;
  // Something that gives no document: reasons are few and short, `what` is an example of it.
  virtual void skip(const std::string& reason, const std::string& what) = 0;
};

struct SourceKind {
  std::string_view name, summary;
  std::string_view category, licence;          // defaults
  std::span<const std::string_view> suffixes;  // of the files that are read; empty: every file
  bool batches;                                // many small files make one unit
  void (*read)(const SourceConfig& config, const Unit& unit, Sink& sink);
};

std::span<const SourceKind> source_kinds();
const SourceKind& source_kind(const std::string& name, const std::string& where);  // Error: no such kind

// The units of a source, in an order that depends on the names of its files alone. Error: a path that is not there.
std::vector<Unit> list_units(const SourceConfig& config);

// The kinds, one file each in sources/.
void read_debian(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_folder(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_stack_exchange(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_gh_archive(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_warc(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_arxiv(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_papers(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_discourse(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_mbox(const SourceConfig& config, const Unit& unit, Sink& sink);
void read_json_lines(const SourceConfig& config, const Unit& unit, Sink& sink);

}  // namespace sigma::corpus
