#include "train/metrics.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

void write_all(std::FILE* file, const std::string& path, std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fflush(file) != 0)
    throw Error(path, "room for another line", std::strerror(errno));
}

std::FILE* open_file(const std::string& path, const char* mode) {
  std::FILE* file = std::fopen(path.c_str(), mode);
  if (file == nullptr) throw Error(path, "a place that can be written", std::strerror(errno));
  return file;
}

// --- protocol buffers, as much as an event needs ---

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}

enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

std::string tag(uint64_t field, Wire wire) { return varint(field << 3 | wire); }

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string message(uint64_t field, std::string_view body) {
  return tag(field, kLengthDelimited) + varint(body.size()) + std::string(body);
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event_head(int64_t step, double wall_time) {
  return tag(1, kFixed64) + little_endian(wall_time) + tag(2, kVarint) + varint(static_cast<uint64_t>(step));
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78u : 0);
      t[i] = c;
    }
    return t;
  }();
  uint32_t c = ~uint32_t{0};
  for (const char byte : bytes) c = (c >> 8) ^ table[(c ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~c;
}

std::vector<Json> parse_metrics(const std::string& text, const std::string& file) {
  std::vector<Json> lines;
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // cut short
    const std::string where = fmt::format("{} line {}", file, number);
    Json line = parse_json(std::string_view(text).substr(begin, end - begin), where);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer())
      throw Error(where, "an object with a step", printable(text.substr(begin, end - begin)));
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

std::vector<Json> read_metrics(const std::string& path) { return parse_metrics(read_file(path), path); }

MetricsLog::MetricsLog(const std::string& path, int64_t last_step) : path_(path) {
  std::string kept;
  if (fs::exists(path))
    for (const Json& line : read_metrics(path))
      if (line["step"].get<int64_t>() <= last_step) kept += line.dump() + "\n";
  write_file(path, kept);
  file_ = open_file(path, "abe");
}

MetricsLog::~MetricsLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void MetricsLog::write(const Json& line) { write_all(file_, path_, line.dump() + "\n"); }

EventFile::EventFile(const std::string& folder, int64_t step, double wall_time)
    : path_(fmt::format("{}/events.out.tfevents.{}.{}", folder, static_cast<int64_t>(wall_time), ::getpid())) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(folder, "a place that can be written", error.message());
  file_ = open_file(path_, "wbe");
  record(event_head(0, wall_time) + message(3, "brain.Event:2"));
  record(event_head(step, wall_time) + message(7, tag(1, kVarint) + varint(1)));  // SessionLog::START
}

EventFile::~EventFile() {
  if (file_ != nullptr) std::fclose(file_);
}

// TFRecord: length, its masked checksum, the bytes, their masked checksum.
void EventFile::record(const std::string& event) {
  const auto masked = [](std::string_view bytes) {
    const uint32_t c = crc32c(bytes);
    return little_endian((c >> 15 | c << 17) + 0xa282ead8u);
  };
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  write_all(file_, path_, length + masked(length) + event + masked(event));
}

// Summary: repeated value = 1 { tag = 1, simple_value = 2 }
void EventFile::write(int64_t step, double wall_time, const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [name, value] : scalars)
    summary += message(1, message(1, name) + tag(2, kFixed32) + little_endian(static_cast<float>(value)));
  record(event_head(step, wall_time) + message(5, summary));
}

}  // namespace sigma
