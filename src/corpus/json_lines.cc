#include "corpus/json_lines.h"

#include "corpus/text_util.h"
#include "net/archive.h"

namespace sigma::corpus {

void each_json_line(const std::string& path, const std::string& kind, Sink& sink,
                    const std::function<void(JsonView)>& f) {
  ArchiveReader archive(path, ArchiveReader::Content::one_file);
  ArchiveReader::Member member;
  if (!archive.next(member)) return;  // empty
  LineReader lines([&](std::span<char> out) { return archive.read(out); }, size_t{64} << 20);
  JsonParser parser;
  std::string_view line;
  for (uint64_t number = 1;; ++number) {
    const LineReader::Status status = lines.next(line);
    if (status == LineReader::Status::end) return;
    const auto where = [&] { return fmt::format("{}:{}", path, number); };
    if (status == LineReader::Status::too_long) {
      sink.skip(kind + ": a line beyond 64 MiB", where());
      continue;
    }
    if (is_blank(line)) continue;
    auto root = parser.parse(line);
    std::string repaired;
    if (!root) {  // bytes that are not UTF-8 are the one fault that can be mended
      repaired = to_utf8(line);
      if (repaired != line) root = parser.parse(repaired);
    }
    if (!root || !root->is_object()) {
      sink.skip(kind + ": a line that is not a JSON object", where());
      continue;
    }
    f(*root);
  }
}

}  // namespace sigma::corpus
