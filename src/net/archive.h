// The one place that reads archives: single files out of downloaded ones, and any kind of archive member by member.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sigma {

// Passes the bytes of the zip archive's member to `sink`, in order. Error: not a zip archive, no such member, another
// size than `size`, damaged (its CRC-32 is checked).
void extract_member(const std::string& archive, const std::string& member, uint64_t size,
                    const std::function<void(std::string_view)>& sink);

// Reads tar, zip, 7z, ar (.deb) and the like, or one compressed file, in order and in bounded memory. Nothing is
// written anywhere: a member's path is a name, wherever it points.
class ArchiveReader {
 public:
  enum class Content : uint8_t { members, one_file };  // one_file: the bytes of a compressed file (or of a plain one)
  ArchiveReader(const std::string& path, Content content);
  // `bytes` must outlive the reader; `where` names them in errors.
  ArchiveReader(std::string_view bytes, const std::string& where, Content content);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  struct Member {
    std::string path;
    bool regular = false;  // a file with bytes of its own, neither a folder nor a link
  };
  // The next member; false at the end. Error here and below: damaged, of an unknown kind, or encrypted.
  bool next(Member& member);
  size_t read(std::span<char> out);  // bytes of the current member; 0 at its end
  // The whole current member. Error: more than `most` bytes.
  std::string read_all(uint64_t most);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sigma
