#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace sigma {

static_assert(std::endian::native == std::endian::little, "values are used as they lie in the file");

namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 65536;
constexpr uint64_t kMaxDimensions = 4;
// The fewest bytes a metadata entry (key length, type, one byte) and a tensor entry (name length, dimension count, one
// size, type, offset) can take: what a count is checked against before anything is reserved for it.
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

struct TypeInfo {
  std::string_view name;
  uint64_t bytes;  // of an element; of a string: of its length; 0: an array
};
constexpr std::array<TypeInfo, 13> kTypes{{{"uint8", 1},
                                           {"int8", 1},
                                           {"uint16", 2},
                                           {"int16", 2},
                                           {"uint32", 4},
                                           {"int32", 4},
                                           {"float32", 4},
                                           {"bool", 1},
                                           {"string", 8},
                                           {"array", 0},
                                           {"uint64", 8},
                                           {"int64", 8},
                                           {"float64", 8}}};

constexpr GgufType kStringTypes[] = {GgufType::string};
constexpr GgufType kBoolTypes[] = {GgufType::boolean};
constexpr GgufType kFloatTypes[] = {GgufType::f32, GgufType::f64};
constexpr GgufType kIntTypes[] = {GgufType::u8,  GgufType::i8,  GgufType::u16, GgufType::i16,
                                  GgufType::u32, GgufType::i32, GgufType::u64, GgufType::i64};

