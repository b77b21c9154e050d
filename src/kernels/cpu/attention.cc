// The tasks of attention; kernels/attention.h has the equations, attention_plan.h how a call is cut. For every block of
// 256 positions:
//     s = scale * q K^T           (attention_keys.h; K read once for the query heads that share it)
//     m' = max(m, max s), p = exp(s - m'), l = l exp(m - m') + sum p
//     o = o exp(m - m') + p V     (attention_values.h; V read once for the query heads that share it)
// Selective V: all scores first, then the choice (attention_select.h), then the chosen rows alone.
#include "kernels/cpu/attention_select.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

// Lanes written beyond a context's positions by `select`.
constexpr int64_t kSelectPad = 64;

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// What `select` keeps of one context: folded maxima, and two choices of positions and scores.
int64_t choice_floats(int64_t positions) { return positions + kSelectPad; }

int64_t scratch_bytes(const AttentionPlan& plan, const TaskSize& size) {
  const int64_t bytes = Workspace(plan, size.vectors, nullptr).bytes;
  return bytes + (size.board_positions > 0 ? 5 * 4 * choice_floats(size.board_positions) : 0);
}

// Calls use(begin, count) for the blocks of a split.
template <class F>
void for_blocks(const AttentionTask& task, int64_t split, const F& use) {
  const int64_t end = least(split + kAttentionSplit, task.end);
  for (int64_t begin = split; begin < end; begin += kAttentionBlock) use(begin, least(end - begin, kAttentionBlock));
}

// Calls use(block of one unit) for a task's units, in the order in which pages hold them.
template <class F>
void for_units(const AttentionPlan& plan, const AttentionTask& task, int64_t begin, int64_t count, const F& use) {
  const int64_t unit_vectors = task.tile->rows * plan.q_heads;
  for (int unit = task.unit; unit < task.unit_end; ++unit)
    use(UnitBlock{.unit = unit, .first = (unit - task.unit) * unit_vectors, .begin = begin, .count = count});
}

// Where a tile keeps the softmax of one split of its vectors, from `vector` on.
Softmax part_of(const AttentionPlan& plan, const AttentionTile& tile, int64_t split, int64_t vector) {
  const int64_t vectors = tile.rows * plan.args->q_heads, v_dim = plan.v.padded_dim;
  float* part = tile.partial + split / kAttentionSplit * vectors * (2 + v_dim);
  return {part + vector, part + vectors + vector, part + 2 * vectors + vector * v_dim};
}

void attend(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch) {
  const AttentionTile& tile = *task.tile;
  const int64_t unit_vectors = tile.rows * plan.q_heads, v_dim = plan.v.padded_dim;
  const int64_t first = task.unit * unit_vectors, vectors = (task.unit_end - task.unit) * unit_vectors;
  Workspace work(plan, vectors, scratch);
  store_queries(plan, task, work.queries);
  const Softmax split_in_scratch = work.split;
  for (int64_t split = task.begin; split < task.end; split += kAttentionSplit) {
    if (tile.partial != nullptr)
      work.split = part_of(plan, tile, split, first);
    else
      work.split = split == 0 ? work.whole : split_in_scratch;
    clear(work.split, vectors, v_dim);
    // All of a block's keys, then all of its values: two long streams, where shorter ones in turn would stop the
    // processor's prefetchers at every change.
    for_blocks(task, split, [&](int64_t begin, int64_t count) {
      Strips strips;
      find_strips(strips, plan.args->k, plan.k, tile.pages, begin, count);
      for_units(plan, task, begin, count, [&](const UnitBlock& b) { weigh_block(plan, tile, work, strips, b); });
      ValueRows rows;
      find_rows(rows, plan.args->v, plan.v, tile.pages, begin, count);
      for_units(plan, task, begin, count, [&](const UnitBlock& b) { add_block(plan, tile, work, rows, b); });
    });
    if (tile.partial != nullptr || split == 0) continue;
    for (int64_t i = 0; i < vectors; ++i)
      if (tile.position + i % tile.rows >= split)
        fold(work.whole.m[i], work.whole.l[i], work.whole.o + i * v_dim, work.split.m[i], work.split.l[i],
             work.split.o + i * v_dim, v_dim);
  }
  if (tile.partial != nullptr) return;
  for (int64_t i = 0; i < vectors; ++i)
    store_output(output_of(plan, tile, first + i), work.whole.o + i * v_dim, 1.0f / work.whole.l[i], plan.v);
}

