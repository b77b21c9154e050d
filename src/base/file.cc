#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace sigma {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// An open descriptor that closes itself.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer; nothing to regular files.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) throw Error(path, "a readable file", reason(errno));
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) throw Error(path, "a readable file", reason(errno));
  if (!S_ISREG(status.st_mode)) throw Error(path, "a regular file", S_ISDIR(status.st_mode) ? "a folder" : "a device");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapping == MAP_FAILED) throw Error(path, "a file that can be mapped", reason(errno));
  data_ = static_cast<const std::byte*>(mapping);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

void MappedFile::release(std::span<const std::byte> range) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t before = (page - reinterpret_cast<uintptr_t>(range.data()) % page) % page;  // to the first whole page
  if (range.size() < before + page) return;
  const std::span<const std::byte> whole = range.subspan(before, (range.size() - before) / page * page);
  ::madvise(const_cast<std::byte*>(whole.data()), whole.size(), MADV_DONTNEED);
}

FileWriter::FileWriter(std::string path)
    : path_(std::move(path)), partial_(path_ + fmt::format(".{}.partial", ::getpid())) {
  file_ = std::fopen(partial_.c_str(), "wbe");
  if (file_ == nullptr) throw Error(path_, "a place that can be written", reason(errno));
}

FileWriter::~FileWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  ::unlink(partial_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;  // whose data may be null
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
    throw Error(path_, "room for the whole file", reason(errno));
  position_ += bytes.size();
}

void FileWriter::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void FileWriter::pad_to(size_t alignment) {
  while (position_ % alignment != 0) write(std::string_view("\0", 1));
}

void FileWriter::sync() {
  if (std::fflush(file_) == 0 && ::fsync(::fileno(file_)) == 0) return;
  throw Error(path_, "room for the whole file", reason(errno));  // the destructor removes the partial file
}

void FileWriter::commit() {
  sync();
  std::fclose(std::exchange(file_, nullptr));
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    const int rename_error = errno;
    ::unlink(partial_.c_str());
    throw Error(path_, "a place that can be written", reason(rename_error));
  }
}

std::string read_file(const std::string& path) { return std::string(MappedFile(path).text()); }

void write_file(const std::string& path, std::string_view text) {
  FileWriter file(path);
  file.write(text);
  file.commit();
}

std::string cache_folder() {
  if (const char* own = std::getenv("SIGMA_CACHE"); own != nullptr && *own != '\0') return own;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0')
    return std::string(xdg) + "/sigma";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::string(home) + "/.cache/sigma";
  throw Error("cache folder", "HOME, XDG_CACHE_HOME or SIGMA_CACHE in the environment", "none of them");
}

}  // namespace sigma
