// What a run leaves for people and tools to read: metrics.jsonl (one object a line) and TensorBoard event files.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace sigma {

// Appends lines. Opening cuts off the lines of steps after `last_step`: a run that was killed does them again.
class MetricsLog {
 public:
  MetricsLog(const std::string& path, int64_t last_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void write(const Json& line);  // flushed at once

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
};

// The lines of a metrics.jsonl; Error names the line that is not a JSON object. A last line that was cut short by a
// crash is left out.
std::vector<Json> parse_metrics(const std::string& text, const std::string& file);
std::vector<Json> read_metrics(const std::string& path);

// One events.out.tfevents.* file, as TensorBoard reads it.
class EventFile {
 public:
  // folder: made if missing. step: where this process begins; TensorBoard forgets later points of earlier files.
  EventFile(const std::string& folder, int64_t step, double wall_time);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  void write(int64_t step, double wall_time, const std::vector<std::pair<std::string, double>>& scalars);

 private:
  void record(const std::string& event);
  std::string path_;
  std::FILE* file_ = nullptr;
};

// CRC-32C of bytes, as in TFRecord files.
uint32_t crc32c(std::string_view bytes);

}  // namespace sigma
