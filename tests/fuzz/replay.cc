// Runs a fuzz target over its corpus without a fuzzer: every input whole, and cut short at up to 64 places.
//     NAME_replay FOLDER
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// A copy of exactly this size, so that a sanitizer sees the first byte read behind it.
void run(const std::string& text, size_t size) {
  const std::vector<uint8_t> input(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

int replay(const std::string& folder) {
  constexpr size_t kCuts = 64;
  size_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string text = sigma::read_file(entry.path().string());
    run(text, text.size());
    const size_t step = text.size() / kCuts + 1;
    for (size_t size = 0; size < text.size(); size += step) run(text, size);
    ++inputs;
  }
  std::printf("%zu inputs\n", inputs);
  return inputs == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    return replay(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
