#include "train/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "train/gemm.h"
#include "train/tensors.h"

namespace sigma {

namespace {

constexpr int64_t kQueries = 128, kKeys = 256;  // of a tile

// Columns of one head, rows of one piece of a sequence.
template <class View>
View head_slice(const View& x, int64_t head, int64_t heads, int64_t first_row, int64_t rows) {
  View v = x.slice_rows(first_row, rows);
  v.cols = x.cols / heads;
  v.data += head * v.cols * dtype_bytes(x.dtype);
  return v;
}

// A block of queries of one head: which keys its rows see.
struct Block {
  Block(const TrainAttention& a, int64_t row, int64_t first_query)
      : first(first_query), count(std::min(kQueries, a.context - first_query)), row_begin(row * a.context) {
    const int32_t* starts = a.starts.data() + row_begin + first;
    visible = starts;
    first_key = *std::min_element(starts, starts + count) / kKeys * kKeys;
  }
  int64_t end() const { return first + count; }  // no query of it sees keys from here on
  int64_t keys(int64_t tile) const { return std::min(kKeys, end() - tile); }
  // Columns of the tile that begins at key `tile` and that each row sees.
  void columns(int64_t tile, int32_t* begin, int32_t* stop) const {
    const int64_t n = keys(tile);
    for (int64_t r = 0; r < count; ++r) {
      begin[r] = static_cast<int32_t>(std::clamp<int64_t>(visible[r] - tile, 0, n));
      stop[r] = static_cast<int32_t>(std::clamp<int64_t>(first + r + 1 - tile, 0, n));
    }
  }
  int64_t first, count, row_begin;
  int64_t first_key;
  const int32_t* visible;
};

// Working memory of one thread.
struct Tile {
  TensorView s, dp;  // real [kQueries, kKeys]
  TensorView p, ds;  // activations [kQueries, kKeys]
  TensorView out;    // real [kQueries, v_dim], or dq [kQueries, key dim]
  TensorView total;  // real [kQueries, 1]
  int32_t begin[kQueries], stop[kQueries];
};

std::span<Tile> take_tiles(const Context& context, DType activations, DType real, int64_t out_cols) {
  Arena& arena = context.scratch;
  const int count = context.threads.size();
  auto* tiles = arena.take<Tile>(count);
  for (int i = 0; i < count; ++i) {
    Tile& t = *new (tiles + i) Tile;
    t.s = take(arena, real, kQueries, kKeys);
    t.dp = take(arena, real, kQueries, kKeys);
    t.p = take(arena, activations, kQueries, kKeys);
    t.ds = take(arena, activations, kQueries, kKeys);
    t.out = take(arena, real, kQueries, out_cols);
    t.total = take(arena, real, kQueries, 1);
  }
  return {tiles, static_cast<size_t>(count)};
}

// The top left of a tile's matrix.
TensorView part(TensorView x, int64_t rows, int64_t cols) {
  x.rows = rows;
  x.cols = cols;
  return x;
}

void fill(TensorView x, double value) {
  for (int64_t r = 0; r < x.rows; ++r) {
    if (x.dtype == DType::f64) {
      std::fill_n(x.row<double>(r), x.cols, value);
    } else {
      std::fill_n(x.row<float>(r), x.cols, static_cast<float>(value));
    }
  }
}

// A column of numbers, one per query.
TensorView column(TensorView per_head, int64_t head, int64_t first, int64_t count) {
  const int64_t bytes = dtype_bytes(per_head.dtype);
  return {per_head.row<std::byte>(head) + first * bytes, per_head.dtype, count, 1, bytes};
}

void check_shapes(const TrainAttention& a) {
  SIGMA_CHECK_EQ(a.q.rows, a.rows * a.context);
  SIGMA_CHECK_EQ(static_cast<int64_t>(a.starts.size()), a.rows * a.context);
  SIGMA_CHECK_EQ(a.q.cols / a.q_heads, a.k.cols / a.k_heads);
  SIGMA_CHECK_EQ(a.q_heads % a.k_heads, 0);
  SIGMA_CHECK_EQ(a.q_heads % a.v_heads, 0);
}

// s = q k^T of one tile.
void score(TensorView s, ConstTensorView q, ConstTensorView k) {
  gemm_tile({.out = s, .a = q, .b = k, .b_op = Op::transposed});
}

}  // namespace

void attention_forward(const Context& context, TensorView out, const TrainAttention& a) {
  check_shapes(a);
  const GradientKernels& kernels = *context.k.gradients;
  const Arena::Scope scope(context.scratch);
  const int64_t v_dim = a.v.cols / a.v_heads, blocks = ceil_div(a.context, kQueries);
  const std::span<Tile> tiles = take_tiles(context, a.q.dtype, a.lse.dtype, v_dim);
  context.threads.run(a.rows * a.q_heads * blocks, [&](int64_t task, int thread) {
    // The longest blocks first: they are the last of a sequence.
    const int64_t pair = task % (a.rows * a.q_heads), head = pair % a.q_heads, row = pair / a.q_heads;
    const Block block(a, row, (blocks - 1 - task / (a.rows * a.q_heads)) * kQueries);
    const int64_t k_head = head * a.k_heads / a.q_heads, v_head = head * a.v_heads / a.q_heads;
    Tile& t = tiles[static_cast<size_t>(thread)];
    const int64_t first_row = block.row_begin + block.first;
    const ConstTensorView q = head_slice(a.q, head, a.q_heads, first_row, block.count);
    const TensorView sum = part(t.out, block.count, v_dim), total = part(t.total, block.count, 1);
    const TensorView lse = column(a.lse, head, first_row, block.count);
    fill(sum, 0);
    fill(total, 0);
    fill(lse, -std::numeric_limits<double>::infinity());
    for (int64_t key = block.first_key; key < block.end(); key += kKeys) {
      const int64_t n = block.keys(key);
      const TensorView s = part(t.s, block.count, n), p = part(t.p, block.count, n);
      score(s, q, head_slice(a.k, k_head, a.k_heads, block.row_begin + key, n));
      block.columns(key, t.begin, t.stop);
      kernels.softmax_tile(p, lse, total, sum, {.scores = s, .begin = t.begin, .end = t.stop, .scale = a.scale});
      gemm_tile(
          {.out = sum, .a = p, .b = head_slice(a.v, v_head, a.v_heads, block.row_begin + key, n), .store = Store::add});
    }
    kernels.softmax_finish(head_slice(out, head, a.q_heads, first_row, block.count), lse, sum, lse, total);
  });
}

namespace {

// Gradients of k or v as every query head leaves them, added up over the heads that share one.
void add_heads(const Context& context, TensorView d, int heads, TensorView by_query_head, int64_t q_heads) {
  const int64_t group = q_heads / heads, n = d.cols / heads;
  const auto add = [&](auto* type) {
    using Real = std::remove_pointer_t<decltype(type)>;
    context.threads.run(d.rows, [&](int64_t r) {
      for (int64_t head = 0; head < heads; ++head) {
        Real* sum = by_query_head.row<Real>(r) + head * group * n;
        for (int64_t other = 1; other < group; ++other)
          for (int64_t i = 0; i < n; ++i) sum[i] += sum[other * n + i];
        for (int64_t i = 0; i < n; ++i) by_query_head.row<Real>(r)[head * n + i] = sum[i];
      }
    });
  };
  if (by_query_head.dtype == DType::f64) {
    add(static_cast<double*>(nullptr));
  } else {
    add(static_cast<float*>(nullptr));
  }
  by_query_head.cols = d.cols;
  convert(context, d, by_query_head);
}

}  // namespace

void attention_backward(const Context& context, const AttentionGradients& grads, ConstTensorView dout,
                        ConstTensorView out, const TrainAttention& a) {
  check_shapes(a);
  const GradientKernels& kernels = *context.k.gradients;
  const Arena::Scope scope(context.scratch);
  const int64_t d = a.q.cols / a.q_heads, v_dim = a.v.cols / a.v_heads, blocks = ceil_div(a.context, kQueries);
  const DType real = a.lse.dtype;
  const std::span<Tile> tiles = take_tiles(context, a.q.dtype, real, d);
  const TensorView dk = take(context.scratch, real, a.q.rows, a.q_heads * d);
  const TensorView dv = take(context.scratch, real, a.q.rows, a.q_heads * v_dim);
  context.threads.run(a.rows * a.q_heads, [&](int64_t task, int thread) {
    const int64_t head = task % a.q_heads, row = task / a.q_heads;
    const int64_t k_head = head * a.k_heads / a.q_heads, v_head = head * a.v_heads / a.q_heads;
    Tile& t = tiles[static_cast<size_t>(thread)];
    fill(head_slice(dk, head, a.q_heads, row * a.context, a.context), 0);
    fill(head_slice(dv, head, a.q_heads, row * a.context, a.context), 0);
    for (int64_t b = 0; b < blocks; ++b) {
      const Block block(a, row, b * kQueries);
      const int64_t first_row = block.row_begin + block.first;
      const ConstTensorView q = head_slice(a.q, head, a.q_heads, first_row, block.count);
      const ConstTensorView go = head_slice(dout, head, a.q_heads, first_row, block.count);
      const TensorView delta = part(t.total, block.count, 1), dq = part(t.out, block.count, d);
      kernels.dot_rows(delta, go, head_slice(out, head, a.q_heads, first_row, block.count));
      fill(dq, 0);
      for (int64_t key = block.first_key; key < block.end(); key += kKeys) {
        const int64_t n = block.keys(key), key_row = block.row_begin + key;
        const TensorView s = part(t.s, block.count, n), dp = part(t.dp, block.count, n);
        const TensorView p = part(t.p, block.count, n), ds = part(t.ds, block.count, n);
        const ConstTensorView k = head_slice(a.k, k_head, a.k_heads, key_row, n);
        score(s, q, k);
        score(dp, go, head_slice(a.v, v_head, a.v_heads, key_row, n));
        block.columns(key, t.begin, t.stop);
        kernels.softmax_tile_backward(p, ds, dp, column(a.lse, head, first_row, block.count), delta,
                                      {.scores = s, .begin = t.begin, .end = t.stop, .scale = a.scale});
        gemm_tile({.out = head_slice(dv, head, a.q_heads, key_row, n),
                   .a = p,
                   .a_op = Op::transposed,
                   .b = go,
                   .store = Store::add});
        gemm_tile({.out = head_slice(dk, head, a.q_heads, key_row, n),
                   .a = ds,
                   .a_op = Op::transposed,
                   .b = q,
                   .store = Store::add});
        gemm_tile({.out = dq, .a = ds, .b = k, .store = Store::add});
      }
      kernels.convert(head_slice(grads.dq, head, a.q_heads, first_row, block.count), dq);
    }
  });
  add_heads(context, grads.dk, a.k_heads, dk, a.q_heads);
  add_heads(context, grads.dv, a.v_heads, dv, a.q_heads);
}

}  // namespace sigma