void merge(const AttentionPlan& plan, const AttentionTile& tile, std::byte*) {
  const int64_t vectors = tile.rows * plan.args->q_heads, v_dim = plan.v.padded_dim;
  const Softmax all = part_of(plan, tile, 0, 0);
  for (int64_t i = 0; i < vectors; ++i) {
    for (int64_t split = kAttentionSplit; split <= tile.position + i % tile.rows; split += kAttentionSplit) {
      const Softmax part = part_of(plan, tile, split, i);
      fold(all.m[i], all.l[i], all.o + i * v_dim, *part.m, *part.l, part.o, v_dim);
    }
    store_output(output_of(plan, tile, i), all.o + i * v_dim, 1.0f / all.l[i], plan.v);
  }
}

// Records the scores of one vector for a block: scores, maxima of 64s, and the block's part of m and l.
void record(const ScoreBoard& board, int64_t vector, int64_t begin, float* s, int seen, float& m, float& l) {
  const int padded = (seen + 63) / 64 * 64;
  for (int i = seen; i < padded; ++i) s[i] = kMinusInf;
  float* out = board.scores + vector * board.stride + begin;
  float* maxima = board.maxima + (vector * board.stride + begin) / 4;
  F32 largest = set(kMinusInf);
  for (int i = 0; i < padded; i += 64)
    for (int j = 0; j < kMaximaLanes; j += kLanes) {
      F32 group = load(s + i + j);
      store(out + i + j, group);
      for (int e = kMaximaLanes; e < 64; e += kMaximaLanes) {
        const F32 v = load(s + i + j + e);
        store(out + i + j + e, v);
        group = max(group, v);
      }
      store(maxima + i / 4 + j, group);
      largest = max(largest, group);
    }
  const float block_m = max_of(largest), old_m = m;
  m = block_m > old_m ? block_m : old_m;
  F32 sum_lanes = zero_f32();
  for (int i = 0; i < padded; i += kLanes) sum_lanes = sum_lanes + exp_negative(load(s + i) - set(m));
  l = l * exp_of(old_m - m) + sum(sum_lanes);
}

void score(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch) {
  const AttentionTile& tile = *task.tile;
  const int64_t unit_vectors = tile.rows * plan.q_heads;
  const int64_t first = task.unit * unit_vectors, vectors = (task.unit_end - task.unit) * unit_vectors;
  const Workspace work(plan, vectors, scratch);
  store_queries(plan, task, work.queries);
  for (int64_t split = task.begin; split < task.end; split += kAttentionSplit) {
    clear(work.split, vectors, 0);
    for_blocks(task, split, [&](int64_t begin, int64_t count) {
      Strips strips;
      find_strips(strips, plan.args->k, plan.k, tile.pages, begin, count);
      for_units(plan, task, begin, count, [&](const UnitBlock& block) {
        for_scores(plan, tile, work, strips, block, [&](int64_t vector, int64_t n, float* scores) {
          for (int64_t i = 0; i < n; ++i) {
            const int64_t v = vector + i;
            const int seen = visible(tile, v % tile.rows, block.begin, block.count);
            if (seen > 0)
              record(tile.board, first + v, block.begin, scores + i * kScoreStride, seen, work.split.m[v],
                     work.split.l[v]);
          }
        });
      });
    });
    for (int64_t i = 0; i < vectors; ++i) {
      float* out = tile.board.splits + ((first + i) * tile.board.stride + split) / kAttentionSplit * 2;
      out[0] = work.split.m[i];
      out[1] = work.split.l[i];
    }
  }
}

