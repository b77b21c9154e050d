// bench_kernels [--filter TEXT] [--rounds N] [--threads N] [--json]: see bench/kernels.h. The set is cpu_kernels(), or
// the one that SIGMA_KERNELS names.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "bench/attention.h"
#include "bench/kernels.h"

namespace sigma::bench {
namespace {

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
  const auto report = [&](const Result& result) {
    std::puts((json ? to_json(result) : to_text(result)).c_str());
    std::fflush(stdout);
  };
  bench_kernels(kernels, pool, options, report);
  bench_attention(kernels, pool, options, report);
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
