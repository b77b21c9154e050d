#include "kernels/attention_plan.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/error.h"

namespace sigma {

namespace {

// A tile has about this many vectors per K head: K and V are read once per tile.
constexpr int64_t kTileVectors = 64;
constexpr int64_t kMaxTileRows = 32;
// Tasks per thread when the context is cut to occupy every thread.
constexpr int64_t kTasksPerThread = 8;
// Bytes of cache below which waking the other threads costs more than it gains.
constexpr int64_t kSerialBytes = 48 << 10;
// Of one wave of tiles with selective V.
constexpr int64_t kBoardBytes = 16 << 20;

AttentionPlan make_plan(const AttentionArgs& args) {
  const CacheShape &k = args.k.shape, &v = args.v.shape;
  SIGMA_CHECK(args.q_heads > 0 && args.q_heads % k.heads == 0 && args.q_heads % v.heads == 0);
  SIGMA_CHECK_EQ(k.page_tokens, v.page_tokens);
  SIGMA_CHECK_EQ(args.q.cols, static_cast<int64_t>(args.q_heads) * args.q_dim);
  SIGMA_CHECK_EQ(args.out.cols, static_cast<int64_t>(args.q_heads) * v.dim);
  if (args.expansion == nullptr) SIGMA_CHECK_EQ(args.q_dim, k.dim);
  AttentionPlan plan;
  plan.args = &args;
  plan.k = kv_layout(CacheKind::k, k);
  plan.v = kv_layout(CacheKind::v, v);
  plan.units = std::gcd(k.heads, v.heads);
  plan.q_heads = args.q_heads / plan.units;
  plan.k_heads = k.heads / plan.units;
  plan.v_heads = v.heads / plan.units;
  return plan;
}

void check_slice(const AttentionPlan& plan, const SeqSlice& seq) {
  SIGMA_CHECK(seq.rows >= 0 && seq.position >= 0 && seq.row >= 0);
  SIGMA_CHECK_LE(seq.row + seq.rows, plan.args->q.rows);
  SIGMA_CHECK_LE(seq.row + seq.rows, plan.args->out.rows);
  SIGMA_CHECK_LE(ceil_div(seq.position + seq.rows, plan.k.page_tokens), static_cast<int64_t>(seq.pages.size()));
  if (plan.args->expansion != nullptr) {
    SIGMA_CHECK_LE(seq.position + seq.rows, plan.args->expansion->cos.rows);
    SIGMA_CHECK_LE(seq.position + seq.rows, plan.args->expansion->sin.rows);
  }
}

// The rows of a slice that see no more than v_top positions attend to all of them.
int64_t dense_rows(const AttentionArgs& args, const SeqSlice& seq) {
  if (args.v_top <= 0) return seq.rows;
  return std::clamp<int64_t>(args.v_top - seq.position, 0, seq.rows);
}

AttentionTile make_tile(const SeqSlice& seq, int64_t first, int64_t rows, int unit) {
  AttentionTile tile;
  tile.pages = seq.pages.data();
  tile.row = seq.row + first;
  tile.rows = rows;
  tile.position = seq.position + first;
  tile.unit = unit;
  return tile;
}

int64_t splits_of(int64_t positions) { return ceil_div(positions, kAttentionSplit); }

// Scratch of the running threads, one piece each.
class ThreadScratch {
 public:
  ThreadScratch(const AttentionSet& set, const Context& context, const AttentionPlan& plan, int64_t rows,
                int64_t positions)
      : bytes_(round_up(set.scratch_bytes(plan, rows, positions), 64)),
        base_(context.scratch.take<std::byte>(bytes_ * context.threads.size())) {}
  std::byte* of(int thread) const { return base_ + bytes_ * thread; }

