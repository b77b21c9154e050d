#include "kernels/cpu/tiles.h"

#include "kernels/cpu/simd.h"

namespace sigma::SIGMA_ISA {

namespace {

constexpr int kVectors = kPanel / kLanes;            // of a panel
constexpr int kTogether = kRegisters == 32 ? 2 : 1;  // of them in one pass of an integer tile
constexpr int kTogetherPlain = 2;                    // and of a floating-point one, which has half the accumulators
constexpr int64_t kL1 = 24 << 10;                    // bytes of a panel that one chunk may take

template <int R, int V>
inline void load_accumulators(F32 (&out)[R][V], const float* acc, int v0, bool first) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) out[r][v] = first ? zero_f32() : load(acc + r * kPanel + (v0 + v) * kLanes);
}

template <int R, int V>
inline void store_accumulators(float* acc, const F32 (&out)[R][V], int v0) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(acc + r * kPanel + (v0 + v) * kLanes, out[r][v]);
}

// A quantised block: its zero point (weights biased by kBias), the parts with a d of their own, whether it has an m.
struct Q8 : PackedQ8 {
  static constexpr int kBias = 128, kParts = 1;
  static constexpr bool kMin = false;
  F32 scale(int, int at) const { return load_f16(d + at); }
};
struct Q4 : PackedQ4 {
  static constexpr int kBias = 8, kParts = 1;
  static constexpr bool kMin = false;
  F32 scale(int, int at) const { return load_f16(d + at); }
};
struct Q4Min : PackedQ4Min {
  static constexpr int kBias = 0, kParts = 1;
  static constexpr bool kMin = true;
  F32 scale(int, int at) const { return load_f16(d + at); }
  F32 min(int at) const { return load_f16(m + at); }
};
struct Q8Wide : PackedQ8Wide {
  static constexpr int kBias = 128, kParts = 2;
  static constexpr bool kMin = true;
  F32 scale(int part, int at) const { return load(d[part] + at); }
  F32 min(int at) const { return load(m + at); }
};

// What the sums of one part of a block of W start from.
template <class W, int R>
inline I32 start(const Q8Rows<R>& x, int part, int r) {
  if constexpr (W::kBias == 0) return zero_i32();
  if constexpr (W::kBias == 8) return set(x.bias[r]) >> 4;
  if constexpr (W::kParts == 1) return set(x.bias[r]);
  return part == 0 ? set(x.first_bias[r]) : set(x.bias[r]) - set(x.first_bias[r]);
}

// products[r][v] = sum of (q_w - kBias) q_x over one part of a block, exact.
template <class W, int R, int V>
inline void dot_block(I32 (&products)[R][V], const W& w, int v0, const Q8Rows<R>& x, int part) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) products[r][v] = start<W>(x, part, r);
  // Not unrolled over k: few load instructions with short strides are what the processor's prefetchers follow best.
  if constexpr (W::kBias == 128) {
    constexpr int kGroups = 8 / W::kParts;
#pragma GCC unroll 1
    for (int g = part * kGroups; g < (part + 1) * kGroups; ++g)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const I32 u = load_raw(w.q[g][(v0 + v) * kLanes]);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) products[r][v] = dot_u8s8(products[r][v], u, set_raw(x.q[g][r]));
      }
  } else {
    const I32 low = set(0x0f0f0f0f);
#pragma GCC unroll 1
    for (int g = 0; g < 4; ++g)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const I32 both = load_raw(w.q[g][(v0 + v) * kLanes]);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) products[r][v] = dot_u7s8(products[r][v], both & low, set_raw(x.q[g][r]));
        const I32 high = (both >> 4) & low;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) products[r][v] = dot_u7s8(products[r][v], high, set_raw(x.q[g + 4][r]));
      }
  }
}

// acc += d_w d_x sum(q_w q_x) (+ m_w d_x sum(q_x)), part by part, block by block.
template <class W, int R>
void quantised_tile(float* acc, const std::byte* activations, const std::byte* weights, int64_t blocks, bool first) {
  constexpr int V = kTogether;
  constexpr bool kFar =
      kFetchesAll || R * kPanel * kBlock / (4 * kLanes) >= kFarDots * static_cast<int>(sizeof(W) / 64);
  const auto* w = reinterpret_cast<const W*>(weights);
  const auto* x = reinterpret_cast<const Q8Rows<R>*>(activations);
  for (int v0 = 0; v0 < kVectors; v0 += V) {
    F32 out[R][V];
    load_accumulators(out, acc, v0, first);
    for (int64_t b = 0; b < blocks; ++b) {
      if (kFar && v0 == 0)
        for (size_t i = 0; i < sizeof(W); i += 64)
          prefetch_far(reinterpret_cast<const std::byte*>(w + b) + kFarBytes + i);
#pragma GCC unroll 2
      for (int part = 0; part < W::kParts; ++part) {
        I32 products[R][V];
        dot_block(products, w[b], v0, x[b], part);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const F32 scale = w[b].scale(part, (v0 + v) * kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) out[r][v] = fma(to_f32(products[r][v]), scale * set(x[b].d[r]), out[r][v]);
        }
      }
      if constexpr (W::kMin) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const F32 min = w[b].min((v0 + v) * kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) out[r][v] = fma(min, set(x[b].dsum[r]), out[r][v]);
        }
      }
    }
    store_accumulators(acc, out, v0);
  }
}

