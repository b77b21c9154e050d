// Inside of hub: names, the folders they stand for, and the record that marks a complete pull. For hub*.cc only.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "model/hub.h"
#include "net/digest.h"

namespace sigma {

// A model known by name: one GGUF file in a Python package's wheel.
struct KnownModel {
  const char* name;
  const char* package;
  const char* version;
  const char* member;
  const char* sha256;
  uint64_t bytes;
};
const std::vector<KnownModel>& known_models();

// NAME taken apart. For a known model: known, and nothing else.
struct ModelName {
  const KnownModel* known = nullptr;
  std::string owner, repository, revision, file;  // revision and file may be empty

  std::string base() const;    // without the file
  std::string folder() const;  // below the cache
};
// Error when it is neither a known name nor OWNER/REPO[@REVISION][:FILE].
ModelName parse_model_name(const std::string& name);

// Whether a file name from outside stays inside the folder it is put in.
bool safe_file_name(std::string_view name);

// One file of a pulled model.
struct PulledFile {
  std::string name;
  uint64_t bytes = 0;
  std::string digest;  // 64 hex digits: SHA-256; 40: SHA-1 as git takes it of a blob
};

// FOLDER/pulled.json: written last, so that its presence says that all it names is there.
struct Record {
  std::string source, revision;
  bool whole = false;  // pulled as a whole, not just for one file of it
  std::vector<PulledFile> files;
};
bool read_record(const std::string& folder, Record& record);  // false: none, or not a sound one
void write_record(const std::string& folder, const Record& record);

// Holds the cache's lock of one model; waits for whoever has it.
class CacheLock {
 public:
  CacheLock(const HubSettings& settings, const ModelName& name);
  ~CacheLock();
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

 private:
  int fd_ = -1;
};

// FILE.partial on its way to being FILE: appended to across runs, checked, then renamed.
class PartialFile {
 public:
  // `path` and what the file must be. Goes on after the bytes that an earlier run left.
  PartialFile(std::string path, const PulledFile& wanted);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  uint64_t bytes() const { return bytes_; }
  void append(std::string_view bytes);  // Error: the disk is full
  // Renames the file if its digest is the right one, else removes it; false: it was wrong.
  bool finish();
  const std::string& found_digest() const { return found_; }

 private:
  std::string path_, partial_;
  const PulledFile wanted_;
  Digest digest_;
  std::string found_;
  std::FILE* file_ = nullptr;
  uint64_t bytes_ = 0;
};

// Whether the file is there and is what it must be (its content is read).
bool file_is(const std::string& path, const PulledFile& wanted);
// Error unless the disk that holds the folder has room for so many bytes.
void require_room(const std::string& folder, uint64_t bytes);
void make_folders(const std::string& folder);

Record pull_known(const KnownModel& known, const std::string& folder);
Record pull_repository(const HubSettings& settings, const ModelName& name, const std::string& folder);

}  // namespace sigma
