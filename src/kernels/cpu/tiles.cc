#include "kernels/cpu/tiles.h"

#include "kernels/cpu/simd.h"

namespace sigma::SIGMA_ISA {

namespace {

constexpr int kVectors = kPanel / kLanes;            // of a panel
constexpr int kTogether = kRegisters == 32 ? 2 : 1;  // of them in one pass of an integer tile
constexpr int kTogetherPlain = 2;                    // and of a floating-point one, which has half the accumulators
constexpr int64_t kL1 = 24 << 10;                    // bytes of a panel that one chunk may take

// How a quantised block gives its weights. quads(w, g, v): k = 4g .. 4g+3 of outputs v * kLanes ...; d, m likewise.
// kLow: quads are below 128 (so that a cheaper dot product is exact), kBias: their zero, kMin: has m.
struct Q8 : PackedQ8 {
  static constexpr int kBias = 128;
  static constexpr bool kMin = false;
};
struct Q4 : PackedQ4 {
  static constexpr int kBias = 8;
  static constexpr bool kMin = false;
};
struct Q4Min : PackedQ4Min {
  static constexpr int kBias = 0;
  static constexpr bool kMin = true;
};

// acc + the products of quad g of R rows (`a`: s8 [8][R][4]) with the weights `u` of outputs of one vector.
template <int R, int V, class Dot>
inline void dot_rows(I32 (&acc)[R][V], int v, I32 u, const std::byte* a, int g, Dot dot) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r][v] = dot(acc[r][v], u, set_raw(a + (g * R + r) * 4));
}

// sum(q a) over one block, exact: weights biased by W::kBias start from -kBias * sum(a) = bias * kBias / 128.
template <class W, int R, int V>
inline void dot_block(I32 (&acc)[R][V], const W& w, int v0, const std::byte* a) {
  const auto* bias = reinterpret_cast<const int32_t*>(a + R * (kBlock + 8));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    I32 start = zero_i32();
    if constexpr (W::kBias == 128) start = set(bias[r]);
    if constexpr (W::kBias == 8) start = set(bias[r]) >> 4;
    for (int v = 0; v < V; ++v) acc[r][v] = start;
  }
  if constexpr (W::kBias == 128) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g)
      for (int v = 0; v < V; ++v)
        dot_rows(acc, v, load_raw(w.q[g][(v0 + v) * kLanes]), a, g,
                 [](I32 s, I32 x, I32 y) { return dot_u8s8(s, x, y); });
  } else {
    const I32 low = set(0x0f0f0f0f);
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g)
      for (int v = 0; v < V; ++v) {
        const I32 both = load_raw(w.q[g][(v0 + v) * kLanes]);
        const auto dot = [](I32 s, I32 x, I32 y) { return dot_u7s8(s, x, y); };
        dot_rows(acc, v, both & low, a, g, dot);
        dot_rows(acc, v, (both >> 4) & low, a, g + 4, dot);
      }
  }
}

// out += (d_w d_a) sum(q a) (+ m_w d_a sum(a)) block by block.
template <class W, int R>
void quantised_tile(float* acc, const std::byte* a, const std::byte* weights, int64_t blocks, bool first) {
  constexpr int V = kTogether;
  const auto* panel = reinterpret_cast<const W*>(weights);
  for (int v0 = 0; v0 < kVectors; v0 += V) {
    F32 out[R][V];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) out[r][v] = first ? zero_f32() : load(acc + r * kPanel + (v0 + v) * kLanes);
    const std::byte* x = a;
    for (int64_t b = 0; b < blocks; ++b, x += R * kActivationBytes[0]) {
      const W& w = panel[b];
      I32 products[R][V];
      dot_block(products, w, v0, x);
      const auto* d = reinterpret_cast<const float*>(x + R * kBlock);
      for (int v = 0; v < V; ++v) {
        const F32 dw = load_f16(w.d + (v0 + v) * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) out[r][v] = fma(to_f32(products[r][v]), dw * set(d[r]), out[r][v]);
        if constexpr (W::kMin) {
          const F32 mw = load_f16(w.m + (v0 + v) * kLanes);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) out[r][v] = fma(mw, set(d[R + r]), out[r][v]);
        }
      }
    }
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) store(acc + r * kPanel + (v0 + v) * kLanes, out[r][v]);
  }
}

