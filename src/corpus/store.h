// Documents on disk between the stages: JSON lines, compressed with zstd (`zstdcat FILE | jq` shows them).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "corpus/document.h"

namespace sigma::corpus {

// Writes one compressed file, whole or not at all. The same documents give the same bytes.
class DocumentWriter {
 public:
  explicit DocumentWriter(const std::string& path);
  ~DocumentWriter();
  void write(const Document& document);
  void commit();
  uint64_t text_bytes() const { return text_bytes_; }
  uint64_t documents() const { return documents_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string line_;
  uint64_t text_bytes_ = 0, documents_ = 0;
};

// Calls f for every document of a file, in order, in bounded memory. Error: damaged, or not documents.
void read_documents(const std::string& path, const std::function<void(Document&)>& f);
// One line of them. Error with `where` unless it is one document.
class DocumentParser {
 public:
  DocumentParser();
  ~DocumentParser();
  void parse(std::string_view line, const std::string& where, Document& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sigma::corpus
