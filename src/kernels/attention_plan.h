// How an attention call is cut into tasks, the same way for every CPU kernel set; what a task computes is the ISA's.
//
// A unit is the smallest group of heads that shares no K and no V head with another: of gcd(k_heads, v_heads) units,
// each has q_heads / units query heads, k_heads / units K heads and v_heads / units V heads.
// A tile is a few consecutive rows of one sequence. Its vectors, a query head of a row each, are numbered
// [query head][row], so that those of a unit, of a K head and of a V head are consecutive.
// A task is a range of units over a stretch of a tile's context. Few rows: all units at once, of every block first the
// keys and then the values in the order in which a page holds them, since reading memory front to back is what decides
// the time; many rows: one unit, which reuses what it has read.
//
// Determinism: the context is cut at absolute positions. Within a split of kAttentionSplit positions, groups of a few
// are taken in by the online softmax in order, and the values of a block of kAttentionBlock after its scores; splits
// are merged in order. So a row's result depends on nothing but its own query and context: not on how tiles and tasks
// are formed, on pages or on threads.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/kv_layout.h"

namespace sigma {

inline constexpr int kAttentionBlock = 256;
inline constexpr int kAttentionSplit = 512;

struct AttentionPlan {
  const AttentionArgs* args = nullptr;
  KvLayout k, v;
  int threads = 0;
  int units = 0, q_heads = 0, k_heads = 0, v_heads = 0;  // heads: of one unit
};

// Selective V, for every vector of a tile: what each thread met of its largest scores (attention_select.h), and the
// weights of all.
struct Shortlists {
  int64_t stride = 0;           // lists of a thread: vectors, rounded up to a cache line's worth of counts
  int64_t room = 0;             // of one list
  int32_t* count = nullptr;     // [threads][stride]
  float* bound = nullptr;       // likewise: smaller scores are not among the largest
  float* score = nullptr;       // [threads][stride][room + kListSlack]
  int32_t* position = nullptr;  // likewise
  float* splits = nullptr;      // [vectors][splits of the context][2]: a reference m and the sum of 2^(s - m)
};
inline constexpr int64_t kListSlack = 16;  // vectors may be written at the end

struct AttentionTile {
  const PageId* pages = nullptr;
  int64_t row = 0, rows = 0;  // of the batch
  int64_t position = 0;       // of `row` in its sequence
  int tasks_left = 0;
  float* partial = nullptr;  // [splits]: m [vectors], l [vectors], o [vectors][padded v dim]; null: no task has a part
  Shortlists lists;          // of a tile with selective V only

  int64_t end() const { return position + rows; }
};

// Units [unit, unit_end) over positions [begin, end) of a tile's context; begin a multiple of kAttentionSplit.
struct AttentionTask {
  AttentionTile* tile = nullptr;
  int unit = 0, unit_end = 0;
  int64_t begin = 0, end = 0;
};

struct TaskSize {
  int64_t vectors = 0;  // that a task may have
  int64_t room = 0;     // of a list
};

// What an ISA supplies. scratch: 64-byte aligned, scratch_bytes(plan, the largest size of all tasks).
struct AttentionSet {
  int64_t (*scratch_bytes)(const AttentionPlan& plan, const TaskSize& size);
  void (*attend)(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch);
  void (*merge)(const AttentionPlan& plan, const AttentionTile& tile, std::byte* scratch);
  void (*score)(const AttentionPlan& plan, const AttentionTask& task, int thread, std::byte* scratch);
  void (*select)(const AttentionPlan& plan, const AttentionTile& tile, int v_head, std::byte* scratch);
};

void run_attention(const AttentionSet& set, const Context& context, const AttentionArgs& args);

}  // namespace sigma
