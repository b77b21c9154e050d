#include "formats/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"

namespace sigma {
namespace {

constexpr uint32_t kDefaultAlignment = 32;

void append(std::string& out, std::span<const std::byte> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}
template <class T>
void append_number(std::string& out, T value) {
  append(out, std::as_bytes(std::span(&value, 1)));
}
void append_string(std::string& out, std::string_view text) {
  append_number(out, static_cast<uint64_t>(text.size()));
  out += text;
}

// The value's part of an entry: [type] or [array, element type, count].
std::string value_header(GgufType type) {
  std::string out;
  append_number(out, static_cast<uint32_t>(type));
  return out;
}
std::string array_header(GgufType element, uint64_t count) {
  std::string out = value_header(GgufType::array);
  append_number(out, static_cast<uint32_t>(element));
  append_number(out, count);
  return out;
}

}  // namespace

void GgufWriter::set(std::string_view key, GgufType type, std::span<const std::byte> bytes) {
  std::string encoded = value_header(type);
  append(encoded, bytes);
  put(key, std::move(encoded));
}

void GgufWriter::set_array(std::string_view key, GgufType element, uint64_t count, std::span<const std::byte> bytes) {
  std::string encoded = array_header(element, count);
  append(encoded, bytes);
  put(key, std::move(encoded));
}

void GgufWriter::set(std::string_view key, std::string_view value) {
  std::string encoded = value_header(GgufType::string);
  append_string(encoded, value);
  put(key, std::move(encoded));
}

void GgufWriter::set(std::string_view key, const GgufValue& value) {
  if (value.type == GgufType::array) {
    set_array(key, value.element, value.count, value.bytes);
  } else {
    set(key, value.type, value.bytes);
  }
}

void GgufWriter::set_array(std::string_view key, std::span<const std::string_view> values) {
  std::string encoded = array_header(GgufType::string, values.size());
  for (const std::string_view value : values) append_string(encoded, value);
  put(key, std::move(encoded));
}

void GgufWriter::put(std::string_view key, std::string encoded) {
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  if (it != entries_.end()) {
    it->encoded = std::move(encoded);
  } else {
    entries_.push_back({std::string(key), std::move(encoded)});
  }
}

void GgufWriter::remove(std::string_view key) {
  std::erase_if(entries_, [&](const Entry& e) { return e.key == key; });
}

uint32_t GgufWriter::alignment() const {
  for (const Entry& entry : entries_) {
    if (entry.key != "general.alignment") continue;
    uint32_t value = 0;
    SIGMA_CHECK_EQ(entry.encoded.size(), sizeof(uint32_t) + sizeof(value));
    std::memcpy(&value, entry.encoded.data() + sizeof(uint32_t), sizeof(value));
    SIGMA_CHECK(std::has_single_bit(value));
    return value;
  }
  return kDefaultAlignment;
}

void GgufWriter::write(const std::string& path, std::span<const TensorSpec> tensors, const TensorSource& source) const {
  const uint32_t align = alignment();
  std::string header = "GGUF";
  append_number(header, uint32_t{3});
  append_number(header, static_cast<uint64_t>(tensors.size()));
  append_number(header, static_cast<uint64_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    append_string(header, entry.key);
    header += entry.encoded;
  }
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    SIGMA_CHECK(!tensor.shape.empty() && tensor.shape.size() <= 4);
    append_string(header, tensor.name);
    append_number(header, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) append_number(header, static_cast<uint64_t>(tensor.shape[i]));
    append_number(header, format_info(tensor.format).ggml_type);
    append_number(header, offset);
    offset += round_up(static_cast<int64_t>(tensor_bytes(tensor)), align);
  }

  FileWriter file(path);
  file.write(header);
  file.pad_to(align);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t begin = file.position();
    source(i, file);
    SIGMA_CHECK_EQ(file.position() - begin, tensor_bytes(tensors[i]));
    file.pad_to(align);
  }
  file.commit();
}

}  // namespace sigma
