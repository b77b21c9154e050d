#include "corpus/store.h"

#include <zstd.h>

#include <vector>

#include "base/error.h"
#include "corpus/json_view.h"

namespace sigma::corpus {

namespace {

constexpr int kLevel = 1;
constexpr size_t kLongestLine = size_t{1} << 30;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

}  // namespace

struct DocumentWriter::Impl {
  explicit Impl(const std::string& path) : file(path), context(ZSTD_createCCtx()), out(ZSTD_CStreamOutSize()) {
    SIGMA_CHECK(context != nullptr);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  }
  void write(std::string_view bytes, ZSTD_EndDirective end) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t left = 0;
    do {
      ZSTD_outBuffer room{out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context.get(), &room, &in, end);
      SIGMA_CHECK(ZSTD_isError(left) == 0);
      file.write(std::string_view(out.data(), room.pos));
    } while (in.pos < in.size || (end == ZSTD_e_end && left != 0));
  }
  FileWriter file;
  std::unique_ptr<ZSTD_CCtx, FreeCompressor> context;
  std::vector<char> out;
};

DocumentWriter::DocumentWriter(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
DocumentWriter::~DocumentWriter() = default;

void DocumentWriter::write(const Document& document) {
  line_.clear();
  append_json_line(line_, document);
  line_ += '\n';
  impl_->write(line_, ZSTD_e_continue);
  text_bytes_ += document.text.size();
  ++documents_;
}

void DocumentWriter::commit() {
  impl_->write({}, ZSTD_e_end);
  impl_->file.commit();
}

struct DocumentParser::Impl {
  JsonParser parser;
};

DocumentParser::DocumentParser() : impl_(std::make_unique<Impl>()) {}
DocumentParser::~DocumentParser() = default;

void DocumentParser::parse(std::string_view line, const std::string& where, Document& out) {
  const auto root = impl_->parser.parse(line);
  if (!root) throw Error(where, "a document as JSON", impl_->parser.fault());
  if (!root->find("id") || !root->find("text")) throw Error(where, "a document with id and text", printable(line));
  out.metadata.clear();
  // In the order of the keys as they are written, each looked at once.
  root->members([&](std::string_view key, JsonView value) {
    if (key == "id") out.id = value.as_text();
    if (key == "source") out.source = value.as_text();
    if (key == "category") out.category = value.as_text();
    if (key == "licence") out.licence = value.as_text();
    if (key == "url") out.url = value.as_text();
    if (key == "title") out.title = value.as_text();
    if (key == "text") out.text = value.as_text();
    if (key == "metadata")
      value.members([&](std::string_view name, JsonView text) { out.metadata.emplace_back(name, text.as_text()); });
  });
}

void read_documents(const std::string& path, const std::function<void(Document&)>& f) {
  const MappedFile file(path);
  const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  SIGMA_CHECK(context != nullptr);
  ZSTD_inBuffer in{file.text().data(), file.text().size(), 0};
  std::vector<char> chunk(ZSTD_DStreamOutSize());
  std::string pending;
  DocumentParser parser;
  Document document;
  uint64_t number = 0;
  size_t left = 0;
  bool full = false;
  while (in.pos < in.size || full) {
    ZSTD_outBuffer room{chunk.data(), chunk.size(), 0};
    left = ZSTD_decompressStream(context.get(), &room, &in);
    if (ZSTD_isError(left) != 0) throw Error(path, "sound zstd data", ZSTD_getErrorName(left));
    full = room.pos == room.size;
    std::string_view fresh(chunk.data(), room.pos);
    for (size_t end = fresh.find('\n'); end != std::string_view::npos; end = fresh.find('\n')) {
      std::string_view line = fresh.substr(0, end);
      if (!pending.empty()) line = pending.append(line);
      parser.parse(line, path, document);
      ++number;
      f(document);
      pending.clear();
      fresh.remove_prefix(end + 1);
    }
    pending.append(fresh);
    if (pending.size() > kLongestLine)
      throw Error(path, "lines below 1 GiB", fmt::format("more in line {}", number + 1));
  }
  if (left != 0 || !pending.empty()) throw Error(path, "a whole file of documents", "one that is cut");
}

}  // namespace sigma::corpus
