#include "kernels/cpu/activations.h"

#include "kernels/cpu/simd.h"
#include "kernels/packed.h"

namespace sigma::SIGMA_ISA {

namespace {

// Blocks whose largest value is below this become zero, so that 127 / max stays finite.
constexpr float kSmallest = 0x1p-112f;
// Elements that are worth another thread.
constexpr int64_t kTaskElements = 16384;

// One block of one row: x[0..32) to its place among R rows.
void pack_q8(const float* x, std::byte* block, int64_t R, int64_t r) {
  constexpr int kVectors = kBlock / kLanes;
  F32 v[kVectors];
  I32 bits = zero_i32();  // of |x|: ordered as |x| is, NaN above all
  for (int i = 0; i < kVectors; ++i) {
    v[i] = load(x + i * kLanes);
    bits = max(bits, as_i32(abs(v[i])));
  }
  const int32_t largest_bits = max_of(bits);
  float largest;
  __builtin_memcpy(&largest, &largest_bits, 4);
  const float d = largest / 127.0f;
  const F32 inverse = set(largest >= kSmallest ? 127.0f / largest : 0.0f);
  int8_t q[kBlock];
  F32 sums[2] = {zero_f32(), zero_f32()};
  for (int i = 0; i < kVectors; ++i) {
    const I32 rounded = to_i32(v[i] * inverse);
    store_i8(q + i * kLanes, rounded);
    sums[i * 2 / kVectors] = sums[i * 2 / kVectors] + to_f32(rounded);
  }
  const float sum0 = sum(sums[0]), total = sum0 + sum(sums[1]);
  for (int g = 0; g < 8; ++g) __builtin_memcpy(block + (g * R + r) * 4, q + g * 4, 4);
  auto* f = reinterpret_cast<float*>(block + kBlock * R);
  f[r] = d;
  f[R + r] = d * total;
  auto* i32 = reinterpret_cast<int32_t*>(f + 2 * R);
  i32[r] = -128 * static_cast<int32_t>(total);
  i32[R + r] = -128 * static_cast<int32_t>(sum0);
}

void pack_bf16(const float* x, std::byte* block, int64_t R, int64_t r) {
  bf16 rounded[kBlock];
  for (int i = 0; i < kBlock; i += kLanes) store_bf16(rounded + i, load(x + i));
  for (int k = 0; k < kBlock; k += 2) __builtin_memcpy(block + (k / 2 * R + r) * 4, rounded + k, 4);
}

void pack_f32(const float* x, std::byte* block, int64_t R, int64_t r) {
  auto* to = reinterpret_cast<float*>(block);
  for (int k = 0; k < kBlock; ++k) to[k * R + r] = x[k];
}

constexpr void (*kPackBlock[kActivationKinds])(const float*, std::byte*, int64_t, int64_t) = {pack_q8, pack_bf16,
                                                                                              pack_f32};

void pack_row(Activations kind, const float* x, int64_t cols, std::byte* tile, int64_t R, int64_t r) {
  const auto pack_block = kPackBlock[static_cast<int>(kind)];
  const int64_t step = R * kActivationBytes[static_cast<int>(kind)];
  int64_t k = 0;
  for (; k + kBlock <= cols; k += kBlock, tile += step) pack_block(x + k, tile, R, r);
  if (k == cols) return;
  float last[kBlock] = {};
  __builtin_memcpy(last, x + k, static_cast<size_t>(cols - k) * sizeof(float));
  pack_block(last, tile, R, r);
}

}  // namespace

const std::byte* pack_activations(const Context& context, Activations kind, ConstTensorView x) {
  const int64_t row_bytes = ceil_div(x.cols, kBlock) * kActivationBytes[static_cast<int>(kind)];
  auto* packed = context.scratch.take<std::byte>(x.rows * row_bytes);
  const Tiling tiling(x.rows);
  const int64_t per_task = ceil_div(kTaskElements, x.cols * kMaxTileRows);
  context.threads.run(ceil_div(tiling.tiles, per_task), [&](int64_t task) {
    for (int64_t t = task * per_task; t < (task + 1) * per_task && t < tiling.tiles; ++t) {
      const int64_t row = tiling.first_row(t);
      for (int r = 0; r < tiling.rows(t); ++r)
        pack_row(kind, x.row<float>(row + r), x.cols, packed + row * row_bytes, tiling.rows(t), r);
    }
  });
  return packed;
}

}  // namespace sigma::SIGMA_ISA
