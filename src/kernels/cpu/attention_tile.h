// What the tasks of attention are made of: a thread's memory, scores of a block, the online softmax, sums of values.
#pragma once

#include "kernels/cpu/attention_expand.h"
#include "kernels/cpu/attention_values.h"

namespace sigma::SIGMA_ISA {

// Vectors whose scores of a block are held at once, between the dot products and the softmax.
inline constexpr int kScoreGroup = 12;
// Rows of the score buffer: room for the lanes that columns write before and after a block.
inline constexpr int kScorePad = 16;
inline constexpr int64_t kScoreStride = kAttentionBlock + 3 * kScorePad;
// Steps of V staged at once.
inline constexpr int64_t kStageSteps = 32;

inline constexpr float kMinusInf = -__builtin_inff();

// The softmax so far of some vectors: the largest score, the sum of exp(s - m), the sum of exp(s - m) V.
struct Softmax {
  float *m = nullptr, *l = nullptr;  // [vectors]
  float* o = nullptr;                // [vectors][padded v dim]
};

// One thread's memory for a task. base null: only measures.
struct Workspace {
  Queries queries;       // of all of the task's vectors
  Softmax split, whole;  // likewise: of the current split, of all before it
  std::byte* p;          // likewise: [vectors][p_stride], of a block
  float* factor;         // [vectors]
  float* scores;         // [kScoreGroup][kScoreStride]
  float* staged;         // [kStageSteps][padded v dim]
  std::byte* zeros;      // a V row of zeros
  float* expanded;       // see attention_expand.h
  float* rest;           // the caller's
  int64_t p_stride, bytes;

