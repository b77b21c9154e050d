// The tasks of attention; kernels/attention.h has the equations, attention_plan.h how a call is cut. For every block of
// 256 positions:
//     s = scale log2(e) q K^T     (attention_keys.h; K read once for the query heads that share it)
//     p = 2^(s - m), l = l + sum p, where m is a score near the largest so far: see Softmax in attention_tile.h
//     o = o + p V                 (attention_values.h; V read once for the query heads that share it)
// and where m gives way to m', what there is of p, l and o times 2^(m - m') first.
// Selective V: all scores first, then the choice (attention_select.h), then the chosen rows alone.
#include "kernels/cpu/attention_select.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Of a list with room for two others'.
int64_t list_floats(int64_t room) { return 2 * room + kListSlack; }

int64_t scratch_bytes(const AttentionPlan& plan, const TaskSize& size) {
  const int64_t bytes = Workspace(plan, size.vectors, nullptr).bytes;
  return bytes + (size.room > 0 ? 3 * 2 * 4 * list_floats(size.room) : 0);  // what `select` takes
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
    begin_split(work, vectors, v_dim);
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
    end_split(work, vectors);
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

List list_of(const Shortlists& lists, int64_t index) {
  const int64_t at = index * (lists.room + kListSlack);
  return {lists.score + at, lists.position + at, lists.count[index]};
}

// What the weights and the choice need of one group's scores. first: the list of the task's first vector.
struct Recorder {
  const AttentionPlan& plan;
  const AttentionTile& tile;
  const Workspace& work;
  int64_t first;
  float* trigger;  // per vector: the list's bound, or kHeadroom above the reference if that is less

  float trigger_of(int64_t vector) const {
    const float limit = work.split.m[vector] + kHeadroom, bound = tile.lists.bound[first + vector];
    return limit < bound ? limit : bound;
  }

  [[gnu::noinline]] void shorten_list(int64_t vector) const {
    const Shortlists& lists = tile.lists;
    const List spare = {work.rest, reinterpret_cast<int32_t*>(work.rest) + lists.room, 0};
    List list = list_of(lists, first + vector);
    lists.bound[first + vector] = shorten(list, spare, plan.args->v_top);
    lists.count[first + vector] = static_cast<int32_t>(list.count);
    trigger[vector] = trigger_of(vector);
  }

  void operator()(int64_t begin, float scale, const ScoreGroup& group) const {
    const Shortlists& lists = tile.lists;
    const int64_t position = begin + group.first, stride = lists.room + kListSlack, limit = lists.room - kGroup;
    const bool fresh = position % kAttentionSplit == 0;
    const float* s = group.s;
    float *references = work.split.m + group.vector, *triggers = trigger + group.vector;
    float* sums = work.sums + group.vector * kLanes;
    float* scores = lists.score + (first + group.vector) * stride;
    int32_t* positions = lists.position + (first + group.vector) * stride;
    int32_t* counts = lists.count + first + group.vector;
    const float* bounds = lists.bound + first + group.vector;
    const int32_t* seen = work.seen + group.vector;
    for (int64_t i = 0; i < group.n; ++i, s += group.stride, sums += kLanes, scores += stride, positions += stride) {
      const int64_t left = seen[i] - group.first;
      if (left <= 0) continue;
      F32 a = load(s) * set(scale), b = load(s + kLanes) * set(scale);
      if (left < kGroup) see(a, b, static_cast<int>(left));
      if (fresh) {
        references[i] = max_of(max(a, b));
        triggers[i] = trigger_of(group.vector + i);
      }
      const F32 least_noted = set(triggers[i]);
      uint32_t lanes = lanes_ge(a, least_noted) | lanes_ge(b, least_noted) << kLanes;
      if (lanes != 0) [[unlikely]] {
        if (exceeds_reference(a, b, references[i])) {
          raise_reference(work, group.vector + i, a, b);
          triggers[i] = trigger_of(group.vector + i);
        }
        lanes = lanes_ge(a, set(bounds[i])) | lanes_ge(b, set(bounds[i])) << kLanes;
        if (left < kGroup) lanes &= (1u << left) - 1;
        List list{scores, positions, counts[i]};
        append(list, a, static_cast<int32_t>(position), lanes & ((1u << kLanes) - 1));
        append(list, b, static_cast<int32_t>(position) + kLanes, lanes >> kLanes);
        counts[i] = static_cast<int32_t>(list.count);
        if (list.count > limit) shorten_list(group.vector + i);
      }
      const F32 m = set(references[i]);
      store(sums, load(sums) + exp2(a - m) + exp2(b - m));
    }
  }
};

void score(const AttentionPlan& plan, const AttentionTask& task, int thread, std::byte* scratch) {
  const AttentionTile& tile = *task.tile;
  const float scale = plan.args->scale * kLog2E;
  const int64_t unit_vectors = tile.rows * plan.q_heads;
  const int64_t first = task.unit * unit_vectors, vectors = (task.unit_end - task.unit) * unit_vectors;
  const int64_t splits = (tile.end() + kAttentionSplit - 1) / kAttentionSplit;
  const Workspace work(plan, vectors, scratch);
  const Recorder record{
      .plan = plan, .tile = tile, .work = work, .first = thread * tile.lists.stride + first, .trigger = work.factor};
  store_queries(plan, task, work.queries);
  for (int64_t split = task.begin; split < task.end; split += kAttentionSplit) {
    begin_split(work, vectors, 0);
    for_blocks(task, split, [&](int64_t begin, int64_t count) {
      Strips strips;
      find_strips(strips, plan.args->k, plan.k, tile.pages, begin, count);
      for_units(plan, task, begin, count, [&](const UnitBlock& block) {
        for_scores(plan, tile, work, strips, block, [&](const ScoreGroup& group) { record(begin, scale, group); });
      });
    });
    end_split(work, vectors);
    for (int64_t i = 0; i < vectors; ++i) {
      float* out = tile.lists.splits + ((first + i) * splits + split / kAttentionSplit) * 2;
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

void prefetch_chosen(const AttentionPlan& plan, const AttentionTile& tile, const List& choice, int64_t head) {
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const int64_t n = least(choice.count - first, kAttentionBlock);
    ValueRows rows;
    find_chosen_rows(rows, plan, tile, choice.position + first, n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t b = 0; b < plan.v.row_bytes; b += 64) prefetch(rows.row[i] + head + b);
  }
}

// o = sum of p V over the chosen positions, over the sum of all p or of the chosen ones' p.
void add_chosen(const AttentionPlan& plan, const AttentionTile& tile, const Workspace& work, const List& choice,
                int64_t head, int64_t vector) {
  const bool pairs = in_pairs(plan.v);
  const int64_t v_dim = plan.v.padded_dim, splits = (tile.end() + kAttentionSplit - 1) / kAttentionSplit;
  const float* part = tile.lists.splits + vector * splits * 2;
  float m = part[0], all = part[1];
  for (int64_t split = kAttentionSplit; split <= tile.position + vector % tile.rows; split += kAttentionSplit) {
    part += 2;
    fold(m, all, nullptr, part[0], part[1], nullptr, 0);
  }
  F32 kept = zero_f32();
  clear(work.whole, 1, v_dim);
  for (int64_t first = 0; first < choice.count; first += kAttentionBlock) {
    const auto n = static_cast<int>(least(choice.count - first, kAttentionBlock));
    for (int i = 0; i < n; i += kGroup) {
      F32 a = load(choice.score + first + i), b = load(choice.score + first + i + kLanes);
      if (n - i < kGroup) see(a, b, n - i);
      a = exp2(a - set(m));
      b = exp2(b - set(m));
      store_weights(pairs, work.p + i * (pairs ? 2 : 4), a, b);
      kept = kept + a + b;
    }
    ValueRows rows;
    find_chosen_rows(rows, plan, tile, choice.position + first, n);
    const ValueTile t{.p = work.p,
                      .p_stride = work.p_stride,
                      .o = work.whole.o,
                      .o_stride = v_dim,
                      .factor = nullptr,  // m is that of all scores already
                      .begin = 0,
                      .end = pairs ? n / 2 : n};
    add_tail(t, {.rows = &rows, .layout = &plan.v, .offset = head}, n, work.zeros);
  }
  const float sum_of_weights = plan.args->v_weights == VWeights::all ? all : sum(kept);
  store_output(output_of(plan, tile, vector), work.whole.o, 1.0f / sum_of_weights, plan.v);
}

// The best of all threads' lists of a vector, in order of position.
void choose(const AttentionPlan& plan, const AttentionTile& tile, int64_t vector, List& choice, const List& spare) {
  const Shortlists& lists = tile.lists;
  const int64_t end = plan.threads * lists.stride, v_top = plan.args->v_top;
  float bound = kMinusInf;
  for (int64_t i = vector; i < end; i += lists.stride) bound = lists.bound[i] > bound ? lists.bound[i] : bound;
  choice.count = 0;
  for (int64_t i = vector; i < end; i += lists.stride) {
    append_reaching(choice, list_of(lists, i), bound);
    if (choice.count > lists.room) bound = shorten(choice, spare, v_top);
  }
  keep_largest(choice, spare, v_top);
}

// The vectors of one V head: the next one's choice is made while the rows of the last one's are on their way.
void select(const AttentionPlan& plan, const AttentionTile& tile, int v_head, std::byte* scratch) {
  const Workspace work(plan, 1, scratch);
  const int64_t vectors = tile.rows * plan.q_heads / plan.v_heads, first = v_head * vectors;
  const int64_t head = v_head * plan.v.head_bytes, length = list_floats(tile.lists.room);
  List lists[3];
  for (int i = 0; i < 3; ++i)
    lists[i] = {work.rest + 2 * i * length, reinterpret_cast<int32_t*>(work.rest + (2 * i + 1) * length), 0};
  for (int64_t i = 0; i <= vectors; ++i) {
    const int64_t vector = first + i;
    if (i < vectors) {
      choose(plan, tile, vector, lists[i % 2], lists[2]);
      prefetch_chosen(plan, tile, lists[i % 2], head);
    }
    if (i > 0) add_chosen(plan, tile, work, lists[(i + 1) % 2], head, vector - 1);
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
