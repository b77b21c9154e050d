// Reading safetensors: one file, or a folder of one or several (sharded by an index). Tensors are views into the mapped
// files; opening checks the header, every type, shape and offset. Format: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "formats/tensor_list.h"
#include "tensor/format.h"

namespace sigma {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;                 // as written in the file: "BF16"
  std::optional<Format> format;      // none: a type that cannot be a weight here (I64, BOOL, F64, ...)
  std::vector<int64_t> shape;        // rows first; empty: a scalar
  std::span<const std::byte> bytes;  // at any alignment
};

using SafetensorsMetadata = std::vector<std::pair<std::string, std::string>>;

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  // Over bytes that outlive it; `where` names them in errors.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& where);

  std::span<const SafetensorsEntry> entries() const { return entries_; }  // in the order of their bytes
  const SafetensorsEntry* find(std::string_view name) const;              // null: no such tensor
  const SafetensorsMetadata& metadata() const { return metadata_; }
  const MappedFile& file() const { return file_; }  // empty when made over bytes

 private:
  void parse(std::span<const std::byte> bytes, const std::string& where);
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
  SafetensorsMetadata metadata_;
  NameIndex index_;
};

// model.safetensors of a folder or, when there is none, the shards that model.safetensors.index.json lists.
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::string& folder);
  std::span<const SafetensorsFile> files() const { return files_; }
  std::span<const SafetensorsEntry* const> entries() const { return entries_; }  // file by file
  const SafetensorsEntry* find(std::string_view name) const;                     // null: no such tensor

 private:
  void open_shards(const std::string& folder, const std::string& index_path);
  std::vector<SafetensorsFile> files_;
  std::vector<const SafetensorsEntry*> entries_;
  NameIndex index_;
};

// The index of a sharded folder: tensor name, shard file name (checked to be a plain name, so that it stays in the
// folder), in the order of the text.
std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                         const std::string& where);

}  // namespace sigma
