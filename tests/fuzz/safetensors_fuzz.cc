// Reads the input as a safetensors file, as the header and (after a zero byte) the data of one, whose length field is
// then right whatever the fuzzer did, and as the index of a sharded folder.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

std::vector<std::byte> assemble(std::string_view text) {
  const uint64_t header_size = std::min(text.find('\0'), text.size());
  const std::string_view tensors = text.substr(std::min<size_t>(header_size + 1, text.size()));
  std::vector<std::byte> file(sizeof(header_size) + header_size + tensors.size());
  std::memcpy(file.data(), &header_size, sizeof(header_size));
  std::copy_n(std::as_bytes(std::span(text)).begin(), header_size, file.begin() + sizeof(header_size));
  std::copy(std::as_bytes(std::span(tensors)).begin(), std::as_bytes(std::span(tensors)).end(),
            file.end() - static_cast<std::ptrdiff_t>(tensors.size()));
  return file;
}

template <class F>
void ignoring_errors(const F& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sigma::ignoring_errors([&] { sigma::read_index(text); });
  sigma::ignoring_errors([&] { sigma::read_file_bytes(std::as_bytes(std::span(data, size))); });
  const std::vector<std::byte> file = sigma::assemble(text);
  sigma::ignoring_errors([&] { sigma::read_file_bytes(file); });
  return 0;
}