  Workspace(const AttentionPlan& plan, int64_t vectors, std::byte* base) {
    const int64_t v_dim = plan.v.padded_dim;
    const AttentionArgs& args = *plan.args;
    int64_t used = 0;
    const auto take = [&](int64_t size) {
      std::byte* piece = base == nullptr ? nullptr : base + used;
      used += (size + 63) / 64 * 64;
      return piece;
    };
    const auto take_floats = [&](int64_t n) { return reinterpret_cast<float*>(take(n * 4)); };
    queries.format = args.expansion != nullptr ? Format::f32 : plan.k.format;
    queries.dim = args.expansion != nullptr ? args.q_dim : plan.k.padded_dim;
    queries.stride = query_bytes(queries.format, queries.dim);
    queries.data = take(vectors * queries.stride);
    for (Softmax* softmax : {&split, &whole})
      *softmax = {take_floats(vectors), take_floats(vectors), take_floats(vectors * v_dim)};
    scores = take_floats(kScoreGroup * kScoreStride);
    p_stride = plan.v.format == Format::bf16 ? kAttentionBlock * 2 : kAttentionBlock * 4;
    p = take(vectors * p_stride);
    factor = take_floats(vectors);
    staged = take_floats(kStageSteps * v_dim);
    zeros = take(plan.v.row_bytes);
    expanded = take_floats(args.expansion != nullptr ? expanded_floats(plan.k, args.q_dim) : 0);
    rest = take_floats(0);
    bytes = used;
    if (base == nullptr) return;
    for (int64_t i = 0; i < plan.v.row_bytes; ++i) zeros[i] = std::byte{0};
  }
};

inline float exp_of(float x) {
  float lanes[kLanes];
  store(lanes, exp_negative(set(x)));
  return lanes[0];
}

// How many of the positions [begin, begin + count) a row of the tile sees.
inline int visible(const AttentionTile& tile, int64_t row, int64_t begin, int64_t count) {
  const int64_t n = tile.position + row + 1 - begin;
  return static_cast<int>(n < 0 ? 0 : n < count ? n : count);
}

inline void store_queries(const AttentionPlan& plan, const AttentionTask& task, const Queries& queries) {
  const AttentionArgs& args = *plan.args;
  const AttentionTile& tile = *task.tile;
  int64_t vector = 0;
  for (int head = task.unit * plan.q_heads; head < task.unit_end * plan.q_heads; ++head)
    for (int64_t r = 0; r < tile.rows; ++r, ++vector) {
      const std::byte* row = args.q.data + (tile.row + r) * args.q.row_bytes;
      store_query(queries, vector, reinterpret_cast<const float*>(row) + int64_t{head} * args.q_dim, args.q_dim);
    }
}

// The vectors of one unit of a task over one block of positions; `first`: the unit's first vector in the task.
struct UnitBlock {
  int unit;
  int64_t first;
  int64_t begin, count;
};

// Calls use(vector, vectors, scores) for groups of the unit's vectors, counted from the task's first, with their scores
// of the block, kScoreStride floats from one to the next.
template <class F>
inline void for_scores(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                       const Strips& strips, const UnitBlock& block, const F& use) {
  const AttentionArgs& args = *plan.args;
  const int64_t vectors = tile.rows * plan.q_heads / plan.k_heads;
  for (int j = 0; j < plan.k_heads; ++j) {
    int64_t head = (block.unit * plan.k_heads + j) * plan.k.head_bytes;
    const Strips* keys = &strips;
    KvLayout layout = plan.k;
    Strips expanded;
    if (args.expansion != nullptr) {
      expand_strips(expanded, strips, args, plan.k, head, block.begin, block.count, work.expanded);
      keys = &expanded;
      layout = expanded_layout(plan.k, args.q_dim);
      head = 0;
    }
    for (int64_t i = 0; i < vectors; i += kScoreGroup) {
      const int64_t n = vectors - i < kScoreGroup ? vectors - i : kScoreGroup;
      const int64_t vector = block.first + j * vectors + i;
      float* scores = work.scores + kScorePad;
      score(work.queries, vector, n, *keys, head, layout, args.scale, scores, kScoreStride);
      use(vector, n, scores);
    }
  }
}

// One step of the online softmax of one vector. s: n scores, writable up to a multiple of 32. p: exp(s - m) as the
// values' tiles take it; l sums what p holds. Returns exp(old m - new m).
inline float soften(bool pairs, float* s, int n, std::byte* p, float& m, float& l) {
  const int padded = (n + 31) / 32 * 32;
  for (int i = n; i < padded; ++i) s[i] = kMinusInf;
  F32 largest = load(s);
  for (int i = kLanes; i < padded; i += kLanes) largest = max(largest, load(s + i));
  const float block_m = max_of(largest), old_m = m;
  m = block_m > old_m ? block_m : old_m;
  const F32 bias = set(m);
  F32 sum_lanes = zero_f32();
  if (pairs) {
    const I32 one = set(0x3f803f80);
    for (int i = 0; i < padded; i += 2 * kLanes) {
      std::byte* out = p + i * 2;
      store_bf16_fast(reinterpret_cast<bf16*>(out), exp_negative(load(s + i) - bias),
                      exp_negative(load(s + i + kLanes) - bias));
      sum_lanes = dot_bf16(sum_lanes, load_raw(out), one);
    }
  } else {
    for (int i = 0; i < padded; i += kLanes) {
      const F32 v = exp_negative(load(s + i) - bias);
      store(reinterpret_cast<float*>(p) + i, v);
      sum_lanes = sum_lanes + v;
    }
  }
  const float factor = exp_of(old_m - m);
  l = l * factor + sum(sum_lanes);
  return factor;
}

// Adds one vector's steps [begin, end) of a block straight from the rows; tokens, if odd: so many tokens the vector
// has, the last of them paired with zeros.
inline void add_tail(const ValueTile& tile, const ValueHead& head, int tokens, const std::byte* zeros) {
  accumulate_rows(1, tile, head);
  if (head.layout->format != Format::bf16 || tokens % 2 == 0) return;
  ValueRows last;
  last.row[0] = row_of(*head.rows, tokens - 1, *head.layout);
  last.row[1] = zeros - head.offset;
  ValueTile t = tile;
  t.p += tokens / 2 * 4;
  t.begin = 0;
  t.end = 1;
  accumulate_rows(1, t, {.rows = &last, .layout = head.layout, .offset = head.offset});
}

// Steps [begin, end) of a block for the vectors of one V head, the first of which is `vector` of the unit; a vector
// takes in no token that it does not see. Tiles take the steps that all of their vectors have, the rest goes one by
// one.
inline void add_steps(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                      const UnitBlock& block, const ValueHead& head, int64_t vector, int64_t begin, int64_t end,
                      const float* staged) {
  const int step_tokens = plan.v.format == Format::bf16 ? 2 : 1;
  const int64_t v_dim = plan.v.padded_dim, last_step = block.count / step_tokens;
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads;
  const auto tile_of = [&](int64_t first) {
    return ValueTile{.p = work.p + (block.first + first) * work.p_stride,
                     .p_stride = work.p_stride,
                     .o = work.split.o + (block.first + first) * v_dim,
                     .o_stride = v_dim,
                     .factor = begin == 0 ? work.factor + block.first + first : nullptr,
                     .begin = begin,
                     .end = end};
  };
  for (int64_t done = 0; done < vectors;) {
    const int rows = next_tile(vectors - done);
    ValueTile t = tile_of(vector + done);
    for (int i = 0; i < rows; ++i) {
      const int64_t own = visible(tile, (done + i) % tile.rows, block.begin, block.count) / step_tokens;
      t.end = own < t.end ? own : t.end;
    }
    if (t.end < begin) t.end = begin;
    if (staged == nullptr)
      accumulate_rows(rows, t, head);
    else
      accumulate_staged(rows, t, head, staged, begin);
    for (int i = 0; i < rows; ++i) {
      const int own = visible(tile, (done + i) % tile.rows, block.begin, block.count);
      const int64_t own_steps = own / step_tokens;
      const bool odd = own % step_tokens != 0 && own_steps >= begin && (own_steps < end || end == last_step);
      ValueTile tail = tile_of(vector + done + i);
      tail.factor = nullptr;
      tail.begin = t.end;
      tail.end = own_steps < end ? own_steps : end;
      if (tail.begin < tail.end || odd) add_tail(tail, head, odd ? own : 0, work.zeros);
    }
    done += rows;
  }
}

// Scores of one unit's vectors over a block, and what they make of the softmax so far: p, the factors, m and l.
inline void weigh_block(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                        const Strips& strips, const UnitBlock& block) {
  for_scores(plan, tile, work, strips, block, [&](int64_t vector, int64_t n, float* scores) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t v = vector + i;
      const int seen = visible(tile, v % tile.rows, block.begin, block.count);
      work.factor[v] = 1.0f;
      if (seen > 0)
        work.factor[v] = soften(plan.v.format == Format::bf16, scores + i * kScoreStride, seen,
                                work.p + v * work.p_stride, work.split.m[v], work.split.l[v]);
    }
  });
}