const TypeInfo& type_info(GgufType type) { return kTypes[static_cast<size_t>(type)]; }

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Walks the file from its start; every step is checked against its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  std::span<const std::byte> take(uint64_t n, const char* what) {
    if (n > left()) [[unlikely]] {
      throw Error(fmt::format("{} at byte {}", where_, position_), fmt::format("{} of {} bytes", what, n),
                  fmt::format("{} bytes to the end of the file", left()));
    }
    const auto taken = bytes_.subspan(position_, n);
    position_ += n;
    return taken;
  }
  template <class T>
  T number(const char* what) {
    return load<T>(take(sizeof(T), what).data());
  }
  std::string_view string(const char* what) {
    const auto text = take(number<uint64_t>(what), what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  // A number of things of at least min_bytes each, which are yet to come.
  uint64_t count(const char* what, uint64_t min_bytes) {
    const auto n = number<uint64_t>(what);
    if (n > left() / min_bytes) {
      throw Error(fmt::format("{} at byte {}", where_, position_ - 8),
                  fmt::format("{} that fits in the {} bytes that follow", what, left()), fmt::format("{}", n));
    }
    return n;
  }
  GgufType type(std::string_view key) {
    const auto type = number<uint32_t>("a value type");
    if (type >= kTypes.size()) {
      throw Error(fmt::format("{}: {}", where_, printable(key)), "a value type from 0 to 12", fmt::format("{}", type));
    }
    return static_cast<GgufType>(type);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  uint64_t position_ = 0;
};

void check_header(Cursor& in, const std::string& where) {
  const auto magic = in.take(4, "the magic number");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    const std::string_view found(reinterpret_cast<const char*>(magic.data()), 4);
    throw Error(where, "a GGUF file (it begins with \"GGUF\")", fmt::format("\"{}\"", printable(found)));
  }
  const auto version = in.number<uint32_t>("the version");
  if (version == 2 || version == 3) return;
  const bool swapped = (version & 0xffff) == 0 && version != 0;
  throw Error(where, "GGUF version 2 or 3, little-endian",
              swapped ? "a big-endian file" : fmt::format("version {}", version));
}

GgufValue read_value(Cursor& in, std::string_view key, const std::string& where) {
  GgufValue value{in.type(key), {}, 1, {}};
  value.element = value.type;
  if (value.type == GgufType::array) {
    value.element = in.type(key);
    if (value.element == GgufType::array) {
      throw Error(fmt::format("{}: {}", where, printable(key)), "an array of plain values", "an array of arrays");
    }
    value.count = in.count("an array length", type_info(value.element).bytes);
  }
  if (value.element != GgufType::string) {
    value.bytes = in.take(value.count * type_info(value.element).bytes, "a value");
    return value;
  }
  Cursor probe = in;
  for (uint64_t i = 0; i < value.count; ++i) probe.string("a string");
  value.bytes = in.take(probe.position() - in.position(), "a string");
  return value;
}

// Tensor types that exist in GGUF files and are not read, by their names.
std::string ggml_type_name(uint32_t type) {
  constexpr std::array<std::string_view, 40> names{
      "",       "",      "",      "",       "q4_2",  "q4_3",  "",        "",       "",        "q8_1",
      "q2_k",   "q3_k",  "",      "",       "",      "q8_k",  "iq2_xxs", "iq2_xs", "iq3_xxs", "iq1_s",
      "iq4_nl", "iq3_s", "iq2_s", "iq4_xs", "i8",    "i16",   "i32",     "i64",    "f64",     "iq1_m",
      "",       "",      "",      "",       "tq1_0", "tq2_0", "",        "",       "",        "mxfp4"};
  if (type < names.size() && !names[type].empty()) return std::string(names[type]);
  return fmt::format("type number {}", type);
}

std::string readable_formats() {
  std::string names;
  for (const FormatInfo& info : all_formats()) {
    if (!names.empty()) names += ", ";
    names += info.name;
  }
  return names;
}

// A tensor entry; its bytes are found once the data section's start is known.
struct TensorEntry {
  GgufTensor tensor;
  uint64_t offset, byte_count;
};

TensorEntry read_tensor(Cursor& in, const std::string& where) {
  TensorEntry entry{};
  GgufTensor& tensor = entry.tensor;
  tensor.name = in.string("a tensor name");
  const auto here = [&] { return fmt::format("{}: tensor {}", where, printable(tensor.name)); };
  const auto dimensions = in.number<uint32_t>("a dimension count");
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    throw Error(here(), fmt::format("1 to {} dimensions", kMaxDimensions), fmt::format("{}", dimensions));
  }
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = in.number<int64_t>("a tensor size");
    if (size < 1) throw Error(here(), "sizes from 1 to 2^63 - 1", fmt::format("{}", static_cast<uint64_t>(size)));
    tensor.shape.insert(tensor.shape.begin(), size);
  }
  const auto type = in.number<uint32_t>("a tensor type");
  const std::optional<Format> format = format_from_ggml(type);
  if (!format) throw Error(here(), "one of the types " + readable_formats(), ggml_type_name(type));
  tensor.format = *format;
  entry.offset = in.number<uint64_t>("a tensor offset");

  const FormatInfo& info = format_info(tensor.format);
  const std::optional<int64_t> elements = element_count(tensor.shape);
  if (tensor.shape.back() % info.block_elements != 0) {
    throw Error(here(), fmt::format("rows of a multiple of {} elements ({})", info.block_elements, info.name),
                fmt::format("{}", tensor.shape.back()));
  }
  if (!elements || __builtin_mul_overflow(static_cast<uint64_t>(*elements) / info.block_elements,
                                          static_cast<uint64_t>(info.block_bytes), &entry.byte_count)) {
    throw Error(here(), "a size in bytes below 2^64", fmt::format("{}", fmt::join(tensor.shape, " x ")));
  }
  return entry;
}

uint64_t read_alignment(const GgufFile& file) {
  constexpr std::string_view key = "general.alignment";
  if (!file.has(key)) return kDefaultAlignment;
  const uint64_t alignment = file.get_uint(key);
  const GgufType type = file.value(key).type;
  if (type != GgufType::u32 || !std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    throw Error(fmt::format("{}: {}", file.where(), key),
                fmt::format("a power of two up to {} (uint32)", kMaxAlignment),
                fmt::format("{} ({})", alignment, gguf_type_name(type)));
  }
  return alignment;
}

