#include "kernels/attention_plan.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace sigma {

namespace {

// A tile has about this many vectors per K head: K and V are read once per tile.
constexpr int64_t kTileVectors = 64;
constexpr int64_t kMaxTileRows = 32;
// Tiles of more vectors go unit by unit.
constexpr int64_t kMaxStreamedVectors = 256;
// The next task takes its share of what is left: one of so many parts per thread. Large parts first, small ones last.
constexpr int64_t kPartsPerThread = 3;
// Bytes of cache below which waking the other threads costs more than it gains.
constexpr int64_t kSerialBytes = 48 << 10;
// Of one wave of tiles with selective V.
constexpr int64_t kListBytes = 16 << 20;

AttentionPlan make_plan(const Context& context, const AttentionArgs& args) {
  const CacheShape &k = args.k.shape, &v = args.v.shape;
  SIGMA_CHECK(args.q_heads > 0 && args.q_heads % k.heads == 0 && args.q_heads % v.heads == 0);
  SIGMA_CHECK_EQ(k.page_tokens, v.page_tokens);
  SIGMA_CHECK_EQ(args.q.cols, static_cast<int64_t>(args.q_heads) * args.q_dim);
  SIGMA_CHECK_EQ(args.out.cols, static_cast<int64_t>(args.q_heads) * v.dim);
  if (args.expansion == nullptr) SIGMA_CHECK_EQ(args.q_dim, k.dim);
  AttentionPlan plan;
  plan.args = &args;
  plan.threads = context.threads.size();
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

AttentionTile make_tile(const SeqSlice& seq, int64_t first, int64_t rows) {
  AttentionTile tile;
  tile.pages = seq.pages.data();
  tile.row = seq.row + first;
  tile.rows = rows;
  tile.position = seq.position + first;
  return tile;
}

int64_t splits_of(int64_t positions) { return ceil_div(positions, kAttentionSplit); }

// Tasks of some tiles, and what they need.
class Tasks {
 public:
  Tasks(const Context& context, const AttentionPlan& plan, std::span<AttentionTile> tiles)
      : plan_(plan), threads_(context.threads.size()) {
    int64_t room = 0;
    for (const AttentionTile& tile : tiles) {
      room += splits_of(tile.end()) * plan.units;
      left_ += cost(tile) * plan.units;
    }
    total_ = left_;
    tasks_ = context.scratch.take<AttentionTask>(room);
    for (AttentionTile& tile : tiles) cut(tile);
  }

  int64_t count() const { return count_; }
  const AttentionTask& operator[](int64_t i) const { return tasks_[i]; }
  const TaskSize& size() const { return size_; }
  // Units times positions times rows, about.
  int64_t cost() const { return total_; }

 private:
  // Of one unit; the softmax and the reading of K and V weigh as much as one more row.
  static int64_t cost(const AttentionTile& tile) { return splits_of(tile.end()) * (tile.rows + 1); }

  void cut(AttentionTile& tile) {
    const int64_t first = count_, splits = splits_of(tile.end()), unit_vectors = tile.rows * plan_.q_heads;
    const bool stream = unit_vectors * plan_.units <= kMaxStreamedVectors;
    if (stream) {
      for (int64_t split = 0; split < splits;) {
        const int64_t share = unit_splits(tile);
        const int64_t length = std::clamp<int64_t>(share / plan_.units, 1, splits - split);
        const int64_t units = length > 1 ? plan_.units : std::clamp<int64_t>(share, 1, plan_.units);
        for (int64_t unit = 0; unit < plan_.units; unit += units)
          add(tile, unit, std::min(unit + units, int64_t{plan_.units}), split, split + length);
        split += length;
      }
    } else {
      for (int unit = 0; unit < plan_.units; ++unit)
        for (int64_t split = 0; split < splits;) {
          const int64_t length = std::clamp<int64_t>(unit_splits(tile), 1, splits - split);
          add(tile, unit, unit + 1, split, split + length);
          split += length;
        }
    }
    tile.tasks_left = static_cast<int>(count_ - first);
    for (int64_t i = first; i < count_; ++i)
      size_.vectors = std::max(size_.vectors, unit_vectors * (tasks_[i].unit_end - tasks_[i].unit));
  }
  // The next task's share of what is left, in splits of one unit of this tile.
  int64_t unit_splits(const AttentionTile& tile) const {
    return left_ / (kPartsPerThread * threads_ * (tile.rows + 1));
  }
  void add(AttentionTile& tile, int64_t unit, int64_t unit_end, int64_t split, int64_t split_end) {
    tasks_[count_++] = {.tile = &tile,
                        .unit = static_cast<int>(unit),
                        .unit_end = static_cast<int>(unit_end),
                        .begin = split * kAttentionSplit,
                        .end = std::min(split_end * kAttentionSplit, tile.end())};
    left_ -= (unit_end - unit) * (split_end - split) * (tile.rows + 1);
  }

  const AttentionPlan& plan_;
  int64_t threads_, left_ = 0, total_ = 0, count_ = 0;
  AttentionTask* tasks_ = nullptr;
  TaskSize size_;
};

// Scratch of the running threads, one piece each.
class ThreadScratch {
 public:
  ThreadScratch(const AttentionSet& set, const Context& context, const AttentionPlan& plan, const TaskSize& size)
      : bytes_(round_up(set.scratch_bytes(plan, size), 64)),
        base_(context.scratch.take<std::byte>(bytes_ * context.threads.size())) {}
  std::byte* of(int thread) const { return base_ + bytes_ * thread; }

 private:
  int64_t bytes_;
  std::byte* base_;
};

// Calls f; its time is added to the total that AttentionArgs::times, if any, has for this phase.
template <class F>
void timed(const AttentionPlan& plan, int64_t AttentionTimes::*phase, const F& f) {
  AttentionTimes* const times = plan.args->times;
  if (times == nullptr) return f();
  const auto begin = std::chrono::steady_clock::now();
  f();
  const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - begin;
  std::atomic_ref(times->*phase).fetch_add(spent.count(), std::memory_order_relaxed);
}

template <class F>
void run_tasks(const Context& context, const AttentionPlan& plan, const Tasks& tasks, int64_t count, const F& f) {
  const int64_t token_bytes =
      (plan.k.head_bytes * plan.k_heads + plan.v.head_bytes * plan.v_heads) / plan.k.page_tokens;
  if (tasks.cost() * kAttentionSplit * token_bytes <= 2 * kSerialBytes) {
    for (int64_t i = 0; i < count; ++i) f(i, 0);
  } else {
    context.threads.run(count, f);
  }
}

void attend(const AttentionSet& set, const Context& context, const AttentionPlan& plan) {
  const AttentionArgs& args = *plan.args;
  const int64_t tile_rows = std::clamp<int64_t>(kTileVectors * args.k.shape.heads / args.q_heads, 1, kMaxTileRows);
  int64_t count = 0;
  for (const SeqSlice& seq : args.seqs) count += ceil_div(dense_rows(args, seq), tile_rows);
  if (count == 0) return;
  Arena::Scope scope(context.scratch);
  const std::span<AttentionTile> tiles(context.scratch.take<AttentionTile>(count), static_cast<size_t>(count));
  size_t next = 0;
  for (const SeqSlice& seq : args.seqs) {
    const int64_t rows = dense_rows(args, seq);
    for (int64_t part = ceil_div(rows, tile_rows) - 1; part >= 0; --part)  // the longest contexts first
      tiles[next++] = make_tile(seq, part * tile_rows, std::min(tile_rows, rows - part * tile_rows));
  }
  const Tasks tasks(context, plan, tiles);
  for (int64_t i = 0; i < tasks.count(); ++i) {
    AttentionTile& tile = *tasks[i].tile;
    if (tasks[i].begin > 0 && tile.partial == nullptr)
      tile.partial =
          context.scratch.take<float>(splits_of(tile.end()) * tile.rows * args.q_heads * (2 + plan.v.padded_dim));
  }
  const ThreadScratch scratch(set, context, plan, tasks.size());
  run_tasks(context, plan, tasks, tasks.count(), [&](int64_t i, int thread) {
    AttentionTile& tile = *tasks[i].tile;
    timed(plan, &AttentionTimes::split_ns, [&] { set.attend(plan, tasks[i], scratch.of(thread)); });
    if (tile.partial == nullptr) return;
    if (std::atomic_ref(tile.tasks_left).fetch_sub(1, std::memory_order_acq_rel) == 1)
      timed(plan, &AttentionTimes::combine_ns, [&] { set.merge(plan, tile, scratch.of(thread)); });
  });
}

// Twice what is wanted: shortening a list is cheap, and the sooner it is done the fewer scores are listed in vain.
int64_t list_room(const AttentionPlan& plan, int64_t positions) {
  return std::min(round_up(2 * plan.args->v_top + 64, 16), round_up(positions, 16));
}

int64_t list_bytes(const AttentionPlan& plan, int64_t positions) {  // of one row
  const int64_t list = 8 + 8 * (list_room(plan, positions) + kListSlack);
  return plan.args->q_heads * (plan.threads * list + splits_of(positions) * 8);
}

void take_lists(const Context& context, const AttentionPlan& plan, AttentionTile& tile) {
  const int64_t vectors = tile.rows * plan.args->q_heads;
  Shortlists& l = tile.lists;
  l.stride = round_up(vectors, 16);
  const int64_t lists = plan.threads * l.stride;
  l.room = list_room(plan, tile.end());
  l.count = context.scratch.take<int32_t>(lists);
  l.bound = context.scratch.take<float>(lists);
  l.score = context.scratch.take<float>(lists * (l.room + kListSlack));
  l.position = context.scratch.take<int32_t>(lists * (l.room + kListSlack));
  l.splits = context.scratch.take<float>(vectors * splits_of(tile.end()) * 2);
  std::fill_n(l.count, lists, 0);
  std::fill_n(l.bound, lists, -std::numeric_limits<float>::infinity());
}

// One wave: all scores first, then each query head's choice.
void attend_selected(const AttentionSet& set, const Context& context, const AttentionPlan& plan,
                     std::span<AttentionTile> tiles) {
  Arena::Scope scope(context.scratch);
  const Tasks tasks(context, plan, tiles);
  TaskSize size = tasks.size();
  for (AttentionTile& tile : tiles) {
    take_lists(context, plan, tile);
    size.room = std::max(size.room, tile.lists.room);
  }
  const ThreadScratch scratch(set, context, plan, size);
  run_tasks(context, plan, tasks, tasks.count(), [&](int64_t i, int thread) {
    timed(plan, &AttentionTimes::split_ns, [&] { set.score(plan, tasks[i], thread, scratch.of(thread)); });
  });
  const int64_t v_heads = plan.args->v.shape.heads;
  run_tasks(context, plan, tasks, std::ssize(tiles) * v_heads, [&](int64_t i, int thread) {
    timed(plan, &AttentionTimes::combine_ns, [&] {
      set.select(plan, tiles[static_cast<size_t>(i / v_heads)], static_cast<int>(i % v_heads), scratch.of(thread));
    });
  });
}

void attend_selected(const AttentionSet& set, const Context& context, const AttentionPlan& plan) {
  const AttentionArgs& args = *plan.args;
  Arena::Scope scope(context.scratch);
  int64_t max_tiles = 0;
  for (const SeqSlice& seq : args.seqs) max_tiles += seq.rows - dense_rows(args, seq);
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
      const int64_t row_bytes = list_bytes(plan, seq.position + seq.rows);
      const int64_t rows = std::min(seq.rows - row, std::clamp<int64_t>(kListBytes / row_bytes, 1, kMaxTileRows));
      if (bytes + rows * row_bytes > kListBytes) flush();
      tiles[count++] = make_tile(seq, row, rows);
      bytes += rows * row_bytes;
      row += rows;
    }
  }
  flush();
}

}  // namespace

void run_attention(const AttentionSet& set, const Context& context, const AttentionArgs& args) {
  const AttentionPlan plan = make_plan(context, args);
  for (const SeqSlice& seq : args.seqs) check_slice(plan, seq);
  attend(set, context, plan);
  if (args.v_top > 0) attend_selected(set, context, plan);
}

}  // namespace sigma
