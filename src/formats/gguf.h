// Reading GGUF files (versions 2 and 3, little-endian): typed metadata and tensors, both as views into the mapped file.
// Opening checks every count, length, type, shape and offset of the file; nothing is copied. Format: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/tensor_list.h"
#include "tensor/format.h"

namespace sigma {

// The numbers are those of the file.
enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
std::string_view gguf_type_name(GgufType type);

// A metadata value as it lies in the file. Strings are preceded by their 64-bit length.
struct GgufValue {
  GgufType type;
  GgufType element;                  // of an array; else = type
  uint64_t count;                    // of an array; else 1
  std::span<const std::byte> bytes;  // the elements
};

struct GgufTensor {
  std::string_view name;
  Format format;
  std::vector<int64_t> shape;  // rows first (the file has them the other way round); at least one size, none below 1
  std::span<const std::byte> bytes;
};

class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  // Over bytes that outlive it; `where` names them in errors.
  GgufFile(std::span<const std::byte> bytes, std::string where);

  std::span<const std::string_view> keys() const { return keys_; }  // in the order of the file
  bool has(std::string_view key) const { return key_index_.find(key).has_value(); }

  // Each is an Error that names the key when it is missing or its value is of another kind. Integers of any width are
  // one kind, both floats another; get_uint refuses negative values and get_int those beyond int64.
  const GgufValue& value(std::string_view key) const;
  std::string_view get_string(std::string_view key) const;
  uint64_t get_uint(std::string_view key) const;
  int64_t get_int(std::string_view key) const;
  double get_float(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  std::vector<std::string_view> get_strings(std::string_view key) const;
  std::vector<int64_t> get_ints(std::string_view key) const;
  std::vector<float> get_floats(std::string_view key) const;

  std::span<const GgufTensor> tensors() const { return tensors_; }  // in the order of the file
  const GgufTensor* find(std::string_view name) const;              // null: no such tensor
  const std::string& where() const { return where_; }
  const MappedFile& file() const { return file_; }  // empty when made over bytes

 private:
  void parse(std::span<const std::byte> bytes);
  void check_overlaps() const;
  const GgufValue& scalar(std::string_view key, std::string_view kind, std::span<const GgufType> types) const;
  const GgufValue& array(std::string_view key, std::string_view kind, std::span<const GgufType> types) const;
  int64_t checked_int(std::string_view key, const GgufValue& value, uint64_t i) const;
  std::string key_where(std::string_view key) const;

  MappedFile file_;
  std::string where_;
  std::vector<std::string_view> keys_;
  std::vector<GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  NameIndex key_index_, tensor_index_;
};

}  // namespace sigma
