// What the tasks of attention are made of: a thread's memory, scores of a block, the online softmax, sums of values.
#pragma once

#include "kernels/cpu/attention_expand.h"
#include "kernels/cpu/attention_values.h"

namespace sigma::SIGMA_ISA {

// Positions whose scores of one vector are taken in together. Where strips are such groups, their scores stay in the
// first cache; else (pages of other sizes) a block's scores of some vectors are laid out first.
inline constexpr int kGroup = kScoreColumns * kLanes;
inline constexpr int kBufferedVectors = 12;
// Rows of that buffer: room for the lanes that strips write before and after a block.
inline constexpr int kScorePad = 16;
inline constexpr int64_t kScoreStride = kAttentionBlock + 3 * kScorePad;
// Steps of V staged at once.
inline constexpr int64_t kStageSteps = 32;

inline constexpr float kMinusInf = -__builtin_inff();

// The softmax so far of some vectors: a reference m, the sum of 2^(s - m), the sum of 2^(s - m) V. Scores are in units
// of ln 2 here: scale log2(e) dot(q, K). The reference need not be the largest score, only near enough for 2^(s - m) to
// be a float: it is the largest of the first group of positions, and raised where a later one exceeds it by kHeadroom.
struct Softmax {
  float *m = nullptr, *l = nullptr;  // [vectors]
  float* o = nullptr;                // [vectors][padded v dim]
};
inline constexpr float kHeadroom = 20.0f;
inline constexpr float kLog2E = 1.44269504088896341f;

// One thread's memory for a task. base null: only measures.
struct Workspace {
  Queries queries;       // of all of the task's vectors
  Softmax split, whole;  // likewise: of the current split, of all before it
  std::byte* p;          // likewise: [vectors][p_stride], of a block
  float* factor;         // [vectors]: what the block multiplies the weights before it by (`score`: its triggers)
  float* sums;           // [vectors][kLanes]: of the split's weights
  int32_t* seen;         // [vectors]: positions of the block that the vector sees
  float* scores;         // [kBufferedVectors][kScoreStride]
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
    sums = take_floats(vectors * kLanes);
    seen = reinterpret_cast<int32_t*>(take_floats(vectors));
    scores = take_floats(kBufferedVectors * kScoreStride);
    p_stride = in_pairs(plan.v) ? kAttentionBlock * 2 : kAttentionBlock * 4;
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

inline float exp2_of(float x) {
  float lanes[kLanes];
  store(lanes, exp2(set(x)));
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

// The first n of 2 * kLanes scores, -inf for the others.
inline void see(F32& a, F32& b, int n) {
  float lanes[kGroup];
  store(lanes, a);
  store(lanes + kLanes, b);
  for (int i = n; i < kGroup; ++i) lanes[i] = kMinusInf;
  a = load(lanes);
  b = load(lanes + kLanes);
}

// Scores of one group of positions from `first` of a block on: of vectors [vector, vector + n), counted from the task's
// first, one vector's `stride` floats after those of the one before.
struct ScoreGroup {
  int64_t vector, n;
  int64_t first;
  const float* s;
  int64_t stride;
};

// Calls take(ScoreGroup) for the unit's vectors and the groups of the block, a vector's groups in order. Scores are
// those of dot products alone; work.seen tells how many positions each vector sees.
template <class Take>
inline void for_scores(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                       const Strips& strips, const UnitBlock& block, const Take& take) {
  const AttentionArgs& args = *plan.args;
  for (int64_t i = 0; i < tile.rows * plan.q_heads; ++i)
    work.seen[block.first + i] = visible(tile, i % tile.rows, block.begin, block.count);
  const bool strips_are_groups = strip_columns(plan.k) == kScoreColumns && plan.k.page_tokens % kGroup == 0;
  const int width = strip_columns(plan.k) * kLanes;
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
    const int64_t first_vector = block.first + j * vectors;
    if (strips_are_groups) {
      score(work.queries, first_vector, vectors, *keys, head, layout,
            [&](int64_t i, int64_t n, int64_t first, const float* s) {
              take(ScoreGroup{.vector = first_vector + i, .n = n, .first = first, .s = s, .stride = kGroup});
            });
      continue;
    }
    for (int64_t v = 0; v < vectors; v += kBufferedVectors) {
      const int64_t n = vectors - v < kBufferedVectors ? vectors - v : kBufferedVectors;
      float* scores = work.scores + kScorePad;
      // Strips in order, so that lanes beyond a page's end are overwritten by the next page's.
      score(work.queries, first_vector + v, n, *keys, head, layout,
            [&](int64_t i, int64_t rows, int64_t first, const float* s) {
              for (float* out = scores + i * kScoreStride + first; rows > 0; --rows, out += kScoreStride)
                for (int c = 0; c < width; c += kLanes, s += kLanes) store(out + c, load(s));
            });
      for (int64_t first = 0; first < block.count; first += kGroup)
        take(ScoreGroup{
            .vector = first_vector + v, .n = n, .first = first, .s = scores + first, .stride = kScoreStride});
    }
  }
}

// Stores the weights of a group as the values' tiles take them. (They are summed up as they are before rounding: then
// each one's share is off by its own rounding alone.)
inline void store_weights(bool pairs, std::byte* p, F32 a, F32 b) {
  if (pairs) {
    store_bf16_fast(reinterpret_cast<bf16*>(p), a, b);
  } else {
    store(reinterpret_cast<float*>(p), a);
    store(reinterpret_cast<float*>(p) + kLanes, b);
  }
}

// Raises the vector's reference by a whole number, to the largest of the scores a, b or less than 1 above it: so what
// there is of weights is rescaled without rounding. Returns the factor; the sums have it already. The first reference
// is the largest score itself.
[[gnu::noinline]] inline float raise_reference(const Workspace& work, int64_t vector, F32 a, F32 b) {
  float& m = work.split.m[vector];
  const float largest = max_of(max(a, b)), rise = __builtin_ceilf(largest - m), factor = exp2_of(-rise);
  m = m > kMinusInf ? m + rise : largest;
  float* sums = work.sums + vector * kLanes;
  store(sums, load(sums) * set(factor));
  return factor;
}

inline bool exceeds_reference(F32 a, F32 b, float m) { return lanes_ge(max(a, b), set(m + kHeadroom)) != 0; }

// Multiplies the weights of groups [0, end) of a block.
[[gnu::noinline]] inline void rescale_weights(bool pairs, std::byte* p, int64_t end, float factor) {
  for (int64_t i = 0; i < end; i += kGroup, p += kGroup * (pairs ? 2 : 4)) {
    const auto* half = reinterpret_cast<const bf16*>(p);
    const auto* whole = reinterpret_cast<const float*>(p);
    const F32 a = pairs ? load_bf16(half) : load(whole), b = pairs ? load_bf16(half + kLanes) : load(whole + kLanes);
    store_weights(pairs, p, a * set(factor), b * set(factor));
  }
}

// The weights 2^(s - m) of a group, as the values' tiles take them; s = scale times the scores.
inline void weigh_group(const Workspace& work, bool pairs, float scale, const ScoreGroup& group) {
  const int64_t p_stride = work.p_stride, offset = group.first * (pairs ? 2 : 4);
  const float* s = group.s;
  const float* references = work.split.m + group.vector;
  const int32_t* seen = work.seen + group.vector;
  std::byte* p = work.p + group.vector * p_stride;
  float* sums = work.sums + group.vector * kLanes;
  for (int64_t i = 0; i < group.n; ++i, s += group.stride, p += p_stride, sums += kLanes) {
    const int64_t left = seen[i] - group.first;
    if (left <= 0) continue;
    F32 a = load(s) * set(scale), b = load(s + kLanes) * set(scale);
    if (left < kGroup) see(a, b, static_cast<int>(left));
    if (exceeds_reference(a, b, references[i])) [[unlikely]] {
      const float factor = raise_reference(work, group.vector + i, a, b);
      work.factor[group.vector + i] *= factor;
      rescale_weights(pairs, p, group.first, factor);
    }
    const F32 m = set(references[i]);
    a = exp2(a - m);
    b = exp2(b - m);
    store_weights(pairs, p + offset, a, b);
    store(sums, load(sums) + a + b);
  }
}

// Adds one vector's steps [begin, end) of a block straight from the rows; tokens, if odd: so many tokens the vector
// has, the last of them paired with zeros.
inline void add_tail(const ValueTile& tile, const ValueHead& head, int tokens, const std::byte* zeros) {
  accumulate_rows(1, tile, head);
  if (!in_pairs(*head.layout) || tokens % 2 == 0) return;
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
  const int step_tokens = in_pairs(plan.v) ? 2 : 1;
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

// The weights of one unit's vectors over a block.
inline void weigh_block(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                        const Strips& strips, const UnitBlock& block) {
  const bool pairs = in_pairs(plan.v);
  const float scale = plan.args->scale * kLog2E;
  for (int64_t i = 0; i < tile.rows * plan.q_heads; ++i) work.factor[block.first + i] = 1.0f;
  for_scores(plan, tile, work, strips, block, [&](const ScoreGroup& group) { weigh_group(work, pairs, scale, group); });
}

// The block's sums of values for one unit's vectors. rows: of the block, of head 0.
inline void add_block(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work,
                      const ValueRows& rows, const UnitBlock& block) {
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads;
  const int64_t steps = block.count / (in_pairs(plan.v) ? 2 : 1);
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
  const float a = exp2_of(all_m - new_m), b = exp2_of(m - new_m);
  all_m = new_m;
  all_l = all_l * a + l * b;
  for (int64_t i = 0; i < v_dim; i += kLanes) store(all_o + i, load(all_o + i) * set(a) + load(o + i) * set(b));
}

inline void clear(const Softmax& softmax, int64_t vectors, int64_t v_dim) {
  for (int64_t i = 0; i < vectors; ++i) softmax.m[i] = kMinusInf;  // NOLINT(clang-analyzer-core.NullDereference)
  for (int64_t i = 0; i < vectors; ++i) softmax.l[i] = 0.0f;
  for (int64_t i = 0; i < vectors * v_dim; i += kLanes) store(softmax.o + i, zero_f32());
}

// A split of the task's vectors: its sums of weights are made lane by lane.
inline void begin_split(const Workspace& work, int64_t vectors, int64_t v_dim) {
  clear(work.split, vectors, v_dim);
  for (int64_t i = 0; i < vectors; ++i) store(work.sums + i * kLanes, zero_f32());
}
inline void end_split(const Workspace& work, int64_t vectors) {
  for (int64_t i = 0; i < vectors; ++i) work.split.l[i] = sum(load(work.sums + i * kLanes));
}

// vector: of the tile.
inline float* output_of(const AttentionPlan& plan, const AttentionTile& tile, int64_t vector) {
  std::byte* row = plan.args->out.data + (tile.row + vector % tile.rows) * plan.args->out.row_bytes;
  return reinterpret_cast<float*>(row) + vector / tile.rows * plan.v.dim;
}

}  // namespace sigma::SIGMA_ISA