// q8_wide: the two halves of a block have their own d.
template <int R>
void wide_tile(float* acc, const std::byte* a, const std::byte* weights, int64_t blocks, bool first) {
  const auto* panel = reinterpret_cast<const PackedQ8Wide*>(weights);
  for (int v = 0; v < kVectors; ++v) {
    F32 out[R];
    for (int r = 0; r < R; ++r) out[r] = first ? zero_f32() : load(acc + r * kPanel + v * kLanes);
    const std::byte* x = a;
    for (int64_t b = 0; b < blocks; ++b, x += R * kActivationBytes[0]) {
      const PackedQ8Wide& w = panel[b];
      const auto* d = reinterpret_cast<const float*>(x + R * kBlock);
      const auto* bias = reinterpret_cast<const int32_t*>(d + 2 * R);
      for (int half = 0; half < 2; ++half) {
        I32 products[R][1];
        for (int r = 0; r < R; ++r) products[r][0] = set(half == 0 ? bias[R + r] : bias[r] - bias[R + r]);
#pragma GCC unroll 4
        for (int g = half * 4; g < half * 4 + 4; ++g)
          dot_rows(products, 0, load_raw(w.q[g][v * kLanes]), x, g,
                   [](I32 s, I32 p, I32 q) { return dot_u8s8(s, p, q); });
        const F32 dw = load(w.d[half] + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) out[r] = fma(to_f32(products[r][0]), dw * set(d[r]), out[r]);
      }
      const F32 mw = load(w.m + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) out[r] = fma(mw, set(d[R + r]), out[r]);
    }
    for (int r = 0; r < R; ++r) store(acc + r * kPanel + v * kLanes, out[r]);
  }
}

struct Bf16 {
  static constexpr int kSteps = kBlock / 2;  // of a block
  static constexpr Activations kActivations = Activations::bf16;
  using Packed = PackedBf16;
  static I32 load_weights(const Packed& w, int step, int v) { return load_raw(w.w[step][v * kLanes]); }
  static F32 multiply_add(F32 acc, I32 w, const std::byte* x) { return dot_bf16(acc, w, set_raw(x)); }
};
struct F16 {
  static constexpr int kSteps = kBlock;
  static constexpr Activations kActivations = Activations::f32;
  using Packed = PackedF16;
  static F32 load_weights(const Packed& w, int step, int v) { return load_f16(w.w[step] + v * kLanes); }
  static F32 multiply_add(F32 acc, F32 w, const std::byte* x) {
    return fma(w, set(*reinterpret_cast<const float*>(x)), acc);
  }
};
struct F32Weights {
  static constexpr int kSteps = kBlock;
  static constexpr Activations kActivations = Activations::f32;
  using Packed = PackedF32;
  static F32 load_weights(const Packed& w, int step, int v) { return load(w.w[step] + v * kLanes); }
  static F32 multiply_add(F32 acc, F32 w, const std::byte* x) {
    return fma(w, set(*reinterpret_cast<const float*>(x)), acc);
  }
};

template <class W, int R>
void plain_tile(float* acc, const std::byte* a, const std::byte* weights, int64_t blocks, bool first) {
  constexpr int V = kTogetherPlain;
  const auto* panel = reinterpret_cast<const typename W::Packed*>(weights);
  for (int v0 = 0; v0 < kVectors; v0 += V) {
    F32 out[R][V];
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) out[r][v] = first ? zero_f32() : load(acc + r * kPanel + (v0 + v) * kLanes);
    const std::byte* x = a;
    for (int64_t b = 0; b < blocks; ++b) {
#pragma GCC unroll 4
      for (int step = 0; step < W::kSteps; ++step, x += R * 4) {
        for (int v = 0; v < V; ++v) {
          const auto w = W::load_weights(panel[b], step, v0 + v);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) out[r][v] = W::multiply_add(out[r][v], w, x + r * 4);
        }
      }
    }
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) store(acc + r * kPanel + (v0 + v) * kLanes, out[r][v]);
  }
}

template <class W>
constexpr LayoutKernels quantised() {
  return {Activations::q8,
          kActivationBytes[0],
          sizeof(W),
          kL1 / static_cast<int64_t>(sizeof(W)),
          {nullptr, quantised_tile<W, 1>, quantised_tile<W, 2>, quantised_tile<W, 3>, quantised_tile<W, 4>,
           quantised_tile<W, 5>, quantised_tile<W, 6>}};
}
constexpr LayoutKernels wide() {
  return {Activations::q8,
          kActivationBytes[0],
          sizeof(PackedQ8Wide),
          kL1 / static_cast<int64_t>(sizeof(PackedQ8Wide)),
          {nullptr, wide_tile<1>, wide_tile<2>, wide_tile<3>, wide_tile<4>, wide_tile<5>, wide_tile<6>}};
}
template <class W>
constexpr LayoutKernels plain() {
  return {W::kActivations,
          kActivationBytes[static_cast<int>(W::kActivations)],
          sizeof(typename W::Packed),
          kL1 / static_cast<int64_t>(sizeof(typename W::Packed)),
          {nullptr, plain_tile<W, 1>, plain_tile<W, 2>, plain_tile<W, 3>, plain_tile<W, 4>, plain_tile<W, 5>,
           plain_tile<W, 6>}};
}

// In the order of Layout.
constexpr LayoutKernels kLayouts[] = {quantised<Q8>(), quantised<Q4>(), quantised<Q4Min>(), wide(),
                                      plain<Bf16>(),   plain<F16>(),    plain<F32Weights>()};

}  // namespace

const LayoutKernels& layout_kernels(Layout layout) { return kLayouts[static_cast<int>(layout)]; }

}  // namespace sigma::SIGMA_ISA
