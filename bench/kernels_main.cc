// bench_kernels [--filter TEXT] [--rounds N] [--threads N] [--json]: see bench/kernels.h. The set is cpu_kernels(), or
// the one that SIGMA_KERNELS names.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "bench/kernels.h"

namespace sigma::bench {
namespace {

void print(const KernelResult& r) {
  std::string line = fmt::format("{:<32} {:>10.2f} us ({:.2f} - {:.2f})", r.name, r.seconds.median * 1e6,
                                 r.seconds.low * 1e6, r.seconds.high * 1e6);
  if (r.bytes > 0) line += fmt::format("  {:>6.1f} GB/s", r.bytes / r.seconds.median * 1e-9);
  if (r.operations > 0) line += fmt::format("  {:>6.0f} GOP/s", r.operations / r.seconds.median * 1e-9);
  if (r.limit > 0) line += fmt::format("  {:>3.0f}% of {} {:.0f}", r.share * 100, r.limit_kind, r.limit * 1e-9);
  std::puts(line.c_str());
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  KernelOptions options;
  int threads = 0;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
      continue;
    }
    if (i + 1 == argc) throw UsageError("bench_kernels", "--filter, --rounds, --threads or --json", printable(option));
    const char* value = argv[++i];
    if (option == "--filter") {
      options.filter = value;
    } else if (option == "--rounds") {
      options.rounds = std::atoi(value);
    } else if (option == "--threads") {
      threads = std::atoi(value);
    } else {
      throw UsageError("bench_kernels", "--filter, --rounds, --threads or --json", printable(option));
    }
  }
  ThreadPool pool(threads);
  const Kernels& kernels = cpu_kernels();
  if (!json) std::printf("%s kernels, %d threads\n", kernels.name, pool.size());
  bench_kernels(kernels, pool, options, [&](const KernelResult& result) {
    if (json) {
      std::puts(to_json(result).c_str());
    } else {
      print(result);
    }
  });
  return 0;
}

}  // namespace
}  // namespace sigma::bench

int main(int argc, char** argv) {
  try {
    return sigma::bench::run(argc, argv);
  } catch (const sigma::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
