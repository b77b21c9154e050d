// Opens the input as a safetensors file, and reads it as the index of a sharded folder.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/safetensors.h"

namespace sigma {
namespace {

void read_file_bytes(std::span<const std::byte> bytes) {
  const SafetensorsFile file(bytes, "input");
  for (const SafetensorsEntry& entry : file.entries()) {
    SIGMA_CHECK(file.find(entry.name) == &entry);
    SIGMA_CHECK(entry.bytes.data() >= bytes.data());
    SIGMA_CHECK(entry.bytes.data() + entry.bytes.size() <= bytes.data() + bytes.size());
    if (!entry.format) continue;
    const FormatInfo& info = format_info(*entry.format);
    const size_t elements = entry.bytes.size() / info.block_bytes;
    SIGMA_CHECK(element_count(entry.shape) == static_cast<int64_t>(elements));
    std::vector<float> values(std::min<size_t>(elements, 64));
    const size_t skipped = elements - values.size();  // the last ones: the ends are where bounds go wrong
    info.dequantise(entry.bytes.data() + skipped * info.block_bytes, values.data(),
                    static_cast<int64_t>(values.size()));
  }
}

void read_index(std::string_view text) {
  for (const auto& [tensor, file] : parse_safetensors_index(text, "input")) {
    SIGMA_CHECK(!file.empty() && file.find('/') == std::string::npos && file != "..");
  }
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    sigma::read_index({reinterpret_cast<const char*>(data), size});
  } catch (const sigma::Error&) {
  }
  try {
    sigma::read_file_bytes(std::as_bytes(std::span(data, size)));
  } catch (const sigma::Error&) {
  }
  return 0;
}
