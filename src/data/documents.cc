#include "data/documents.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "net/archive.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = size_t{1} << 30;

bool is_jsonl(std::string_view path) {
  for (const std::string_view suffix : {".zst", ".gz", ".xz", ".bz2"}) {
    if (path.ends_with(suffix)) path.remove_suffix(suffix.size());
  }
  return path.ends_with(".jsonl") || path.ends_with(".json");
}

// The last space between two ASCII letters: words end before it with every pattern, and neither normalization nor a
// special token without spaces looks past it. 0: none.
size_t last_cut(std::string_view text) {
  const auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  for (size_t at = text.rfind(' '); at != std::string_view::npos && at > 0; at = text.rfind(' ', at - 1)) {
    if (at + 1 < text.size() && letter(text[at - 1]) && letter(text[at + 1])) return at;
  }
  return 0;
}

// The `text` of an object; keeps nothing else of what the line holds.
struct TextField {
  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(int64_t) { return other(); }
  bool number_unsigned(uint64_t) { return other(); }
  bool number_float(double, const std::string&) { return other(); }
  bool binary(std::vector<uint8_t>&) { return other(); }
  bool string(std::string& value) {
    if (wanted && depth == 1) {
      std::swap(text, value);
      found = true;
    }
    return other();
  }
  bool key(std::string& value) {
    wanted = depth == 1 && value == "text";
    return true;
  }
  bool start_object(size_t) { return open(); }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(); }
  bool end_array() { return close(); }
  bool parse_error(size_t position, const std::string&, const std::exception&) {
    fault = position;
    return false;
  }
  bool other() {
    wanted = false;
    return true;
  }
  bool open() {
    wanted = false;
    ++depth;
    return true;
  }
  bool close() {
    --depth;
    return true;
  }

  std::string text;
  bool found = false;
  size_t fault = 0;
  bool wanted = false;  // the next value is that of "text"
  int depth = 0;
};

}  // namespace

TextFormat text_format(const std::string& name) {
  if (name == "text") return TextFormat::text;
  return name == "jsonl" ? TextFormat::jsonl : TextFormat::automatic;
}

std::vector<std::string> files_of(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (path != "-" && !fs::exists(status)) throw Error(path, "a file or folder that can be read", error.message());
    if (path == "-" || !fs::is_directory(status)) {
      files.push_back(path);
      continue;
    }
    const size_t before = files.size();
    for (auto entry = fs::recursive_directory_iterator(path, error); !error && entry != fs::end(entry);
         entry.increment(error)) {
      std::error_code ignored;
      if (entry->is_regular_file(ignored)) files.push_back(entry->path().string());
    }
    if (error) throw Error(path, "a folder that can be read", error.message());
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(before), files.end());
    if (files.size() == before) throw Error(path, "files in this folder", "none");
  }
  return files;
}

struct DocumentReader::Impl {
  std::vector<std::string> files;
  TextFormat format;
  LongTexts long_texts;
  size_t next_file = 0;
  std::unique_ptr<ArchiveReader> input;  // of files[next_file - 1]; none between two files
  bool jsonl = false, ended = false;     // of that file
  uint64_t lines = 0, bytes = 0;
  std::string rest;  // read, but behind the end of the last batch

  const std::string& path() const { return files[next_file - 1]; }

  bool open_next() {
    if (next_file == files.size()) return false;
    const std::string& file = files[next_file++];
    jsonl = format == TextFormat::jsonl || (format == TextFormat::automatic && is_jsonl(file));
    input = std::make_unique<ArchiveReader>(file == "-" ? "/dev/stdin" : file, ArchiveReader::Content::one_file);
    ArchiveReader::Member member;
    ended = !input->next(member);
    lines = 0;
    return true;
  }

  // Bytes of the file, behind what is there, until `text` has this many or the file ends.
  void fill(std::string& text, size_t size) {
    size_t done = text.size();
    if (!ended && done < size) text.resize(size);
    while (!ended && done < size) {
      const size_t got = input->read({text.data() + done, size - done});
      ended = got == 0;
      done += got;
      bytes += got;
    }
    text.resize(done);
  }

  // The next part of the open file into `out`, up to a place where it may be cut or to the end of the file.
  template <class LastCut>
  void take_part(std::string& out, const LastCut& cut_of) {
    out.clear();
    std::swap(out, rest);
    for (size_t size = TextBatch::kBytes;; size *= 2) {
      if (size > kMostBytes) throw Error(path(), "lines of at most 1 GiB", "a longer one");
      fill(out, size);
      const size_t cut = ended ? out.size() : cut_of(out);
      if (cut == 0 && !ended) continue;
      rest.assign(out, cut, std::string::npos);
      out.resize(cut);
      return;
    }
  }
  bool at_end() const { return ended && rest.empty(); }
};

DocumentReader::DocumentReader(std::vector<std::string> files, TextFormat format, LongTexts long_texts)
    : impl_(std::make_unique<Impl>()) {
  impl_->files = std::move(files);
  impl_->format = format;
  impl_->long_texts = long_texts;
}

DocumentReader::~DocumentReader() = default;

uint64_t DocumentReader::files_read() const { return impl_->next_file - (impl_->input != nullptr ? 1 : 0); }
uint64_t DocumentReader::bytes_read() const { return impl_->bytes; }

bool DocumentReader::next(TextBatch& batch) {
  Impl& in = *impl_;
  batch.bytes.clear();
  batch.pieces.clear();
  std::string part;
  while (in.input != nullptr || in.open_next()) {
    if (in.jsonl) {
      if (!batch.pieces.empty()) return true;
      batch.jsonl = true;
      batch.path = in.path();
      batch.first_line = in.lines + 1;
      in.take_part(batch.bytes, [](std::string_view text) { return text.rfind('\n') + 1; });
      in.lines += static_cast<uint64_t>(std::count(batch.bytes.begin(), batch.bytes.end(), '\n'));
      if (in.at_end()) in.input.reset();
      if (!batch.bytes.empty()) return true;
      continue;
    }
    batch.jsonl = false;
    in.take_part(part, [&](std::string_view text) { return in.long_texts == LongTexts::cut ? last_cut(text) : 0; });
    batch.pieces.push_back({batch.bytes.size(), part.size(), in.at_end()});
    batch.bytes += part;
    if (in.at_end()) in.input.reset();
    if (batch.bytes.size() >= TextBatch::kBytes / 2) return true;
  }
  return !batch.pieces.empty();
}

void for_each_text(const TextBatch& batch, const std::function<void(std::string_view)>& on_text) {
  uint64_t number = batch.first_line;
  for (std::string_view rest = batch.bytes; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    TextField field;
    const bool parsed = Json::sax_parse(line, &field);
    if (parsed && field.found) {
      on_text(field.text);
      continue;
    }
    throw Error(fmt::format("{}, line {}", batch.path, number), "a JSON object with a string \"text\"",
                parsed ? "none" : fmt::format("no JSON at byte {}", field.fault));
  }
}

}  // namespace sigma
