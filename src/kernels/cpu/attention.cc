// Attention of one tile over one stretch of its context; kernels/attention.h has the equations, attention_plan.h how a
// call is cut. For every block of 256 positions:
//     s = scale * q K^T           (attention_keys.h; K read once for the query heads that share it)
//     m' = max(m, max s), p = exp(s - m'), l = l exp(m - m') + sum p
//     o = o exp(m - m') + p V     (attention_values.h; V read once for the query heads that share it)
#include "kernels/cpu/attention_expand.h"
#include "kernels/cpu/attention_select.h"
#include "kernels/cpu/attention_values.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

// Vectors whose scores of a block are held at once, between the dot products and the softmax.
constexpr int kScoreGroup = 2 * kTileRows;
// Rows of the score buffer: room for the lanes that columns write before and after a block.
constexpr int kScorePad = kKeyBlock;
constexpr int64_t kScoreStride = kAttentionBlock + 3 * kScorePad;
// Steps of V staged at once.
constexpr int64_t kStageSteps = 32;

// Lanes written beyond a context's positions by `select`.
constexpr int64_t kSelectPad = 64;

constexpr float kMinusInf = -__builtin_inff();

int64_t padded_to_line(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// One thread's memory. base null: only measures.
struct Workspace {
  Queries queries;
  float* scores;                 // [kScoreGroup][kScoreStride]
  std::byte* p;                  // [vectors][p_stride]
  float *m, *l, *factor, *ones;  // [vectors]
  float* o;                      // [vectors][padded v dim]
  float *all_m, *all_l, *all_o;  // the splits so far
  float* staged;                 // [kStageSteps][padded v dim]
  std::byte* zeros;              // a V row of zeros
  float* expanded;               // see attention_expand.h
  int64_t p_stride, bytes;

  Workspace(const AttentionPlan& plan, int64_t rows, std::byte* base) {
    const int64_t vectors = rows * plan.q_heads, v_dim = plan.v.padded_dim;
    const AttentionArgs& args = *plan.args;
    int64_t used = 0;
    const auto take = [&](int64_t size) {
      std::byte* piece = base + used;
      used += padded_to_line(size);
      return piece;
    };
    const auto take_floats = [&](int64_t n) { return reinterpret_cast<float*>(take(n * 4)); };
    queries.format = args.expansion != nullptr ? Format::f32 : plan.k.format;
    queries.dim = args.expansion != nullptr ? args.q_dim : plan.k.padded_dim;
    queries.stride = query_bytes(queries.format, queries.dim);
    queries.data = take(vectors * queries.stride);
    scores = take_floats(kScoreGroup * kScoreStride);
    p_stride = plan.v.format == Format::bf16 ? kAttentionBlock * 2 : kAttentionBlock * 4;
    p = take(vectors * p_stride);
    m = take_floats(vectors);
    l = take_floats(vectors);
    factor = take_floats(vectors);
    ones = take_floats(vectors);
    o = take_floats(vectors * v_dim);
    all_m = take_floats(vectors);
    all_l = take_floats(vectors);
    all_o = take_floats(vectors * v_dim);
    staged = take_floats(kStageSteps * v_dim);
    zeros = take(plan.v.row_bytes);
    expanded = take_floats(args.expansion != nullptr ? expanded_floats(args.q_dim, plan.k.dim) : 0);
    bytes = used;
    if (base == nullptr) return;
    for (int64_t i = 0; i < vectors; ++i) ones[i] = 1.0f;
    for (int64_t i = 0; i < plan.v.row_bytes; ++i) zeros[i] = std::byte{0};
  }
};

float exp_of(float x) {
  float lanes[kLanes];
  store(lanes, exp_negative(set(x)));
  return lanes[0];
}

int visible(const AttentionTile& tile, int64_t row, int64_t begin, int64_t count) {
  const int64_t n = tile.position + row + 1 - begin;
  return static_cast<int>(n < 0 ? 0 : n < count ? n : count);
}

void store_queries(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work) {
  const AttentionArgs& args = *plan.args;
  for (int h = 0; h < plan.q_heads; ++h)
    for (int64_t r = 0; r < tile.rows; ++r) {
      const std::byte* row = args.q.data + (tile.row + r) * args.q.row_bytes;
      const auto* q = reinterpret_cast<const float*>(row) + (tile.unit * plan.q_heads + h) * args.q_dim;
      store_query(work.queries, h * tile.rows + r, q, args.q_dim);
    }
}

// Calls use(first vector, vectors, scores) for groups of vectors with their scores of positions [begin, begin + count).
template <class F>
void for_scores(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work, int64_t begin,
                int64_t count, const F& use) {
  const AttentionArgs& args = *plan.args;
  Columns columns;
  find_columns(columns, args.k, plan.k, tile.pages, begin, count);
  const int64_t vectors = tile.rows * plan.q_heads / plan.k_heads;
  for (int j = 0; j < plan.k_heads; ++j) {
    int64_t head = (tile.unit * plan.k_heads + j) * plan.k.head_bytes;
    KvLayout layout = plan.k;
    if (args.expansion != nullptr) {
      expand_columns(columns, args, plan.k, head, begin, count, work.expanded);
      layout = expanded_layout(args.q_dim);
      head = 0;
    }
    for (int64_t first = 0; first < vectors; first += kScoreGroup) {
      const int64_t n = vectors - first < kScoreGroup ? vectors - first : kScoreGroup;
      float* scores = work.scores + kScorePad;
      score_columns(work.queries, j * vectors + first, n, columns, head, layout, args.scale, scores, kScoreStride);
      use(j * vectors + first, n, scores);
    }
    if (args.expansion != nullptr) find_columns(columns, args.k, plan.k, tile.pages, begin, count);
  }
}

// One step of the online softmax of one vector. s: n scores, writable up to a multiple of 32. p: exp(s - m) as the
// values' tiles take it; l sums what p holds. Returns exp(old m - new m).
float soften(bool pairs, float* s, int n, std::byte* p, float& m, float& l) {
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

// Adds one vector's steps [begin, end) of a block straight from the rows, a last odd token of a pair with zeros.
void add_tail(const ValueTile& tile, const ValueHead& head, int tokens, const std::byte* zeros) {
  accumulate_rows(1, tile, head);
  if (head.layout->format != Format::bf16 || tokens % 2 == 0) return;
  ValueRows last;
  last.row[0] = head.rows->row[head.first + tokens - 1];
  last.row[1] = zeros - head.offset;
  ValueTile t = tile;
  t.p += tokens / 2 * 4;
  t.begin = 0;
  t.end = 1;
  accumulate_rows(1, t, {.rows = &last, .first = 0, .layout = head.layout, .offset = head.offset});
}

// The vectors [first, first + count) of one V head over a block's rows.
struct HeadBlock {
  ValueHead head;
  int64_t first, count;
  int64_t begin, tokens;  // positions
};

void add_values(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work, const HeadBlock& block) {
  const bool pairs = plan.v.format == Format::bf16;
  const int step_tokens = pairs ? 2 : 1;
  const int64_t v_dim = plan.v.padded_dim, steps = block.tokens / step_tokens;
  const bool stage = block.count > kTileRows;
  const int64_t chunk = stage ? kStageSteps : steps > 0 ? steps : 1;
  for (int64_t begin = 0; begin < steps || begin == 0; begin += chunk) {
    const int64_t end = begin + chunk < steps ? begin + chunk : steps;
    ValueHead part = block.head;
    part.first += begin * step_tokens;
    if (stage) stage_rows(work.staged, part, end - begin);
    for (int64_t done = 0; done < block.count;) {
      const int rows = next_tile(block.count - done);
      const int64_t vector = block.first + done;
      int64_t common = end;
      for (int i = 0; i < rows; ++i) {
        const int64_t own = visible(tile, (vector + i) % tile.rows, block.begin, block.tokens) / step_tokens;
        common = own < common ? own : common;
      }
      ValueTile t{.p = work.p + vector * work.p_stride + begin * 4,
                  .p_stride = work.p_stride,
                  .o = work.o + vector * v_dim,
                  .o_stride = v_dim,
                  .factor = begin == 0 ? work.factor + vector : work.ones,
                  .begin = 0,
                  .end = common > begin ? common - begin : 0};
      if (!stage)
        accumulate_rows(rows, t, part);
      else if (pairs)
        accumulate_staged<true>(rows, t, work.staged, plan.v.padded_dim);
      else
        accumulate_staged<false>(rows, t, work.staged, plan.v.padded_dim);
      for (int i = 0; i < rows; ++i) {
        const int own = visible(tile, (vector + i) % tile.rows, block.begin, block.tokens);
        const int64_t own_end = own / step_tokens < end ? own / step_tokens : end;
        const bool odd = own % step_tokens != 0 && own / step_tokens <= end && (own / step_tokens >= begin) &&
                         (own / step_tokens < end || end == steps);
        if (own_end <= t.end + begin && !odd) continue;
        ValueTile tail{.p = work.p + (vector + i) * work.p_stride,
                       .p_stride = work.p_stride,
                       .o = work.o + (vector + i) * v_dim,
                       .o_stride = v_dim,
                       .factor = work.ones,
                       .begin = begin + t.end,
                       .end = own_end};
        add_tail(tail, block.head, odd ? own : 0, work.zeros);
      }
      done += rows;
    }
  }
}

void attend_block(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work, int64_t begin,
                  int64_t count) {
  const bool pairs = plan.v.format == Format::bf16;
  for_scores(plan, tile, work, begin, count, [&](int64_t first, int64_t n, float* scores) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t vector = first + i;
      const int seen = visible(tile, vector % tile.rows, begin, count);
      work.factor[vector] = 1.0f;
      if (seen > 0)
        work.factor[vector] = soften(pairs, scores + i * kScoreStride, seen, work.p + vector * work.p_stride,
                                     work.m[vector], work.l[vector]);
    }
  });
  ValueRows rows;
  const int64_t first_head = tile.unit * plan.v_heads * plan.v.head_bytes;
  find_rows(rows, plan.args->v, plan.v, tile.pages, begin, count, first_head);
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads;
  for (int j = 0; j < plan.v_heads; ++j)
    add_values(plan, tile, work,
               {.head = {.rows = &rows, .first = 0, .layout = &plan.v, .offset = j * plan.v.head_bytes},
                .first = j * vectors,
                .count = vectors,
                .begin = begin,
                .tokens = count});
}