// Sets the tensor's bytes, a part of `data`.
void place(TensorEntry& entry, std::span<const std::byte> data, uint64_t alignment, const std::string& where) {
  const auto here = [&] { return fmt::format("{}: tensor {}", where, printable(entry.tensor.name)); };
  if (entry.offset % alignment != 0) {
    throw Error(here(), fmt::format("an offset that is a multiple of {}", alignment), fmt::format("{}", entry.offset));
  }
  if (entry.offset > data.size() || entry.byte_count > data.size() - entry.offset) {
    throw Error(here(), fmt::format("{} bytes at offset {} of the data", entry.byte_count, entry.offset),
                fmt::format("{} bytes of data in the file", data.size()));
  }
  entry.tensor.bytes = data.subspan(entry.offset, entry.byte_count);
}

// The integer number i of a value: its bits and whether it is below zero.
struct Integer {
  uint64_t bits;
  bool negative;
};
Integer load_integer(const GgufValue& value, uint64_t i) {
  const std::byte* at = value.bytes.data() + i * type_info(value.element).bytes;
  const auto with_sign = [](int64_t x) { return Integer{static_cast<uint64_t>(x), x < 0}; };
  switch (value.element) {
    case GgufType::u8:
      return {load<uint8_t>(at), false};
    case GgufType::u16:
      return {load<uint16_t>(at), false};
    case GgufType::u32:
      return {load<uint32_t>(at), false};
    case GgufType::u64:
      return {load<uint64_t>(at), false};
    case GgufType::i8:
      return with_sign(load<int8_t>(at));
    case GgufType::i16:
      return with_sign(load<int16_t>(at));
    case GgufType::i32:
      return with_sign(load<int32_t>(at));
    default:
      SIGMA_CHECK(value.element == GgufType::i64);
      return with_sign(load<int64_t>(at));
  }
}

double load_float(const GgufValue& value, uint64_t i) {
  if (value.element == GgufType::f32) return static_cast<double>(load<float>(value.bytes.data() + i * sizeof(float)));
  return load<double>(value.bytes.data() + i * sizeof(double));
}

std::string kind_of(const GgufValue& value) {
  if (value.type != GgufType::array) return std::string(gguf_type_name(value.type));
  return fmt::format("an array of {}", gguf_type_name(value.element));
}

}  // namespace

std::string_view gguf_type_name(GgufType type) { return type_info(type).name; }

GgufFile::GgufFile(const std::string& path) : file_(path), where_(path) { parse(file_.bytes()); }

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string where) : where_(std::move(where)) { parse(bytes); }

void GgufFile::parse(std::span<const std::byte> bytes) {
  Cursor in(bytes, where_);
  check_header(in, where_);
  const uint64_t tensor_count = in.count("a tensor count", kMinTensorBytes);
  const uint64_t key_count = in.count("a metadata count", kMinEntryBytes);

  keys_.reserve(key_count);
  values_.reserve(key_count);
  for (uint64_t i = 0; i < key_count; ++i) {
    keys_.push_back(in.string("a metadata key"));
    key_index_.add(keys_.back());
    values_.push_back(read_value(in, keys_.back(), where_));
  }
  if (const auto twice = key_index_.finish()) throw Error(key_where(*twice), "one value", "two");

  std::vector<TensorEntry> entries;
  entries.reserve(tensor_count);
  for (uint64_t i = 0; i < tensor_count; ++i) {
    entries.push_back(read_tensor(in, where_));
    tensor_index_.add(entries.back().tensor.name);
  }
  if (const auto twice = tensor_index_.finish()) {
    throw Error(fmt::format("{}: tensor {}", where_, printable(*twice)), "one entry", "two");
  }

  const uint64_t alignment = read_alignment(*this);
  const uint64_t padding = (alignment - in.position() % alignment) % alignment;
  const auto data =
      bytes.subspan(in.position() + std::min(padding, in.left()));  // without tensors the padding may lack
  tensors_.reserve(tensor_count);
  for (TensorEntry& entry : entries) {
    place(entry, data, alignment, where_);
    tensors_.push_back(std::move(entry.tensor));
  }
  check_overlaps();
}

