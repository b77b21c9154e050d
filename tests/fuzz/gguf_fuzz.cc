// Opens the input as a GGUF file and reads all that it holds.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"

namespace sigma {
namespace {

template <class F>
void ignoring_errors(const F& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

void read_key(const GgufFile& file, std::string_view key) {
  ignoring_errors([&] { file.get_string(key); });
  ignoring_errors([&] { file.get_uint(key); });
  ignoring_errors([&] { file.get_int(key); });
  ignoring_errors([&] { file.get_float(key); });
  ignoring_errors([&] { file.get_bool(key); });
  ignoring_errors([&] { file.get_strings(key); });
  ignoring_errors([&] { file.get_ints(key); });
  ignoring_errors([&] { file.get_floats(key); });
}

// The first blocks and the last one: every byte of a tensor would only slow the search down.
void read_tensor(const GgufTensor& tensor, std::span<const std::byte> all) {
  constexpr size_t kBlocks = 4;
  const FormatInfo& info = format_info(tensor.format);
  const size_t blocks = tensor.bytes.size() / info.block_bytes;
  SIGMA_CHECK_EQ(blocks * info.block_bytes, tensor.bytes.size());
  SIGMA_CHECK(blocks > 0 && tensor.bytes.data() >= all.data());
  SIGMA_CHECK(tensor.bytes.data() + tensor.bytes.size() <= all.data() + all.size());
  std::vector<float> values(kBlocks * info.block_elements);
  const size_t first = std::min(blocks, kBlocks);
  info.dequantise(tensor.bytes.data(), values.data(), static_cast<int64_t>(first) * info.block_elements);
  info.dequantise(tensor.bytes.data() + (blocks - 1) * info.block_bytes, values.data(), info.block_elements);
}

void read(std::span<const std::byte> bytes) {
  const GgufFile file(bytes, "input");
  for (const std::string_view key : file.keys()) read_key(file, key);
  for (const GgufTensor& tensor : file.tensors()) {
    SIGMA_CHECK(file.find(tensor.name) == &tensor);
    read_tensor(tensor, bytes);
  }
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sigma::ignoring_errors([&] { sigma::read(std::as_bytes(std::span(data, size))); });
  return 0;
}