// x: of row 0 at this step; a step's values lie kActivations' way.
struct Bf16 {
  static constexpr int kSteps = kBlock / 2;  // of a block
  static constexpr Activations kActivations = kBf16Products ? Activations::bf16 : Activations::f32;
  using Packed = PackedBf16;
  static I32 load_weights(const Packed& w, int step, int v) { return load_raw(w.w[step][v * kLanes]); }
  template <int R>
  static F32 multiply_add(F32 acc, I32 w, const std::byte* x, int r) {
    if constexpr (kBf16Products) return dot_bf16(acc, w, set_raw(x + r * 4));
    const auto* at = reinterpret_cast<const float*>(x) + r;
    return fma(second_of(w), set(at[R]), fma(first_of(w), set(at[0]), acc));
  }
};
struct F16 {
  static constexpr int kSteps = kBlock;
  static constexpr Activations kActivations = Activations::f32;
  using Packed = PackedF16;
  static F32 load_weights(const Packed& w, int step, int v) { return load_f16(w.w[step] + v * kLanes); }
  template <int R>
  static F32 multiply_add(F32 acc, F32 w, const std::byte* x, int r) {
    return fma(w, set(reinterpret_cast<const float*>(x)[r]), acc);
  }
};
struct F32Weights {
  static constexpr int kSteps = kBlock;
  static constexpr Activations kActivations = Activations::f32;
  using Packed = PackedF32;
  static F32 load_weights(const Packed& w, int step, int v) { return load(w.w[step] + v * kLanes); }
  template <int R>
  static F32 multiply_add(F32 acc, F32 w, const std::byte* x, int r) {
    return fma(w, set(reinterpret_cast<const float*>(x)[r]), acc);
  }
};

// acc += w x, k by k (bf16: pair by pair).
template <class W, int R>
void plain_tile(float* acc, const std::byte* activations, const std::byte* weights, int64_t blocks, bool first) {
  constexpr int V = kTogetherPlain;
  constexpr bool kFar = kFetchesAll && R <= 4;  // tiles of 6, of hundreds of rows, lost 3% by it on Zen 4
  constexpr int64_t step_bytes = R * kActivationBytes[static_cast<int>(W::kActivations)] / W::kSteps;
  const auto* w = reinterpret_cast<const typename W::Packed*>(weights);
  for (int v0 = 0; v0 < kVectors; v0 += V) {
    F32 out[R][V];
    load_accumulators(out, acc, v0, first);
    const std::byte* x = activations;
    for (int64_t b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
      for (int step = 0; step < W::kSteps; ++step, x += step_bytes) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const auto weight = W::load_weights(w[b], step, v0 + v);
          if constexpr (kFar) prefetch_far(reinterpret_cast<const std::byte*>(&w[b].w[step][v * kLanes]) + kFarBytes);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) out[r][v] = W::template multiply_add<R>(out[r][v], weight, x, r);
        }
      }
    }
    store_accumulators(acc, out, v0);
  }
}

template <class W>
constexpr LayoutKernels quantised() {
  return {Activations::q8,
          kActivationBytes[static_cast<int>(Activations::q8)],
          sizeof(W),
          kL1 / static_cast<int64_t>(sizeof(W)),
          {nullptr, quantised_tile<W, 1>, quantised_tile<W, 2>, quantised_tile<W, 3>, quantised_tile<W, 4>,
           quantised_tile<W, 5>, quantised_tile<W, 6>, quantised_tile<W, 7>, quantised_tile<W, 8>}};
}

template <class W>
constexpr LayoutKernels plain() {
  constexpr int64_t bytes = sizeof(typename W::Packed);
  return {W::kActivations,
          kActivationBytes[static_cast<int>(W::kActivations)],
          bytes,
          kL1 / bytes,
          {nullptr, plain_tile<W, 1>, plain_tile<W, 2>, plain_tile<W, 3>, plain_tile<W, 4>, plain_tile<W, 5>,
           plain_tile<W, 6>, plain_tile<W, 7>, plain_tile<W, 8>}};
}

// In the order of Layout.
constexpr LayoutKernels kLayouts[] = {quantised<Q8>(), quantised<Q4>(), quantised<Q4Min>(), quantised<Q8Wide>(),
                                      plain<Bf16>(),   plain<F16>(),    plain<F32Weights>()};

}  // namespace

const LayoutKernels& layout_kernels(Layout layout) { return kLayouts[static_cast<int>(layout)]; }

}  // namespace sigma::SIGMA_ISA
