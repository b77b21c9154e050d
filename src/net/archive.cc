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

}  // namespace sigma
