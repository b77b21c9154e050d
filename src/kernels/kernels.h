// The contract of a kernel set: a table of plain functions over views. Knows no model, configuration or request.
//
// Rules every set obeys (tests/contract checks them):
// - Activations are f32 in memory. What a kernel rounds internally (bf16 or int8 activations) is its own affair, within
//   docs/numerics.md.
// - Determinism: the same input gives the same bits for any number of threads.
// - Batch invariance: row r of any output has the same bits whatever other rows are in the call.
// - Nothing outside the outputs is written; nothing is allocated but from Context::scratch.
// Sizes come from our own code and are CHECKed, never repaired.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/attention.h"
#include "tensor/format.h"
#include "tensor/tensor.h"

namespace sigma {

// A weight matrix as it lies in a checkpoint: `rows` outputs by `cols` inputs, each row format_row_bytes(format, cols).
// row_order (empty, or `rows` entries): row r of the matrix is source row row_order[r].
struct MatrixSource {
  Format format = Format::f32;
  int64_t rows = 0, cols = 0;
  const std::byte* data = nullptr;
  std::span<const int32_t> row_order;

  const std::byte* row(int64_t r) const {
    return data + (row_order.empty() ? r : row_order[static_cast<size_t>(r)]) * format_row_bytes(format, cols);
  }
};

// A weight matrix laid out by and for one kernel set; opaque to everyone else.
class PackedMatrix {
 public:
  int64_t rows = 0, cols = 0;   // outputs, inputs
  Format source = Format::f32;  // what it was packed from
  int layout = 0;               // the kernel set's own number for how `storage` is laid out
  Buffer storage;               // empty when the set uses the source in place
  MatrixSource in_place;        // valid while the checkpoint is mapped
  int64_t bytes_per_pass() const { return static_cast<int64_t>(storage.size()); }  // read by one product with it
};

// What a product does with its result.
enum class Store : uint8_t { overwrite, add };

// out[m, w.rows] (=|+=) x[m, w.cols] * w^T + bias
struct MatmulJob {
  const PackedMatrix* w = nullptr;
  TensorView out = {};          // f32
  const float* bias = nullptr;  // [w.rows] or null
  Store store = Store::overwrite;
};

struct Kernels;
struct GradientKernels;

// What a kernel needs besides its arguments. Passed, never global.
struct Context {
  const Kernels& k;
  ThreadPool& threads;
  Arena& scratch;
};

struct Kernels {
  const char* name;  // "ref", "avx512_bf16", "avx512", "avx2", "neon", "scalar"

  // Lays out a matrix. threads: used to pack in parallel.
  PackedMatrix (*pack)(ThreadPool& threads, const MatrixSource& source);

  // Every job multiplies the same x (f32 [m, cols]): q, k and v at once, gate and up at once.
  void (*matmul)(const Context&, ConstTensorView x, std::span<const MatmulJob> jobs);

  // out[r, i] = x[r, i] / sqrt(mean_j x[r, j]^2 + eps) * weight[i].   out may be x. The sum of squares is f32 or wider.
  void (*rms_norm)(const Context&, TensorView out, ConstTensorView x, const float* weight, float eps);

  // Half-split rotary embedding in place. x: f32 [m, heads * dim]; cos, sin: f32 [m, dim / 2].
  // (x1, x2) = (x[i], x[i + dim/2])  ->  (x1 cos - x2 sin, x2 cos + x1 sin)
  void (*rope)(const Context&, TensorView x, int64_t dim, ConstTensorView cos, ConstTensorView sin);

  // out = silu(gate) * up, silu(z) = z / (1 + exp(-z)). All f32 [m, n]; out may be gate.
  void (*swiglu)(const Context&, TensorView out, ConstTensorView gate, ConstTensorView up);

  // Bytes of one page of one layer for a pool of this shape; the layout inside is kv_store's and attention's own
  // affair.
  int64_t (*page_bytes)(CacheKind kind, const CacheShape& shape);

  // Appends rows x (f32 [rows, heads * dim]) of the sequences to a pool: row i of a slice goes to position
  // slice.position + i. Every other position keeps its value.
  void (*kv_store)(const Context&, CacheKind kind, const PagedView& cache, ConstTensorView x,
                   std::span<const SeqSlice>);

  // Reads positions [0, count) of a sequence back as f32 [count, heads * dim] (what attention sees: after rounding).
  void (*kv_load)(CacheKind kind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out);

  // See attention.h.
  void (*attention)(const Context&, const AttentionArgs&);

  // What training needs besides; see gradients.h.
  const GradientKernels* gradients;
};

// The plain set: no SIMD, f32 arithmetic on dequantised values with f64 sums. Slow, small, right.
const Kernels& reference_kernels();
// The best set for this machine's CPU, or the one named by SIGMA_KERNELS (ref, scalar, avx2, avx512, avx512_bf16,
// neon). Error when the named one is unknown or cannot run here.
const Kernels& cpu_kernels();
// Every set that can run on this machine, the reference first.
std::span<const Kernels* const> runnable_kernels();

}  // namespace sigma
