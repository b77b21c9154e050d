#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

using test::TempFolder;

TEST(Metrics, Crc32cIsThatOfRfc3720) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
}

TEST(Metrics, LinesAfterTheStepAreCutOff) {
  const TempFolder folder;
  const std::string path = folder.path("metrics.jsonl");
  {
    MetricsLog log(path, 0);
    for (int step = 1; step <= 5; ++step) log.write({{"step", step}, {"loss", step * 0.1}});
  }
  std::ofstream(path, std::ios::app) << "{\"step\": 6, \"lo";  // a crash in the middle of a line
  EXPECT_EQ(read_metrics(path).size(), 5u);
  {
    MetricsLog log(path, 3);
    log.write({{"step", 4}, {"loss", 7}});
  }
  const std::vector<Json> lines = read_metrics(path);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2]["loss"], 3 * 0.1);
  EXPECT_EQ(lines[3]["loss"], 7);
  std::ofstream(path, std::ios::app) << "nonsense\n";
  EXPECT_THROW(read_metrics(path), Error);
}

// The records of an event file, checksums checked.
std::vector<std::string> records(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<std::string> found;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length;
    uint32_t sums[2];
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&sums[0], bytes.data() + at + 8, 4);
    found.push_back(bytes.substr(at + 12, length));
    std::memcpy(&sums[1], bytes.data() + at + 12 + length, 4);
    const auto masked = [](std::string_view text) {
      const uint32_t c = crc32c(text);
      return (c >> 15 | c << 17) + 0xa282ead8u;
    };
    EXPECT_EQ(sums[0], masked(bytes.substr(at, 8)));
    EXPECT_EQ(sums[1], masked(found.back()));
    at += 16 + length;
  }
  return found;
}

TEST(Metrics, EventFilesAreRecordsOfProtocolBuffers) {
  const TempFolder folder;
  {
    EventFile file(folder.path("events"), 300, 12.5);
    file.write(301, 13.5, {{"loss", 0.75}});
  }
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path("events"))) paths.push_back(entry.path());
  ASSERT_EQ(paths.size(), 1u);
  const std::vector<std::string> events = records(paths[0]);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  // wall_time 13.5 (field 1, 64 bits), step 301 (field 2), summary (field 5) { value (1) { tag (1), simple_value (2) }
  // }
  const unsigned char expected[] = {0x09, 0,  0,    0, 0,   0,   0,   0x2b, 0x40, 0x10, 0xad, 0x02, 0x2a, 13,
                                    0x0a, 11, 0x0a, 4, 'l', 'o', 's', 's',  0x15, 0,    0,    0x40, 0x3f};
  EXPECT_EQ(events[2], std::string(reinterpret_cast<const char*>(expected), sizeof expected));
}

}  // namespace
}  // namespace sigma
