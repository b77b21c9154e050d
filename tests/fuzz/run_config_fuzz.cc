// RUN.toml: any bytes give a run whose schedules cover their budget, or an Error. The first byte chooses the kind.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "train/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  if (size == 0) return 0;
  const RunKind kind = data[0] % 2 == 0 ? RunKind::pretraining : RunKind::instruction_tuning;
  try {
    const RunConfig run =
        parse_run_config(std::string(reinterpret_cast<const char*>(data) + 1, size - 1), "/fuzz", kind);
    if (run.micro_rows() < 1 || run.phases.empty() || run.identity().empty()) std::abort();
    for (const PhaseConfig& phase : run.phases) {
      const Schedule s = phase.schedule(run.context, 1000);
      int64_t row = 0;
      for (int step = 0; row < s.total_rows; ++step) {
        const int64_t rows = s.batch(row);
        if (rows < 1 || row + rows > s.total_rows || step > 1000) std::abort();
        if (!std::isfinite(s.learning_rate(row, rows)) || s.learning_rate(row, rows) < 0) std::abort();
        row += rows;
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
