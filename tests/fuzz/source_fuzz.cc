// Any bytes as an input of any kind of source that reads single files (the first byte says which): each is read into
// documents, or refused with an Error.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "corpus/evaluation.h"
#include "corpus/source.h"

namespace {

class Nowhere : public sigma::corpus::Sink {
 public:
  void document(sigma::corpus::Document& d) override {
    if (d.text.empty()) std::abort();
  }
  void skip(const std::string& reason, const std::string&) override {
    if (reason.empty()) std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  if (size == 0) return 0;
  static const std::string folder = [] {
    std::string path = std::filesystem::temp_directory_path() / "sigma-fuzz-XXXXXX";
    return ::mkdtemp(path.data()) != nullptr ? path : std::string("/tmp");
  }();
  struct Kind {
    const char *kind, *file;
  };
  constexpr Kind kKinds[] = {{"debian", "a.deb"},        {"stack_exchange", "Posts.xml"},
                             {"stack_exchange", "a.7z"}, {"gh_archive", "a.json"},
                             {"warc", "a.warc"},         {"arxiv", "a.tar"},
                             {"papers", "a.jsonl"},      {"discourse", "a.json"},
                             {"mbox", "a.mbox"},         {"json_lines", "a.jsonl"}};
  const Kind& kind = kKinds[data[0] % std::size(kKinds)];
  const std::string path = folder + "/" + kind.file;
  // Not write_file(), which waits for the disk.
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data) + 1, static_cast<std::streamsize>(size - 1));
  corpus::SourceConfig config;
  config.name = config.kind = kind.kind;
  config.metadata = kind.kind == std::string_view("arxiv") ? path : "";
  Nowhere sink;
  try {
    corpus::source_kind(kind.kind, "fuzz")
        .read(config, {.files = {path}, .base = folder, .scratch = folder + "/scratch", .bytes = size}, sink);
  } catch (const Error&) {  // an expected answer to most bytes
  }
  return 0;
}
