#include "kernels/cpu/activations.h"

#include "kernels/cpu/simd.h"
#include "kernels/packed.h"

namespace sigma::SIGMA_ISA {

namespace {

constexpr int kVectors = kBlock / kLanes;
// Blocks whose largest value is below this become zero, so that 127 / max stays finite.
constexpr float kSmallest = 0x1p-112f;
// Elements that are worth another thread.
constexpr int64_t kTaskElements = 16384;

// A row's 32 values as bytes where R = 1, by way of `bytes` in the others: 4 of each row side by side.
template <int R, class T>
inline void interleave(T (&to)[kBlock * sizeof(T) / 4][R][4 / sizeof(T)], int r, const T* from) {
#pragma GCC unroll 16
  for (size_t i = 0; i < kBlock * sizeof(T) / 4; ++i) __builtin_memcpy(to[i][r], from + i * (4 / sizeof(T)), 4);
}

template <int R>
inline void quantise(Q8Rows<R>& to, int r, const float* x) {
  F32 v[kVectors];
  I32 bits = zero_i32();  // of |x|: ordered as |x| is, NaN above all
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    v[i] = load(x + i * kLanes);
    bits = max(bits, as_i32(abs(v[i])));
  }
  const int32_t largest_bits = max_of(bits);
  float largest;
  __builtin_memcpy(&largest, &largest_bits, 4);
  const F32 inverse = set(largest >= kSmallest ? 127.0f / largest : 0.0f);
  int8_t q[kBlock];
  int8_t* bytes = R == 1 ? to.q[0][0] : q;
  I32 sums[2] = {zero_i32(), zero_i32()};
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const I32 rounded = to_i32(v[i] * inverse);
    store_i8(bytes + i * kLanes, rounded);
    sums[i * 2 / kVectors] = sums[i * 2 / kVectors] + rounded;
  }
  to.d[r] = largest / 127.0f;
  if constexpr (R == 1) {
    const int32_t first = sum(sums[0]), total = first + sum(sums[1]);
    to.dsum[0] = to.d[0] * static_cast<float>(total);
    to.bias[0] = -128 * total;
    to.first_bias[0] = -128 * first;
  } else {
    interleave(to.q, r, q);
  }
}

// The sums of all R rows, a lane for each: cheaper than one by one. Reads up to a vector beyond q.
template <int R>
inline void add_up(Q8Rows<R>& to) {
  const I32 ones = set(0x01010101);
  float totals[R + kLanes];
  int32_t biases[R + kLanes], first_biases[R + kLanes];
#pragma GCC unroll 8
  for (int r = 0; r < R; r += kLanes) {
    I32 first = zero_i32(), second = zero_i32();
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      first = dot_u7s8(first, ones, load_raw(to.q[g][r]));
      second = dot_u7s8(second, ones, load_raw(to.q[g + 4][r]));
    }
    store(totals + r, to_f32(first + second));
    store(biases + r, -((first + second) << 7));
    store(first_biases + r, -(first << 7));
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {  // one by one: the next block's loads would wait for wider stores close before them
    to.dsum[r] = to.d[r] * totals[r];
    to.bias[r] = biases[r];
    to.first_bias[r] = first_biases[r];
  }
}

template <int R>
inline void round_to_bf16(Bf16Rows<R>& to, int r, const float* x) {
  bf16 rounded[kBlock];
  bf16* at = R == 1 ? to.x[0][0] : rounded;
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) store_bf16(at + i * kLanes, load(x + i * kLanes));
  if constexpr (R > 1) interleave(to.x, r, rounded);
}

template <int R>
inline void copy(F32Rows<R>& to, int r, const float* x) {
#pragma GCC unroll 8
  for (int i = 0; i < kBlock; ++i) to.x[i][r] = x[i];
}

// Calls pack(block, r, x) for every block and row of a tile; what is missing in the last block is zero.
template <class Block, class F>
inline void for_blocks(ConstTensorView x, int64_t row, int R, Block* block, F pack) {
  for (int64_t k = 0; k < x.cols; k += kBlock, ++block)
    for (int r = 0; r < R; ++r) {
      const float* from = x.row<float>(row + r) + k;
      if (k + kBlock <= x.cols) {
        pack(*block, r, from);
      } else {
        float last[kBlock] = {};
        __builtin_memcpy(last, from, static_cast<size_t>(x.cols - k) * sizeof(float));
        pack(*block, r, last);
      }
    }
}

// Rows [row, row + R) of x as one tile.
template <int R>
void pack_tile(Activations kind, ConstTensorView x, int64_t row, std::byte* tile) {
  if (kind == Activations::q8) {
    auto* blocks = reinterpret_cast<Q8Rows<R>*>(tile);
    for_blocks(x, row, R, blocks, [](Q8Rows<R>& to, int r, const float* from) { quantise(to, r, from); });
    // After all of q, not block by block: vectors wait for the narrower stores they are made of.
    if constexpr (R > 1)
      for (int64_t b = 0; b < ceil_div(x.cols, kBlock); ++b) add_up(blocks[b]);
  } else if (kind == Activations::bf16) {
    for_blocks(x, row, R, reinterpret_cast<Bf16Rows<R>*>(tile),
               [](Bf16Rows<R>& to, int r, const float* from) { round_to_bf16(to, r, from); });
  } else {
    for_blocks(x, row, R, reinterpret_cast<F32Rows<R>*>(tile),
               [](F32Rows<R>& to, int r, const float* from) { copy(to, r, from); });
  }
}

constexpr void (*kPackTile[kMaxTileRows + 1])(Activations, ConstTensorView, int64_t, std::byte*) = {
    nullptr,      pack_tile<1>, pack_tile<2>, pack_tile<3>, pack_tile<4>,
    pack_tile<5>, pack_tile<6>, pack_tile<7>, pack_tile<8>};

}  // namespace

const std::byte* pack_activations(const Context& context, Activations kind, ConstTensorView x) {
  const int64_t row_bytes = ceil_div(x.cols, kBlock) * kActivationBytes[static_cast<int>(kind)];
  auto* packed = context.scratch.take<std::byte>(x.rows * row_bytes + kLanes * 4);
  const Tiling tiling(x.rows);
  const int64_t per_task = ceil_div(kTaskElements, x.cols * kMaxTileRows);
  context.threads.run(ceil_div(tiling.tiles, per_task), [&](int64_t task) {
    for (int64_t t = task * per_task; t < (task + 1) * per_task && t < tiling.tiles; ++t)
      kPackTile[tiling.rows(t)](kind, x, tiling.first_row(t), packed + tiling.first_row(t) * row_bytes);
  });
  return packed;
}

}  // namespace sigma::SIGMA_ISA
