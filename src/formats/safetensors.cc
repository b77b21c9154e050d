#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "formats/json_stream.h"

namespace sigma {

static_assert(std::endian::native == std::endian::little, "values are used as they lie in the file");

namespace {

using Kind = JsonToken::Kind;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

struct SafetensorsType {
  std::string_view name;
  uint64_t bits;
  std::optional<Format> format;
};
constexpr std::array<SafetensorsType, 20> kTypes{{
    {"F32", 32, Format::f32},
    {"F16", 16, Format::f16},
    {"BF16", 16, Format::bf16},
    {"F64", 64, {}},
    {"I64", 64, {}},
    {"U64", 64, {}},
    {"I32", 32, {}},
    {"U32", 32, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"I8", 8, {}},
    {"U8", 8, {}},
    {"BOOL", 8, {}},
    {"C64", 64, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
}};

// A tensor of the header, before its bytes are known to be in the file.
struct Pending {
  SafetensorsEntry entry;
  std::vector<uint64_t> offsets;
  bool has_shape = false;
};

// Builds the tensors of a header from its JSON tokens:
//   {"__metadata__": {key: string}, name: {"dtype": string, "shape": [size], "data_offsets": [begin, end]}}
class HeaderReader {
 public:
  HeaderReader(const std::string& where, SafetensorsMetadata& metadata) : where_(where), metadata_(metadata) {}

  void on_token(const JsonToken& token) {
    switch (depth_) {
      case 0:
        need(token, Kind::begin_object, "an object"), depth_ = 1;
        return;
      case 1:
        return on_root(token);
      case 2:
        return in_metadata_ ? on_metadata(token) : on_tensor(token);
      default:
        return on_size(token);
    }
  }
  std::vector<Pending> take() { return std::move(tensors_); }

 private:
  [[noreturn]] void fail(std::string expected, std::string found) const {
    std::string at = where_;
    if (!name_.empty()) at += ": " + printable(name_);
    if (!field_.empty()) at += ": " + printable(field_);
    throw Error(at, std::move(expected), std::move(found));
  }
  void need(const JsonToken& token, Kind kind, const char* expected) const {
    if (token.kind != kind) fail(expected, std::string(json_kind_name(token.kind)));
  }

  void on_root(const JsonToken& token) {
    if (token.kind == Kind::end_object) return;
    if (token.kind == Kind::key) {
      name_ = token.text;
      return;
    }
    need(token, Kind::begin_object, "an object");
    in_metadata_ = name_ == "__metadata__";
    if (!in_metadata_) tensors_.emplace_back().entry.name = name_;
    if (in_metadata_ && std::exchange(seen_metadata_, true)) fail("one entry", "two");
    depth_ = 2;
  }

  void on_metadata(const JsonToken& token) {
    if (close(token, Kind::end_object)) return;
    if (token.kind == Kind::key) {
      field_ = token.text;
      return;
    }
    need(token, Kind::string, "a string");
    metadata_.emplace_back(field_, token.text);
  }

  void on_tensor(const JsonToken& token) {
    Pending& tensor = tensors_.back();
    if (token.kind == Kind::key) {
      field_ = token.text;
      const bool known = field_ == "dtype" || field_ == "shape" || field_ == "data_offsets";
      if (!known) fail("dtype, shape and data_offsets", "this key");
      if (field_ == "dtype"   ? !tensor.entry.dtype.empty()
          : field_ == "shape" ? tensor.has_shape
                              : !tensor.offsets.empty())
        fail("one value", "two");
      return;
    }
    if (token.kind == Kind::end_object) {
      field_.clear();
      if (tensor.entry.dtype.empty() || !tensor.has_shape || tensor.offsets.empty())
        fail("dtype, shape and data_offsets", "not all of them");
      close(token, Kind::end_object);
      return;
    }
    if (field_ == "dtype") {
      need(token, Kind::string, "a string");
      set_type(tensor.entry, token.text);
      return;
    }
    need(token, Kind::begin_array, "an array");
    if (field_ == "shape") tensor.has_shape = true;
    depth_ = 3;
  }

  void on_size(const JsonToken& token) {
    Pending& tensor = tensors_.back();
    if (token.kind == Kind::end_array) {
      if (field_ == "data_offsets" && tensor.offsets.size() != 2) {
        fail("a begin and an end", fmt::format("{} numbers", tensor.offsets.size()));
      }
      depth_ = 2;
      return;
    }
    need(token, Kind::integer, "a whole number from 0 to 2^63 - 1");
    if (token.integer > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      fail("a whole number from 0 to 2^63 - 1", fmt::format("{}", token.integer));
    if (field_ == "shape") {
      tensor.entry.shape.push_back(static_cast<int64_t>(token.integer));
    } else {
      tensor.offsets.push_back(token.integer);
    }
  }

  void set_type(SafetensorsEntry& entry, std::string_view dtype) const {
    const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.name == dtype; });
    if (type == kTypes.end()) fail("a type of the safetensors format", "\"" + printable(dtype) + "\"");
    entry.dtype = dtype;
    entry.format = type->format;
  }

  bool close(const JsonToken& token, Kind end) {
    if (token.kind != end) return false;
    name_.clear();
    field_.clear();
    --depth_;
    return true;
  }

  const std::string& where_;
  SafetensorsMetadata& metadata_;
  std::vector<Pending> tensors_;
  std::string name_, field_;  // where we are
  int depth_ = 0;
  bool in_metadata_ = false, seen_metadata_ = false;
};

uint64_t type_bits(std::string_view dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.name == dtype; })->bits;
}

