// Writing GGUF files, version 3: metadata in the order it was set, then tensors whose bytes a callback produces.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "formats/tensor_list.h"

namespace sigma {

template <class T, class... Types>
concept OneOf = (std::same_as<T, Types> || ...);
template <class T>
concept GgufNumber =
    OneOf<T, uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t, float, double, bool>;

class GgufWriter {
 public:
  // Setting a key again replaces its value and keeps its place. general.alignment (a uint32 power of two) is obeyed.
  template <GgufNumber T>
  void set(std::string_view key, T value) {
    set(key, type_of<T>(), std::as_bytes(std::span(&value, 1)));
  }
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const GgufValue& value);  // copied from another file
  template <GgufNumber T>
  void set_array(std::string_view key, std::span<const T> values) {
    set_array(key, type_of<T>(), values.size(), std::as_bytes(values));
  }
  void set_array(std::string_view key, std::span<const std::string_view> values);
  void remove(std::string_view key);

  // Only the formats with a ggml type exist, so any TensorSpec with 1 to 4 sizes of 1 and more can be written.
  void write(const std::string& path, std::span<const TensorSpec> tensors, const TensorSource& source) const;

 private:
  template <GgufNumber T>
  static constexpr GgufType type_of() {
    if constexpr (std::same_as<T, uint8_t>) return GgufType::u8;
    if constexpr (std::same_as<T, int8_t>) return GgufType::i8;
    if constexpr (std::same_as<T, uint16_t>) return GgufType::u16;
    if constexpr (std::same_as<T, int16_t>) return GgufType::i16;
    if constexpr (std::same_as<T, uint32_t>) return GgufType::u32;
    if constexpr (std::same_as<T, int32_t>) return GgufType::i32;
    if constexpr (std::same_as<T, uint64_t>) return GgufType::u64;
    if constexpr (std::same_as<T, int64_t>) return GgufType::i64;
    if constexpr (std::same_as<T, float>) return GgufType::f32;
    if constexpr (std::same_as<T, double>) return GgufType::f64;
    if constexpr (std::same_as<T, bool>) return GgufType::boolean;
  }
  void set(std::string_view key, GgufType type, std::span<const std::byte> bytes);
  void set_array(std::string_view key, GgufType element, uint64_t count, std::span<const std::byte> bytes);
  void put(std::string_view key, std::string encoded);
  uint32_t alignment() const;

  struct Entry {
    std::string key;
    std::string encoded;  // type and value, as they stand in the file
  };
  std::vector<Entry> entries_;
};

}  // namespace sigma
