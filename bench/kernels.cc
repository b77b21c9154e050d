#include "bench/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/fmt.h"
#include "base/rng.h"

namespace sigma::bench {

namespace {

// Matrices of one case are so many that no cache holds them: what decoding sees.
constexpr size_t kStreamBytes = size_t{160} << 20;
// Shortest time one round measures.
constexpr double kRoundSeconds = 0.01;

struct Case {
  std::string name, weights;
  int64_t rows = 1;
  double bytes = 0, operations = 0;
  std::optional<Peak> peak;
  int64_t calls = 1;  // made by one run()
  std::function<void()> run = {};
};

struct Shape {
  int64_t outputs, inputs;
};

std::vector<float> random_values(int64_t count) {
  Rng rng(7);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

// A random matrix as a checkpoint has it. Formats that are only read get random bytes with scales that are small
// numbers.
std::vector<std::byte> random_matrix(Format format, Shape shape) {
  const FormatInfo& info = format_info(format);
  const int64_t row_bytes = format_row_bytes(format, shape.inputs);
  std::vector<std::byte> matrix(static_cast<size_t>(shape.outputs * row_bytes));
  const std::vector<float> row = random_values(shape.inputs);
  Rng rng(11);
  for (int64_t r = 0; r < shape.outputs; ++r) {
    std::byte* to = matrix.data() + r * row_bytes;
    if (info.quantise != nullptr && r == 0) {
      info.quantise(row.data(), to, shape.inputs);
    } else if (info.quantise != nullptr) {
      std::memcpy(to, matrix.data(), static_cast<size_t>(row_bytes));
    } else {
      for (int64_t i = 0; i < row_bytes; ++i) to[i] = static_cast<std::byte>(rng.next() & 0x2f);
    }
  }
  return matrix;
}

Peak peak_of(Format format) {
  if (format == Format::f32 || format == Format::f16) return Peak::f32;
  return format == Format::bf16 ? Peak::bf16 : Peak::int8;
}

class Bench {
 public:
  Bench(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
        const std::function<void(const Result&)>& report)
      : context_{kernels, threads, scratch_}, machine_(threads), options_(options), report_(report) {}

  bool wanted(const std::string& name) const { return name.find(options_.filter) != name.npos; }

  // x [rows, inputs] times a matrix; few rows: a different matrix every time, out of memory.
  void matmul(Format format, int64_t rows, Shape shape) {
    const std::string name =
        fmt::format("matmul {} {}x{}x{}", format_info(format).name, rows, shape.outputs, shape.inputs);
    if (!wanted(name)) return;
    const std::vector<std::byte> source = random_matrix(format, shape);
    const MatrixSource matrix{format, shape.outputs, shape.inputs, source.data(), {}};
    std::vector<PackedMatrix> packed;
    size_t bytes = 0;
    do {
      packed.push_back(context_.k.pack(context_.threads, matrix));
      bytes += packed.back().storage.size();
    } while (rows <= 16 && bytes < kStreamBytes);
    const std::vector<float> x = random_values(rows * shape.inputs);
    std::vector<float> out(static_cast<size_t>(rows * shape.outputs));
    measure({.name = name,
             .weights = std::string(format_info(format).name),
             .rows = rows,
             .bytes = rows <= 16 ? static_cast<double>(packed.front().bytes_per_pass()) : 0.0,
             .operations = 2.0 * static_cast<double>(rows * shape.outputs * shape.inputs),
             .peak = peak_of(format),
             .calls = static_cast<int64_t>(packed.size()),
             .run = [&] {
               for (const PackedMatrix& w : packed) {
                 const MatmulJob job{&w, view_of(out.data(), rows, shape.outputs)};
                 context_.k.matmul(context_, view_of(x.data(), rows, shape.inputs), {&job, 1});
               }
             }});
  }

  // Row kernels work on what the kernel before them left in the cache: no bytes of memory, no limit but themselves.
  void rows(const std::string& kernel, int64_t rows, int64_t cols) {
    const std::string name = fmt::format("{} {}x{}", kernel, rows, cols);
    if (!wanted(name)) return;
    std::vector<float> x = random_values(rows * cols), out = x;
    const std::vector<float> other = random_values(rows * cols);
    const TensorView to = view_of(out.data(), rows, cols);
    const ConstTensorView from = view_of(std::as_const(x).data(), rows, cols);
    const ConstTensorView second = view_of(other.data(), rows, cols);
    constexpr int64_t kHead = 64;
    const std::vector<float> cos(static_cast<size_t>(rows * kHead / 2), 0.6f),
        sin(cos.size(), 0.8f);  // x stays as large
    measure({.name = name, .rows = rows, .run = [&] {
               if (kernel == "rms_norm") context_.k.rms_norm(context_, to, from, other.data(), 1e-5f);
               if (kernel == "rope")
                 context_.k.rope(context_, to, kHead, view_of(cos.data(), rows, kHead / 2),
                                 view_of(sin.data(), rows, kHead / 2));
               if (kernel == "swiglu") context_.k.swiglu(context_, to, from, second);
             }});
  }

  // Loading: reads the source once, writes the packed form once.
  void pack(Format format, Shape shape) {
    const std::string name = fmt::format("pack {} {}x{}", format_info(format).name, shape.outputs, shape.inputs);
    if (!wanted(name)) return;
    const std::vector<std::byte> source = random_matrix(format, shape);
    const MatrixSource matrix{format, shape.outputs, shape.inputs, source.data(), {}};
    measure({.name = name, .bytes = 2.0 * static_cast<double>(source.size()), .run = [&] {
               context_.k.pack(context_.threads, matrix);
             }});
  }

  // What handing work to all threads and waiting for them costs.
  void fork_join() {
    if (wanted("fork-join")) measure({.name = "fork-join", .run = [&] { context_.threads.run(64, [](int64_t) {}); }});
  }

 private:
  void measure(const Case& c) {
    const double begin = seconds();
    c.run();
    const int64_t repeats = std::max<int64_t>(1, std::llround(kRoundSeconds / (seconds() - begin)));
    const auto read_once = [&] { return c.bytes > 0 ? machine_.read_once() : 0.0; };
    const auto peak_once = [&] { return c.peak ? machine_.peak_once(*c.peak) : 0.0; };
    std::vector<double> times, reads, peaks, shares;
    for (int round = 0; round < std::max(5, options_.rounds); ++round) {
      double read = read_once(), peak = peak_once();
      const double start = seconds();
      for (int64_t i = 0; i < repeats; ++i) c.run();
      times.push_back((seconds() - start) / static_cast<double>(repeats * c.calls));
      read = std::max(read, read_once());
      peak = std::max(peak, peak_once());
      const double least = std::max(read > 0 ? c.bytes / read : 0, peak > 0 ? c.operations / peak : 0);
      shares.push_back(least / times.back());
      reads.push_back(read);
      peaks.push_back(peak);
    }
    const double read = spread_of(reads).median, peak = spread_of(peaks).median;
    Result result{.name = c.name,
                  .weights = c.weights,
                  .batch = c.rows,
                  .threads = context_.threads.size(),
                  .ours = spread_of(times),
                  .bytes = c.bytes,
                  .operations = c.operations};
    const double read_seconds = read > 0 ? c.bytes / read : 0;
    const double compute_seconds = peak > 0 ? c.operations / peak : 0;
    if (read_seconds >= compute_seconds) {
      result.limit = {"read", read};
    } else {
      result.limit = {peak_name(*c.peak), peak};
    }
    result.share = spread_of(shares).median;
    report_(result);
  }

  Arena scratch_;
  Context context_;
  Machine machine_;
  const KernelOptions& options_;
  const std::function<void(const Result&)>& report_;
};

}  // namespace

void bench_kernels(const Kernels& kernels, ThreadPool& threads, const KernelOptions& options,
                   const std::function<void(const Result&)>& report) {
  Bench bench(kernels, threads, options, report);
  constexpr Format kMain[] = {Format::q8_0, Format::q4_0, Format::q4_1, Format::bf16};
  constexpr Shape kDecode[] = {{2048, 2048}, {6144, 2048}, {2048, 6144}, {576, 576},
                               {1536, 576},  {576, 1536},  {49152, 576}, {128256, 2048}};
  for (const Format format : kMain)
    for (const Shape shape : kDecode) bench.matmul(format, 1, shape);
  for (const Format format : {Format::f32, Format::f16, Format::q6_k}) bench.matmul(format, 1, {2048, 2048});
  for (const Format format : kMain)
    for (const int64_t rows : {2, 4, 8, 16}) bench.matmul(format, rows, {2048, 2048});
  for (const Format format : kMain)
    for (const Shape shape : {Shape{2048, 2048}, {6144, 2048}, {2048, 6144}, {576, 576}, {1536, 576}, {576, 1536}})
      bench.matmul(format, 512, shape);
  for (const Format format : {Format::f32, Format::f16, Format::q6_k}) bench.matmul(format, 512, {2048, 2048});
  for (const char* kernel : {"rms_norm", "rope", "swiglu"})
    for (const int64_t rows : {1, 512}) bench.rows(kernel, rows, kernel == std::string("swiglu") ? 6144 : 2048);
  for (const Format format : kMain) bench.pack(format, {6144, 2048});
  bench.fork_join();
}

}  // namespace sigma::bench
