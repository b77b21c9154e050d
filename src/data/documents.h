// Reads documents from text and JSONL files, plain or compressed, front to back in pieces that can be tokenised apart:
// a word of the text never spans two of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sigma {

// automatic: JSONL where the file's name, without what a compressor appends, ends in .jsonl or .json.
enum class TextFormat : uint8_t { automatic, text, jsonl };
TextFormat text_format(const std::string& name);  // "auto", "text", "jsonl"

// The files that paths stand for: themselves, or of a folder all regular files in it and below, by name.
// Error: nothing there.
std::vector<std::string> files_of(const std::vector<std::string>& paths);

// About kBytes of input: whole lines of a JSONL file, or texts and parts of texts.
struct TextBatch {
  static constexpr size_t kBytes = size_t{1} << 20;
  struct Piece {
    size_t begin = 0, size = 0;  // in bytes
    bool ends_document = true;
  };
  std::string bytes;
  std::vector<Piece> pieces;  // empty for JSONL
  bool jsonl = false;
  std::string path;         // JSONL: of the file
  uint64_t first_line = 0;  // JSONL: the number of its first line, from 1
};

class DocumentReader {
 public:
  // Whether a long text may be cut in parts, between two words.
  enum class LongTexts : uint8_t { whole, cut };
  // A file "-" is standard input.
  DocumentReader(std::vector<std::string> files, TextFormat format, LongTexts long_texts);
  ~DocumentReader();
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  // The next batch; false at the end.  Error: a file that cannot be read, is damaged, or has a line (a text that may
  // not be cut) of more than 1 GiB.
  bool next(TextBatch& batch);
  uint64_t files_read() const;  // whole ones
  uint64_t bytes_read() const;  // decompressed

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Calls on_text(text) for the `text` of every object in the batch's lines, in order; empty lines are passed over.
// Error: names file and line of what is not a JSON object with a string `text`.
void for_each_text(const TextBatch& batch, const std::function<void(std::string_view)>& on_text);

}  // namespace sigma
