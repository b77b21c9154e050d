// out[m, n] = sum_k x[m, k] w[n, k], weights packed in panels (kernels/packed.h), activations in tiles (activations.h).
//
// A task is one panel of 32 outputs for some rows. Whatever the number of rows, an output is one f32 accumulator that
// takes the blocks of k in order with the same operations, so its bits do not depend on the other rows.
#include "kernels/cpu/activations.h"
#include "kernels/cpu/check.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tiles.h"
#include "kernels/packed.h"

namespace sigma::SIGMA_ISA {

namespace {

// Row tiles of a task: their accumulators (64 x 6 x 32 x f32) and activations stay in the L2 cache beside the weights.
constexpr int64_t kTilesPerTask = 64;
// Up to this many row tiles, the time goes into reading weights.
constexpr int64_t kStreamingTiles = 2;

struct Job {
  const MatmulJob* job;
  const LayoutKernels* kernels;
  const std::byte* activations;
  int64_t first_panel;  // panels of all jobs are numbered through
};

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Which panels a task takes. With few rows a product waits for memory, which is read best as one long stream per
// thread: so most of the panels go in one run to each thread, the rest in short ones that let all finish together.
struct Runs {
  Runs(int64_t panels_, int threads, bool stream)
      : panels(panels_),
        long_runs(stream ? threads : 0),
        long_panels(stream ? panels_ * 7 / 8 / threads : 0),
        short_panels(stream ? larger(1, panels_ / (64 * threads)) : 1),
        count(long_runs + ceil_div(panels_ - long_runs * long_panels, short_panels)) {}
  int64_t begin(int64_t run) const {
    if (run < long_runs) return run * long_panels;
    return smaller(panels, long_runs * long_panels + (run - long_runs) * short_panels);
  }
  int64_t panels, long_runs, long_panels, short_panels, count;
};

// out[r, first..first + 32) from a tile's accumulators [rows, 32]; the last panel may have fewer columns.
void finish(const MatmulJob& job, const float* acc, int64_t row, int rows, int64_t first) {
  const int64_t count = smaller(kPanel, job.w->rows - first);
  for (int r = 0; r < rows; ++r) {
    float* out = job.out.row<float>(row + r) + first;
    for (int64_t i = 0; i < count; i += kLanes) {
      const int n = static_cast<int>(smaller(kLanes, count - i));
      F32 v = load(acc + r * kPanel + i);
      if (job.bias != nullptr) v = v + load_some(job.bias + first + i, n);
      if (job.store == Store::add) v = load_some(out + i, n) + v;
      store_some(out + i, v, n);
    }
  }
}

// One panel times row tiles [begin, end), the panel cut into chunks that stay in the L1 cache.
void panel_times_tiles(const Job& job, int64_t panel, const Tiling& tiling, int64_t begin, int64_t end, float* acc) {
  const LayoutKernels& kernels = *job.kernels;
  const int64_t blocks = ceil_div(job.job->w->cols, kBlock);
  const std::byte* w = job.job->w->storage.data() + panel * blocks * kernels.block_bytes;
  const int64_t first_row = tiling.first_row(begin);
  for (int64_t b = 0; b < blocks; b += kernels.chunk_blocks) {
    const int64_t count = smaller(kernels.chunk_blocks, blocks - b);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = tiling.first_row(t);
      const int rows = tiling.rows(t);
      const std::byte* a = job.activations + (row * blocks + b * rows) * kernels.activation_bytes;
      kernels.tile[rows](acc + (row - first_row) * kPanel, a, w + b * kernels.block_bytes, count, b == 0);
    }
  }
  for (int64_t t = begin; t < end; ++t) {
    const int64_t row = tiling.first_row(t);
    finish(*job.job, acc + (row - first_row) * kPanel, row, tiling.rows(t), panel * kPanel);
  }
}

}  // namespace

void matmul(const Context& context, ConstTensorView x, std::span<const MatmulJob> jobs) {
  constexpr size_t kMaxJobs = 8;
  SIGMA_KERNEL_CHECK_LE(static_cast<int64_t>(jobs.size()), static_cast<int64_t>(kMaxJobs));
  if (x.rows == 0) return;
  const Arena::Scope scope(context.scratch);
  const std::byte* activations[kActivationKinds] = {};
  Job list[kMaxJobs];
  const Tiling tiling(x.rows);
  const int64_t row_tasks = ceil_div(tiling.tiles, kTilesPerTask);
  int64_t panels = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const MatmulJob& job = jobs[i];
    SIGMA_KERNEL_CHECK_EQ(job.w->cols, x.cols);
    SIGMA_KERNEL_CHECK_EQ(job.out.rows, x.rows);
    SIGMA_KERNEL_CHECK_EQ(job.out.cols, job.w->rows);
    const LayoutKernels& kernels = layout_kernels(static_cast<Layout>(job.w->layout));
    const std::byte*& packed = activations[static_cast<int>(kernels.activations)];
    if (packed == nullptr) packed = pack_activations(context, kernels.activations, x);
    list[i] = {&job, &kernels, packed, panels};
    panels += ceil_div(job.w->rows, kPanel);
  }
  const int64_t acc_floats = smaller(x.rows, kTilesPerTask * kMaxTileRows) * kPanel;
  float* acc = context.scratch.take<float>(acc_floats * context.threads.size());
  const int64_t count = static_cast<int64_t>(jobs.size());
  const Runs runs(panels, context.threads.size(), tiling.tiles <= kStreamingTiles);
  context.threads.run(runs.count * row_tasks, [&](int64_t task, int thread) {
    const int64_t begin = task / runs.count * kTilesPerTask, run = task % runs.count;
    for (int64_t panel = runs.begin(run); panel < runs.begin(run + 1); ++panel) {
      int64_t i = count - 1;
      while (list[i].first_panel > panel) --i;
      panel_times_tiles(list[i], panel - list[i].first_panel, tiling, begin,
                        smaller(begin + kTilesPerTask, tiling.tiles), acc + thread * acc_floats);
    }
  });
}

}  // namespace sigma::SIGMA_ISA
