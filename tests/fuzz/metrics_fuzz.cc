// metrics.jsonl of any bytes, drawn: an Error, or a picture without numbers that are none.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "train/metrics.h"
#include "train/plot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const std::string svg = plot_runs({{"fuzz", parse_metrics(text, "fuzz")}});
    if (svg.find("nan") != std::string::npos || svg.find("inf") != std::string::npos) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
