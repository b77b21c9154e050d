// Files: read-only mappings, and writes that either happen whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

namespace sigma {

// A file mapped read-only. Empty files map to an empty span. Move-only.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);  // Error: no such file, not a regular file, cannot be read
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }
  // Tells the kernel that these bytes (of this mapping) will not be read again soon.
  void release(std::span<const std::byte> range) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

// Writes PATH.partial and renames it to PATH in commit(); without commit() (an exception, an early return) the partial
// file is removed and PATH is untouched. Every failure (disk full, no permission) is an Error that names the path.
class FileWriter {
 public:
  explicit FileWriter(std::string path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void pad_to(size_t alignment);  // zero bytes up to a multiple of alignment
  uint64_t position() const { return position_; }
  void sync();  // what was written is on the disk: no lack of room can stop commit() any more
  void commit();

 private:
  std::string path_, partial_;
  std::FILE* file_ = nullptr;
  uint64_t position_ = 0;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view text);  // whole or not at all

// $SIGMA_CACHE, else $XDG_CACHE_HOME/sigma, else ~/.cache/sigma.
std::string cache_folder();

}  // namespace sigma
