#include "apps/bench_efficiency.h"

#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "bench/efficiency/report.h"
#include "bench/efficiency/study.h"

namespace sigma {

namespace {

constexpr double kGib = 1 << 30;
constexpr double kSpare = kGib / 2;  // of memory, for everybody else

// The processor's name, where the system says it, and how many there are.
std::string machine_name(int threads) {
  std::ifstream info("/proc/cpuinfo");
  std::string name = "this machine";
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      name = printable(line.substr(line.find(':') + 2));
      break;
    }
  return fmt::format("{}, {} threads", name, threads);
}

void check(const EfficiencyOptions& o) {
  const auto in_range = [](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most)
      throw UsageError(name, fmt::format("a whole number from {} to {}", least, most), fmt::format("{}", value));
  };
  in_range("--max-prefix", o.max_prefix, 0, 1 << 20);
  in_range("--max-output", o.max_output, bench::kTokens, 1 << 20);
  in_range("--batch", o.batch, 2, 256);
  if (!(o.minutes >= 0)) throw UsageError("--minutes", "minutes >= 0", fmt::format("{}", o.minutes));
  if (!(o.whole_minutes >= 0)) throw UsageError("--whole", "minutes >= 0", fmt::format("{}", o.whole_minutes));
  if (!(o.memory_gib >= 0)) throw UsageError("--memory", "GiB >= 0", fmt::format("{}", o.memory_gib));
}

}  // namespace

int run_efficiency(const EfficiencyOptions& o) {
  check(o);
  ThreadPool threads(o.threads);
  bench::StudyOptions study{.grid = {.quick = o.quick,
                                     .max_prefix = o.max_prefix,
                                     .max_output = o.max_output,
                                     .batch = o.batch,
                                     .memory_bytes = o.memory_gib * kGib,
                                     .whole_seconds = o.whole_minutes * 60},
                            .folder = o.folder,
                            .machine = machine_name(threads.size()),
                            .model = o.model,
                            .text = o.text,
                            .seconds = o.minutes * 60,
                            .only = o.only};
  if (o.memory_gib == 0) study.grid.memory_bytes = static_cast<double>(available_memory()) - kSpare;
  bool complete = false;
  const bench::Results results = bench::run_study(complete, cpu_kernels(), threads, study);
  const Json json = bench::findings_json(results);
  write_file(o.folder + "/efficiency.json", json.dump(1) + "\n");
  bench::write_plots(results, o.folder);
  write_file(o.folder + "/efficiency.html", bench::html_report(results));
  const std::string text = bench::text_report(results);
  write_file(o.folder + "/efficiency.md", text);
  std::fputs(o.json ? (json.dump(1) + "\n").c_str() : text.c_str(), stdout);
  if (!o.json) std::printf("\nThe same with plots: %s/efficiency.html\n", o.folder.c_str());
  if (!complete)
    std::fprintf(stderr, "sigma: --minutes %g are over; the same command goes on with what is missing\n", o.minutes);
  return 0;
}

}  // namespace sigma