void GgufFile::check_overlaps() const {
  std::vector<size_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return tensors_[a].bytes.data() < tensors_[b].bytes.data(); });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor &before = tensors_[order[i - 1]], &after = tensors_[order[i]];
    if (after.bytes.data() < before.bytes.data() + before.bytes.size()) {
      throw Error(fmt::format("{}: tensor {}", where_, printable(after.name)), "bytes of its own",
                  "bytes of tensor " + printable(before.name));
    }
  }
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const std::optional<size_t> i = tensor_index_.find(name);
  return i ? &tensors_[*i] : nullptr;
}

std::string GgufFile::key_where(std::string_view key) const { return fmt::format("{}: {}", where_, printable(key)); }

const GgufValue& GgufFile::value(std::string_view key) const {
  const std::optional<size_t> i = key_index_.find(key);
  if (!i) throw Error(key_where(key), "this metadata key", "no such key");
  return values_[*i];
}

const GgufValue& GgufFile::scalar(std::string_view key, std::string_view kind, std::span<const GgufType> types) const {
  const GgufValue& found = value(key);
  if (std::find(types.begin(), types.end(), found.type) == types.end()) {
    throw Error(key_where(key), std::string(kind), kind_of(found));
  }
  return found;
}

const GgufValue& GgufFile::array(std::string_view key, std::string_view kind, std::span<const GgufType> types) const {
  const GgufValue& found = value(key);
  if (found.type != GgufType::array || std::find(types.begin(), types.end(), found.element) == types.end()) {
    throw Error(key_where(key), fmt::format("an array of {}", kind), kind_of(found));
  }
  return found;
}

std::string_view GgufFile::get_string(std::string_view key) const {
  const auto bytes = scalar(key, "a string", kStringTypes).bytes.subspan(sizeof(uint64_t));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t GgufFile::get_uint(std::string_view key) const {
  const Integer n = load_integer(scalar(key, "an integer", kIntTypes), 0);
  if (n.negative) throw Error(key_where(key), "an integer from 0", fmt::format("{}", static_cast<int64_t>(n.bits)));
  return n.bits;
}

int64_t GgufFile::checked_int(std::string_view key, const GgufValue& found, uint64_t i) const {
  const Integer n = load_integer(found, i);
  const auto result = static_cast<int64_t>(n.bits);
  if (!n.negative && result < 0) throw Error(key_where(key), "an integer below 2^63", fmt::format("{}", n.bits));
  return result;
}

int64_t GgufFile::get_int(std::string_view key) const {
  return checked_int(key, scalar(key, "an integer", kIntTypes), 0);
}

double GgufFile::get_float(std::string_view key) const {
  return load_float(scalar(key, "a floating-point number", kFloatTypes), 0);
}

bool GgufFile::get_bool(std::string_view key) const {
  const auto value = load<uint8_t>(scalar(key, "a bool", kBoolTypes).bytes.data());
  if (value > 1) throw Error(key_where(key), "a bool of 0 or 1", fmt::format("{}", value));
  return value == 1;
}

std::vector<std::string_view> GgufFile::get_strings(std::string_view key) const {
  const GgufValue& found = array(key, "strings", kStringTypes);
  std::vector<std::string_view> strings;
  strings.reserve(found.count);
  Cursor in(found.bytes, where_);
  for (uint64_t i = 0; i < found.count; ++i) strings.push_back(in.string("a string"));
  return strings;
}

std::vector<int64_t> GgufFile::get_ints(std::string_view key) const {
  const GgufValue& found = array(key, "integers", kIntTypes);
  std::vector<int64_t> numbers(found.count);
  for (uint64_t i = 0; i < found.count; ++i) numbers[i] = checked_int(key, found, i);
  return numbers;
}

std::vector<float> GgufFile::get_floats(std::string_view key) const {
  const GgufValue& found = array(key, "floating-point numbers", kFloatTypes);
  std::vector<float> numbers(found.count);
  for (uint64_t i = 0; i < found.count; ++i) numbers[i] = static_cast<float>(load_float(found, i));
  return numbers;
}

}  // namespace sigma