std::span<const std::byte> read_header(std::span<const std::byte> bytes, const std::string& where) {
  uint64_t size = 0;
  if (bytes.size() < sizeof(size)) {
    throw Error(where, "a safetensors file (8 bytes of header length first)", fmt::format("{} bytes", bytes.size()));
  }
  std::memcpy(&size, bytes.data(), sizeof(size));
  const uint64_t limit = std::min<uint64_t>(kMaxHeaderBytes, bytes.size() - sizeof(size));
  if (size > limit) throw Error(where, fmt::format("a header of at most {} bytes", limit), fmt::format("{}", size));
  return bytes.subspan(sizeof(size), size);
}

// Tensors lie one after another from the first byte of the data to the last; sorts them so and sets their bytes.
void place(std::vector<Pending>& tensors, std::span<const std::byte> data, const std::string& where) {
  std::sort(tensors.begin(), tensors.end(), [](const Pending& a, const Pending& b) { return a.offsets < b.offsets; });
  uint64_t end = 0;
  for (Pending& tensor : tensors) {
    SafetensorsEntry& entry = tensor.entry;
    const auto here = [&] { return fmt::format("{}: {}", where, printable(entry.name)); };
    const uint64_t begin = tensor.offsets[0];
    if (begin != end) throw Error(here(), fmt::format("data_offsets from {}", end), fmt::format("{}", begin));
    end = tensor.offsets[1];
    if (end < begin || end > data.size()) {
      throw Error(here(), fmt::format("data_offsets up to {} to {}", begin, data.size()), fmt::format("{}", end));
    }
    const std::optional<int64_t> elements = element_count(entry.shape);
    uint64_t bits = 0;
    if (!elements || __builtin_mul_overflow(static_cast<uint64_t>(*elements), type_bits(entry.dtype), &bits)) {
      throw Error(here(), "a size in bits below 2^64", fmt::format("{}", fmt::join(entry.shape, " x ")));
    }
    if (bits % 8 != 0 || bits / 8 != end - begin) {
      throw Error(here(), fmt::format("{} bits of data ({} of [{}])", bits, entry.dtype, fmt::join(entry.shape, ", ")),
                  fmt::format("{} bytes", end - begin));
    }
    entry.bytes = data.subspan(begin, end - begin);
  }
  if (end != data.size()) {
    throw Error(where, fmt::format("{} bytes of data", end), fmt::format("{} bytes", data.size()));
  }
}

void check_unique(const SafetensorsMetadata& metadata, const std::string& where) {
  NameIndex names;
  for (const auto& [key, value] : metadata) names.add(key);
  if (const auto twice = names.finish()) {
    throw Error(fmt::format("{}: __metadata__: {}", where, printable(*twice)), "one value", "two");
  }
}

// A name that stays in its folder.
bool is_plain_name(std::string_view name) {
  constexpr std::string_view forbidden("/\\\0", 3);
  return !name.empty() && name != "." && name != ".." && name.find_first_of(forbidden) == std::string_view::npos;
}

// Reads {"metadata": anything, "weight_map": {tensor: file}}.
class IndexReader {
 public:
  explicit IndexReader(const std::string& where) : where_(where) {}

  void on_token(const JsonToken& token) {
    const bool opens = token.kind == Kind::begin_object || token.kind == Kind::begin_array;
    const bool closes = token.kind == Kind::end_object || token.kind == Kind::end_array;
    if (depth_ == 0 && token.kind != Kind::begin_object) fail(where_, "an object", token);
    if (depth_ == 1) on_root(token);
    if (depth_ == 2 && key_ == "weight_map") on_map(token);
    if (opens) ++depth_;
    if (closes) --depth_;
  }
  std::vector<std::pair<std::string, std::string>> take() {
    if (!seen_) throw Error(where_, "a weight_map", "none");
    return std::move(weight_map_);
  }