// The block's sums of values for one unit's vectors. rows: of the block, of head 0.
inline void add_block(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                      const ValueRows& rows, const UnitBlock& block) {
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads;
  const int64_t steps = block.count / (plan.v.format == Format::bf16 ? 2 : 1);
  for (int j = 0; j < plan.v_heads; ++j) {
    const ValueHead head{
        .rows = &rows, .layout = &plan.v, .offset = (block.unit * plan.v_heads + j) * plan.v.head_bytes};
    if (vectors <= kTileRows) {
      add_steps(plan, tile, work, block, head, j * vectors, 0, steps, nullptr);
      continue;
    }
    for (int64_t begin = 0; begin < steps || begin == 0; begin += kStageSteps) {
      const int64_t end = begin + kStageSteps < steps ? begin + kStageSteps : steps;
      stage_rows(work.staged, head, begin, end);
      add_steps(plan, tile, work, block, head, j * vectors, begin, end, work.staged);
    }
  }
}

// Folds the next split of one vector into those before it.
inline void fold(float& all_m, float& all_l, float* all_o, float m, float l, const float* o, int64_t v_dim) {
  const float new_m = m > all_m ? m : all_m;
  const float a = exp_of(all_m - new_m), b = exp_of(m - new_m);
  all_m = new_m;
  all_l = all_l * a + l * b;
  for (int64_t i = 0; i < v_dim; i += kLanes) store(all_o + i, load(all_o + i) * set(a) + load(o + i) * set(b));
}

inline void clear(const Softmax& softmax, int64_t vectors, int64_t v_dim) {
  for (int64_t i = 0; i < vectors; ++i) softmax.m[i] = kMinusInf;  // NOLINT(clang-analyzer-core.NullDereference)
  for (int64_t i = 0; i < vectors; ++i) softmax.l[i] = 0.0f;
  for (int64_t i = 0; i < vectors * v_dim; i += kLanes) store(softmax.o + i, zero_f32());
}

// vector: of the tile.
inline float* output_of(const AttentionPlan& plan, const AttentionTile& tile, int64_t vector) {
  std::byte* row = plan.args->out.data + (tile.row + vector % tile.rows) * plan.args->out.row_bytes;
  return reinterpret_cast<float*>(row) + vector / tile.rows * plan.v.dim;
}

}  // namespace sigma::SIGMA_ISA