 private:
  int64_t bytes_;
  std::byte* base_;
};

// Tasks over [0, end) of every tile, each about `cost` (positions times rows) of work, the longest contexts first.
int64_t make_tasks(std::span<AttentionTile> tiles, int64_t cost, AttentionTask* tasks) {
  int64_t count = 0;
  for (AttentionTile& tile : tiles) {
    const int64_t splits = splits_of(tile.end());
    const int64_t parts = std::clamp<int64_t>(ceil_div(tile.end() * (tile.rows + 1), cost), 1, splits);
    tile.tasks_left = static_cast<int>(parts);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = splits * part / parts, end = splits * (part + 1) / parts;
      tasks[count++] = {&tile, begin * kAttentionSplit, std::min(end * kAttentionSplit, tile.end())};
    }
  }
  return count;
}

struct Work {
  int64_t cost = 0;       // positions times rows, plus positions
  int64_t max_tasks = 0;  // one per split
  int64_t max_rows = 0, max_end = 0;
};

Work measure(std::span<const AttentionTile> tiles) {
  Work work;
  for (const AttentionTile& tile : tiles) {
    work.cost += tile.end() * (tile.rows + 1);
    work.max_tasks += splits_of(tile.end());
    work.max_rows = std::max(work.max_rows, tile.rows);
    work.max_end = std::max(work.max_end, tile.end());
  }
  return work;
}

template <class F>
void run_tasks(const Context& context, const AttentionPlan& plan, const Work& work, int64_t tasks, const F& f) {
  const int64_t token_bytes =
      (plan.k.head_bytes * plan.k_heads + plan.v.head_bytes * plan.v_heads) / plan.k.page_tokens;
  if (work.cost * token_bytes <= 2 * kSerialBytes) {
    for (int64_t i = 0; i < tasks; ++i) f(i, 0);
  } else {
    context.threads.run(tasks, f);
  }
}

void attend(const AttentionSet& set, const Context& context, const AttentionPlan& plan) {
  const AttentionArgs& args = *plan.args;
  const int64_t tile_rows = std::clamp<int64_t>(kTileVectors * args.k.shape.heads / args.q_heads, 1, kMaxTileRows);
  int64_t count = 0;
  for (const SeqSlice& seq : args.seqs) count += ceil_div(dense_rows(args, seq), tile_rows) * plan.units;
  if (count == 0) return;
  Arena::Scope scope(context.scratch);
  const std::span<AttentionTile> tiles(context.scratch.take<AttentionTile>(count), static_cast<size_t>(count));
  size_t next = 0;
  for (const SeqSlice& seq : args.seqs) {
    const int64_t rows = dense_rows(args, seq);
    for (int64_t part = ceil_div(rows, tile_rows) - 1; part >= 0; --part)  // the longest contexts first
      for (int unit = 0; unit < plan.units; ++unit)
        tiles[next++] = make_tile(seq, part * tile_rows, std::min(tile_rows, rows - part * tile_rows), unit);
  }
  const Work work = measure(tiles);
  auto* tasks = context.scratch.take<AttentionTask>(work.max_tasks);
  const int64_t task_cost = ceil_div(work.cost, kTasksPerThread * context.threads.size());
  const int64_t task_count = make_tasks(tiles, task_cost, tasks);
  for (AttentionTile& tile : tiles)
    if (tile.tasks_left > 1)
      tile.partial =
          context.scratch.take<float>(splits_of(tile.end()) * tile.rows * plan.q_heads * (2 + plan.v.padded_dim));
  const ThreadScratch scratch(set, context, plan, work.max_rows, 0);
  run_tasks(context, plan, work, task_count, [&](int64_t i, int thread) {
    AttentionTile& tile = *tasks[i].tile;
    set.attend(plan, tasks[i], scratch.of(thread));
    if (tile.partial == nullptr) return;
    if (std::atomic_ref(tile.tasks_left).fetch_sub(1, std::memory_order_acq_rel) == 1)
      set.merge(plan, tile, scratch.of(thread));
  });
}

int64_t board_bytes(const AttentionPlan& plan, int64_t end) {  // of one row of a unit
  const int64_t stride = round_up(end, kAttentionSplit);
  return plan.q_heads * (stride + stride / 4 + stride / kAttentionSplit * 2) * int64_t{sizeof(float)};
}

void take_board(const Context& context, const AttentionPlan& plan, AttentionTile& tile) {
  const int64_t vectors = tile.rows * plan.q_heads;
  tile.board.stride = round_up(tile.end(), kAttentionSplit);
  tile.board.scores = context.scratch.take<float>(vectors * tile.board.stride);
  tile.board.maxima = context.scratch.take<float>(vectors * tile.board.stride / 4);
  tile.board.splits = context.scratch.take<float>(vectors * tile.board.stride / kAttentionSplit * 2);
}

// One wave: scores of all positions first, then each query head's choice.
void attend_selected(const AttentionSet& set, const Context& context, const AttentionPlan& plan,
                     std::span<AttentionTile> tiles) {
  Arena::Scope scope(context.scratch);
  for (AttentionTile& tile : tiles) take_board(context, plan, tile);
  const Work work = measure(tiles);
  auto* tasks = context.scratch.take<AttentionTask>(work.max_tasks);
  const int64_t task_count = make_tasks(tiles, ceil_div(work.cost, kTasksPerThread * context.threads.size()), tasks);
  const ThreadScratch scratch(set, context, plan, work.max_rows, round_up(work.max_end, kAttentionSplit));
  run_tasks(context, plan, work, task_count,
            [&](int64_t i, int thread) { set.score(plan, tasks[i], scratch.of(thread)); });
  run_tasks(context, plan, work, std::ssize(tiles) * plan.v_heads, [&](int64_t i, int thread) {
    set.select(plan, tiles[static_cast<size_t>(i / plan.v_heads)], static_cast<int>(i % plan.v_heads),
               scratch.of(thread));
  });
}

void attend_selected(const AttentionSet& set, const Context& context, const AttentionPlan& plan) {
  const AttentionArgs& args = *plan.args;
  Arena::Scope scope(context.scratch);
  int64_t max_tiles = 0;
  for (const SeqSlice& seq : args.seqs) max_tiles += (seq.rows - dense_rows(args, seq)) * plan.units;
  if (max_tiles == 0) return;
  auto* tiles = context.scratch.take<AttentionTile>(max_tiles);
  size_t count = 0;
  int64_t bytes = 0;
  const auto flush = [&] {
    if (count > 0) attend_selected(set, context, plan, {tiles, count});
    count = 0;
    bytes = 0;
  };
  for (const SeqSlice& seq : args.seqs) {
    for (int64_t row = dense_rows(args, seq); row < seq.rows;) {
      const int64_t row_bytes = board_bytes(plan, seq.position + seq.rows) * plan.units;
      const int64_t rows = std::min(seq.rows - row, std::clamp<int64_t>(kBoardBytes / row_bytes, 1, kMaxTileRows));
      if (bytes + rows * row_bytes > kBoardBytes) flush();
      for (int unit = 0; unit < plan.units; ++unit) tiles[count++] = make_tile(seq, row, rows, unit);
      bytes += rows * row_bytes;
      row += rows;
    }
  }
  flush();
}

}  // namespace

void run_attention(const AttentionSet& set, const Context& context, const AttentionArgs& args) {
  const AttentionPlan plan = make_plan(args);
  for (const SeqSlice& seq : args.seqs) check_slice(plan, seq);
  attend(set, context, plan);
  if (args.v_top > 0) attend_selected(set, context, plan);
}

}  // namespace sigma