void clear(const Workspace& work, int64_t vectors, int64_t v_dim) {
  for (int64_t i = 0; i < vectors; ++i) work.m[i] = kMinusInf;
  for (int64_t i = 0; i < vectors; ++i) work.l[i] = 0.0f;
  for (int64_t i = 0; i < vectors * v_dim; i += kLanes) store(work.o + i, zero_f32());
}

// Folds the next split of one vector into those before it.
void fold(float& all_m, float& all_l, float* all_o, float m, float l, const float* o, int64_t v_dim) {
  const float new_m = m > all_m ? m : all_m;
  const float a = exp_of(all_m - new_m), b = exp_of(m - new_m);
  all_m = new_m;
  all_l = all_l * a + l * b;
  for (int64_t i = 0; i < v_dim; i += kLanes) store(all_o + i, load(all_o + i) * set(a) + load(o + i) * set(b));
}

void copy(float* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

float* output_of(const AttentionPlan& plan, const AttentionTile& tile, int64_t vector) {
  std::byte* row = plan.args->out.data + (tile.row + vector % tile.rows) * plan.args->out.row_bytes;
  return reinterpret_cast<float*>(row) + (tile.unit * plan.q_heads + vector / tile.rows) * plan.v.dim;
}

// What `select` needs for one context: folded maxima, and two choices of positions and scores.
int64_t choice_floats(int64_t positions) { return positions + kSelectPad; }

int64_t scratch_bytes(const AttentionPlan& plan, int64_t rows, int64_t positions) {
  return Workspace(plan, rows, nullptr).bytes + (positions > 0 ? 5 * 4 * choice_floats(positions) : 0);
}

void attend(const AttentionPlan& plan, const AttentionTask& task, std::byte* scratch) {
  const AttentionTile& tile = *task.tile;
  const Workspace work(plan, tile.rows, scratch);
  const int64_t vectors = tile.rows * plan.q_heads, v_dim = plan.v.padded_dim;
  store_queries(plan, tile, work);
  for (int64_t split = task.begin; split < task.end; split += kAttentionSplit) {
    clear(work, vectors, v_dim);
    for (int64_t begin = split; begin < split + kAttentionSplit && begin < task.end; begin += kAttentionBlock)
      attend_block(plan, tile, work, begin, task.end - begin < kAttentionBlock ? task.end - begin : kAttentionBlock);
    for (int64_t i = 0; i < vectors; ++i) {
      const float* o = work.o + i * v_dim;
      if (tile.partial != nullptr) {
        float* out = tile.partial + (split / kAttentionSplit * vectors + i) * (2 + v_dim);
        out[0] = work.m[i];
        out[1] = work.l[i];
        copy(out + 2, o, v_dim);
      } else if (split == 0) {
        work.all_m[i] = work.m[i];
        work.all_l[i] = work.l[i];
        copy(work.all_o + i * v_dim, o, v_dim);
      } else if (tile.position + i % tile.rows >= split) {
        fold(work.all_m[i], work.all_l[i], work.all_o + i * v_dim, work.m[i], work.l[i], o, v_dim);
      }
    }
  }
  if (tile.partial != nullptr) return;
  for (int64_t i = 0; i < vectors; ++i)
    store_output(output_of(plan, tile, i), work.all_o + i * v_dim, 1.0f / work.all_l[i], plan.v);
}

void merge(const AttentionPlan& plan, const AttentionTile& tile, std::byte* scratch) {
  const Workspace work(plan, tile.rows, scratch);
  const int64_t vectors = tile.rows * plan.q_heads, v_dim = plan.v.padded_dim;
  for (int64_t i = 0; i < vectors; ++i) {
    const float* part = tile.partial + i * (2 + v_dim);
    float m = part[0], l = part[1];
    copy(work.all_o, part + 2, v_dim);
    for (int64_t split = kAttentionSplit; split <= tile.position + i % tile.rows; split += kAttentionSplit) {
      part += vectors * (2 + v_dim);
      fold(m, l, work.all_o, part[0], part[1], part + 2, v_dim);
    }
    store_output(output_of(plan, tile, i), work.all_o, 1.0f / l, plan.v);
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
    for (int j = 0; j < kKeyBlock; j += kLanes) {
      F32 group = load(s + i + j);
      store(out + i + j, group);
      for (int e = kKeyBlock; e < 64; e += kKeyBlock) {
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
  const Workspace work(plan, tile.rows, scratch);
  const int64_t vectors = tile.rows * plan.q_heads;
  store_queries(plan, tile, work);
  for (int64_t split = task.begin; split < task.end; split += kAttentionSplit) {
    clear(work, vectors, 0);
    for (int64_t begin = split; begin < split + kAttentionSplit && begin < task.end; begin += kAttentionBlock) {
      const int64_t count = task.end - begin < kAttentionBlock ? task.end - begin : kAttentionBlock;
      for_scores(plan, tile, work, begin, count, [&](int64_t first, int64_t n, float* scores) {
        for (int64_t i = 0; i < n; ++i) {
          const int seen = visible(tile, (first + i) % tile.rows, begin, count);
          if (seen > 0)
            record(tile.board, first + i, begin, scores + i * kScoreStride, seen, work.m[first + i], work.l[first + i]);
        }
      });
    }
    for (int64_t i = 0; i < vectors; ++i) {
      float* out = tile.board.splits + (i * (tile.board.stride / kAttentionSplit) + split / kAttentionSplit) * 2;
      out[0] = work.m[i];
      out[1] = work.l[i];
    }
  }
}

void find_chosen_rows(ValueRows& rows, const AttentionPlan& plan, const AttentionTile& tile, const int32_t* position,
                      int64_t count) {
  const KvLayout& layout = plan.v;
  const PagedView& cache = plan.args->v;
  const int64_t scale_row = layout.padded_dim / kQuantBlock * 2;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t page = position[i] / layout.page_tokens, slot = position[i] % layout.page_tokens;
    const std::byte* data = cache.data + tile.pages[page] * cache.page_stride;
    rows.row[i] = data + slot * layout.row_bytes;
    rows.scales[i] = data + layout.scales + slot * scale_row;
  }
}

void prefetch_chosen(const AttentionPlan& plan, const AttentionTile& tile, const Choice& choice, int64_t head) {
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const int64_t n = choice.count - first < kAttentionBlock ? choice.count - first : kAttentionBlock;
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
  clear(work, 1, v_dim);
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const auto n = static_cast<int>(choice.count - first < kAttentionBlock ? choice.count - first : kAttentionBlock);
    copy(work.scores, choice.score + first, n);
    work.factor[0] = soften(pairs, work.scores, n, work.p, m, kept);
    ValueRows rows;
    find_chosen_rows(rows, plan, tile, choice.position + first, n);
    const ValueTile t{.p = work.p,
                      .p_stride = work.p_stride,
                      .o = work.o,
                      .o_stride = v_dim,
                      .factor = work.factor,
                      .begin = 0,
                      .end = pairs ? n / 2 : n};
    add_tail(t, {.rows = &rows, .first = 0, .layout = &plan.v, .offset = head}, n, work.zeros);
  }
  store_output(output_of(plan, tile, vector), work.o, 1.0f / (plan.args->v_weights == VWeights::all ? all : kept),
               plan.v);
}

// The vectors of one V head: the next one's choice is made while the rows of the last one's are on their way.
void select(const AttentionPlan& plan, const AttentionTile& tile, int v_head, std::byte* scratch) {
  const Workspace work(plan, tile.rows, scratch);
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads, first = v_head * vectors;
  const int64_t head = (tile.unit * plan.v_heads + v_head) * plan.v.head_bytes;
  const int64_t stride = tile.board.stride;
  auto* room = reinterpret_cast<float*>(scratch + work.bytes);
  float* folded = room;
  Choice choices[2] = {};
  for (int i = 0; i < 2; ++i) {
    room += choice_floats(stride);
    choices[i].position = reinterpret_cast<int32_t*>(room);
    room += choice_floats(stride);
    choices[i].score = room;
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
