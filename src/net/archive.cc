#include "net/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <vector>

#include "base/error.h"

namespace sigma {

namespace {

constexpr size_t kChunkBytes = size_t{1} << 18;

struct Close {
  void operator()(::archive* a) const { archive_read_free(a); }
};

[[noreturn]] void refuse(const std::string& path, ::archive* a) {
  const char* reason = archive_error_string(a);
  throw Error(path, "a sound zip archive", reason != nullptr ? printable(reason) : "a damaged one");
}

void pass_member(const std::string& path, ::archive* a, uint64_t size,
                 const std::function<void(std::string_view)>& sink) {
  std::vector<char> chunk(kChunkBytes);
  uint64_t done = 0;
  while (true) {
    const la_ssize_t got = archive_read_data(a, chunk.data(), chunk.size());
    if (got < 0) refuse(path, a);
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
    if (done > size) break;
    sink({chunk.data(), static_cast<size_t>(got)});
  }
  if (done != size)
    throw Error(path, fmt::format("a member of {} bytes", size), done > size ? "more" : fmt::format("{}", done));
}

}  // namespace

void extract_member(const std::string& path, const std::string& member, uint64_t size,
                    const std::function<void(std::string_view)>& sink) {
  const std::unique_ptr<::archive, Close> a(archive_read_new());
  SIGMA_CHECK(a != nullptr);
  if (archive_read_support_format_zip_seekable(a.get()) != ARCHIVE_OK) refuse(path, a.get());
  if (archive_read_open_filename(a.get(), path.c_str(), kChunkBytes) != ARCHIVE_OK) refuse(path, a.get());
  archive_entry* entry = nullptr;
  while (true) {
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) throw Error(path, "the member " + member, "no such member");
    if (status != ARCHIVE_OK) refuse(path, a.get());
    const char* name = archive_entry_pathname(entry);
    if (name != nullptr && name == member) return pass_member(path, a.get(), size, sink);
  }
}

struct ArchiveReader::Impl {
  std::unique_ptr<::archive, Close> reader{archive_read_new()};
  std::string where;
  std::unique_ptr<char[]> chunk;  // of read_all

  [[noreturn]] void fail() const {
    const char* reason = archive_error_string(reader.get());
    throw Error(where, "a sound archive", reason != nullptr ? printable(reason) : "a damaged one");
  }
  void prepare(Content content) {
    SIGMA_CHECK(reader != nullptr);
    // By name: "all" has filters that start programs.
    for (const auto support :
         {archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
          archive_read_support_filter_lzma, archive_read_support_filter_zstd, archive_read_support_filter_compress})
      support(reader.get());
    if (content == Content::members) {
      for (const auto support : {archive_read_support_format_tar, archive_read_support_format_zip,
                                 archive_read_support_format_7zip, archive_read_support_format_ar})
        support(reader.get());
    } else {
      archive_read_support_format_raw(reader.get());
      archive_read_support_format_empty(reader.get());
    }
  }
};

ArchiveReader::ArchiveReader(const std::string& path, Content content) : impl_(std::make_unique<Impl>()) {
  impl_->where = path;
  impl_->prepare(content);
  if (archive_read_open_filename(impl_->reader.get(), path.c_str(), kChunkBytes) != ARCHIVE_OK) impl_->fail();
}

ArchiveReader::ArchiveReader(std::string_view bytes, const std::string& where, Content content)
    : impl_(std::make_unique<Impl>()) {
  impl_->where = where;
  impl_->prepare(content);
  if (archive_read_open_memory(impl_->reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) impl_->fail();
}

ArchiveReader::~ArchiveReader() = default;

bool ArchiveReader::next(Member& member) {
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(impl_->reader.get(), &entry);
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) impl_->fail();
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  member.path = path != nullptr ? path : "";
  member.regular = archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
  return true;
}

size_t ArchiveReader::read(std::span<char> out) {
  const la_ssize_t got = archive_read_data(impl_->reader.get(), out.data(), out.size());
  if (got < 0) impl_->fail();
  return static_cast<size_t>(got);
}

std::string ArchiveReader::read_all(uint64_t most) {
  if (impl_->chunk == nullptr) impl_->chunk = std::make_unique_for_overwrite<char[]>(kChunkBytes);
  std::string all;
  while (true) {
    const size_t got = read({impl_->chunk.get(), kChunkBytes});
    if (got == 0) return all;
    if (all.size() + got > most) throw Error(impl_->where, fmt::format("a member of at most {} bytes", most), "more");
    all.append(impl_->chunk.get(), got);
  }
}

}  // namespace sigma