void find_chosen_rows(ValueRows& rows, const AttentionPlan& plan, const AttentionTile& tile, const int32_t* position,
                      int64_t count) {
  const PagedView& cache = plan.args->v;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t page = position[i] / plan.v.page_tokens, slot = position[i] % plan.v.page_tokens;
    set_row(rows, i, cache.data + tile.pages[page] * cache.page_stride, slot, plan.v);
  }
}

void prefetch_chosen(const AttentionPlan& plan, const AttentionTile& tile, const Choice& choice, int64_t head) {
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const int64_t n = least(choice.count - first, kAttentionBlock);
    ValueRows rows;
    find_chosen_rows(rows, plan, tile, choice.position + first, n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t b = 0; b < plan.v.row_bytes; b += 64) prefetch(rows.row[i] + head + b);
  }
}

// o = sum of p V over the chosen positions, over the sum of all p or of the chosen ones' p.
void add_chosen(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work, const Choice& choice,
                int64_t head, int64_t vector) {
  const bool pairs = plan.v.format == Format::bf16;
  const int64_t v_dim = plan.v.padded_dim, splits = tile.board.stride / kAttentionSplit;
  const float* part = tile.board.splits + vector * splits * 2;
  float m = part[0], all = part[1];
  for (int64_t split = kAttentionSplit; split <= tile.position + vector % tile.rows; split += kAttentionSplit) {
    part += 2;
    fold(m, all, nullptr, part[0], part[1], nullptr, 0);
  }
  float kept = 0.0f;
  clear(work.whole, 1, v_dim);
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const auto n = static_cast<int>(least(choice.count - first, kAttentionBlock));
    for (int i = 0; i < n; ++i) work.scores[i] = choice.score[first + i];
    soften(pairs, work.scores, n, work.p, m, kept);
    ValueRows rows;
    find_chosen_rows(rows, plan, tile, choice.position + first, n);
    const ValueTile t{.p = work.p,
                      .p_stride = work.p_stride,
                      .o = work.whole.o,
                      .o_stride = v_dim,
                      .factor = nullptr,  // m is the largest score of all already
                      .begin = 0,
                      .end = pairs ? n / 2 : n};
    add_tail(t, {.rows = &rows, .layout = &plan.v, .offset = head}, n, work.zeros);
  }
  const float sum_of_weights = plan.args->v_weights == VWeights::all ? all : kept;
  store_output(output_of(plan, tile, vector), work.whole.o, 1.0f / sum_of_weights, plan.v);
}

// The vectors of one V head: the next one's choice is made while the rows of the last one's are on their way.
void select(const AttentionPlan& plan, const AttentionTile& tile, int v_head, std::byte* scratch) {
  const Workspace work(plan, 1, scratch);
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads, first = v_head * vectors;
  const int64_t head = v_head * plan.v.head_bytes, stride = tile.board.stride;
  float* folded = work.rest;
  Choice choices[2] = {};
  for (int i = 0; i < 2; ++i) {
    choices[i].score = folded + (2 * i + 1) * choice_floats(stride);
    choices[i].position = reinterpret_cast<int32_t*>(folded + (2 * i + 2) * choice_floats(stride));
  }
  for (int64_t i = 0; i <= vectors; ++i) {
    const int64_t vector = first + i;
    if (i < vectors) {
      choose(choices[i % 2], tile.board.scores + vector * stride, tile.board.maxima + vector * stride / 4,
             tile.position + vector % tile.rows + 1, plan.args->v_top, folded);
      prefetch_chosen(plan, tile, choices[i % 2], head);
    }
    if (i > 0) add_chosen(plan, tile, work, choices[(i + 1) % 2], head, vector - 1);
  }
}

constexpr AttentionSet kSet = {scratch_bytes, attend, merge, score, select};

}  // namespace

int64_t page_bytes(CacheKind kind, const CacheShape& shape) { return kv_page_bytes(kind, shape); }

void kv_load(CacheKind kind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out) {
  load_kv_rows(kind, cache, seq, count, out);
}

void attention(const Context& context, const AttentionArgs& args) { run_attention(kSet, context, args); }

}  // namespace sigma::SIGMA_ISA