 private:
  [[noreturn]] static void fail(const std::string& at, const char* expected, const JsonToken& token) {
    throw Error(at, expected, std::string(json_kind_name(token.kind)));
  }
  void on_root(const JsonToken& token) {
    if (token.kind == Kind::key) key_ = token.text;
    if (key_ != "weight_map" || token.kind == Kind::key || token.kind == Kind::end_object) return;
    if (token.kind != Kind::begin_object) fail(where_ + ": weight_map", "an object", token);
    if (std::exchange(seen_, true)) throw Error(where_ + ": weight_map", "one entry", "two");
  }
  void on_map(const JsonToken& token) {
    if (token.kind == Kind::end_object) return;
    if (token.kind == Kind::key) {
      tensor_ = token.text;
      return;
    }
    const std::string at = fmt::format("{}: {}", where_, printable(tensor_));
    if (token.kind != Kind::string) fail(at, "a file name", token);
    if (!is_plain_name(token.text)) {
      throw Error(at, "the name of a file in the same folder", "\"" + printable(token.text) + "\"");
    }
    weight_map_.emplace_back(tensor_, token.text);
  }

  const std::string& where_;
  std::vector<std::pair<std::string, std::string>> weight_map_;
  std::string key_, tensor_;  // of the root, of weight_map
  uint64_t depth_ = 0;
  bool seen_ = false;
};

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) { parse(file_.bytes(), path); }

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& where) { parse(bytes, where); }

void SafetensorsFile::parse(std::span<const std::byte> bytes, const std::string& where) {
  const std::span<const std::byte> header = read_header(bytes, where);
  HeaderReader reader(where, metadata_);
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  stream_json(text, where + ": header", [&](const JsonToken& token) { reader.on_token(token); });
  check_unique(metadata_, where);

  std::vector<Pending> tensors = reader.take();
  place(tensors, bytes.subspan(sizeof(uint64_t) + header.size()), where);
  entries_.reserve(tensors.size());
  for (Pending& tensor : tensors) entries_.push_back(std::move(tensor.entry));
  for (const SafetensorsEntry& entry : entries_) index_.add(entry.name);
  if (const auto twice = index_.finish()) {
    throw Error(fmt::format("{}: {}", where, printable(*twice)), "one entry", "two");
  }
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const std::optional<size_t> i = index_.find(name);
  return i ? &entries_[*i] : nullptr;
}

SafetensorsFolder::SafetensorsFolder(const std::string& folder) {
  const std::string single = folder + "/model.safetensors", index_path = single + ".index.json";
  std::error_code ignored;
  if (std::filesystem::exists(single, ignored)) {
    files_.emplace_back(single);
  } else if (std::filesystem::exists(index_path, ignored)) {
    open_shards(folder, index_path);
  } else {
    throw Error(folder, "a folder with model.safetensors or model.safetensors.index.json", "neither");
  }
  for (const SafetensorsFile& file : files_) {
    for (const SafetensorsEntry& entry : file.entries()) {
      entries_.push_back(&entry);
      index_.add(entry.name);
    }
  }
  if (const auto twice = index_.finish()) {
    throw Error(fmt::format("{}: {}", folder, printable(*twice)), "one tensor of this name", "two");
  }
}

void SafetensorsFolder::open_shards(const std::string& folder, const std::string& index_path) {
  const auto weight_map = parse_safetensors_index(MappedFile(index_path).text(), index_path);
  std::vector<std::string> names;
  names.reserve(weight_map.size());
  for (const auto& [tensor, file] : weight_map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  size_t found = 0;
  for (const std::string& name : names)
    found += files_.emplace_back(fmt::format("{}/{}", folder, name)).entries().size();
  for (const auto& [tensor, name] : weight_map) {
    const auto shard = static_cast<size_t>(std::lower_bound(names.begin(), names.end(), name) - names.begin());
    if (files_[shard].find(tensor) == nullptr) {
      throw Error(fmt::format("{}/{}", folder, name), "tensor " + printable(tensor) + " (the index says so)",
                  "no such tensor");
    }
  }
  if (found != weight_map.size()) {
    throw Error(index_path, fmt::format("every tensor of the shards ({})", found),
                fmt::format("{}", weight_map.size()));
  }
}

const SafetensorsEntry* SafetensorsFolder::find(std::string_view name) const {
  const std::optional<size_t> i = index_.find(name);
  return i ? entries_[*i] : nullptr;
}

std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view text,
                                                                         const std::string& where) {
  IndexReader reader(where);
  stream_json(text, where, [&](const JsonToken& token) { reader.on_token(token); });
  auto weight_map = reader.take();
  NameIndex names;
  for (const auto& [tensor, file] : weight_map) names.add(tensor);
  if (const auto twice = names.finish())
    throw Error(fmt::format("{}: {}", where, printable(*twice)), "one file", "two");
  return weight_map;
}

}  // namespace sigma
