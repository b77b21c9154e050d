// How an attention call is cut into tasks, the same way for every CPU kernel set; what a task computes is the ISA's.
//
// A unit is the smallest group of heads that shares no K and no V head with another: of gcd(k_heads, v_heads) units,
// each has q_heads / units query heads, k_heads / units K heads and v_heads / units V heads.
// A tile is a few consecutive rows of one sequence with the query heads of one unit: its vectors are numbered
// [query head][row], so that those which share a K or a V head are consecutive.
//
// Determinism: the context is cut at absolute positions. Within a split of kAttentionSplit positions, blocks of
// kAttentionBlock are folded in order by the online softmax; splits are merged in order. So a row's result depends on
// nothing but its own query and context: not on how tiles and tasks are formed, on pages or on threads.
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
  int units = 0, q_heads = 0, k_heads = 0, v_heads = 0;  // heads: of one unit
};

// Selective V, per vector of a tile; stride: positions, a multiple of kAttentionSplit.
struct ScoreBoard {
  int64_t stride = 0;
  float* scores = nullptr;  // [vectors][stride]
  float* maxima = nullptr;  // [vectors][stride / 4]: [64 positions][16]: of positions 64 g + i + {0, 16, 32, 48}
  float* splits = nullptr;  // [vectors][stride / kAttentionSplit][2]: the largest score m and sum of exp(s - m)
};

struct AttentionTile {
  const PageId* pages = nullptr;
  int64_t row = 0, rows = 0;  // of the batch
  int64_t position = 0;       // of `row` in its sequence
  int unit = 0;
  int tasks_left = 0;
  float* partial = nullptr;  // [splits][vectors][2 + padded v dim]: m, l, o; null: the task covers the whole context
  ScoreBoard board;

  int64_t end() const { return position + rows; }
};

// Positions [begin, end) of a tile's context; begin a multiple of kAttentionSplit.
struct AttentionTask {
  AttentionTile* tile = nullptr;
  int64_t begin = 0, end = 0;
};

// What an ISA supplies. scratch: 64-byte aligned, scratch_bytes(plan, rows of the largest tile, positions of the
// longest ScoreBoard or 0).
struct AttentionSet {
  int64_t (*scratch_bytes)(const AttentionPlan& plan, int64_t rows, int64_t positions);
  void (*attend)(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch);
  void (*merge)(const AttentionPlan& plan, const AttentionTile& tile, std::byte* scratch);
  void (*score)(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch);
  void (*select)(const AttentionPlan& plan, const AttentionTile& tile, int v_head, std::byte* scratch);
};

void run_attention(const AttentionSet& set, const Context& context, const AttentionArgs& args);

}  // namespace sigma
