// The "ref" kernel set: the equations of reference.h on f32 views, weights used in place and dequantised a row at a
// time.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/kernels.h"
#include "kernels/ref/cache.h"
#include "kernels/ref/gradients.h"
#include "kernels/ref/reference.h"

namespace sigma {

namespace ref {

namespace {

void check_f32(ConstTensorView x) { SIGMA_CHECK(x.dtype == DType::f32); }

// The row order is copied (into `storage`): it may be a temporary of the caller's.
PackedMatrix pack(ThreadPool&, const MatrixSource& source) {
  PackedMatrix packed;
  packed.rows = source.rows;
  packed.cols = source.cols;
  packed.source = source.format;
  packed.in_place = source;
  if (!source.row_order.empty()) {
    SIGMA_CHECK_EQ(static_cast<int64_t>(source.row_order.size()), source.rows);
    packed.storage = Buffer(source.row_order.size_bytes());
    std::memcpy(packed.storage.data(), source.row_order.data(), source.row_order.size_bytes());
    packed.in_place.row_order = {packed.storage.as<int32_t>(), source.row_order.size()};
  }
  return packed;
}

void matmul(const Context& context, ConstTensorView x, std::span<const MatmulJob> jobs) {
  check_f32(x);
  Arena::Scope scope(context.scratch);
  float* rows = context.scratch.take<float>(context.threads.size() * x.cols);
  for (const MatmulJob& job : jobs) {
    const PackedMatrix& w = *job.w;
    check_f32(job.out);
    SIGMA_CHECK_EQ(w.cols, x.cols);
    SIGMA_CHECK_EQ(job.out.rows, x.rows);
    SIGMA_CHECK_EQ(job.out.cols, w.rows);
    context.threads.run(w.rows, [&](int64_t column, int thread) {
      float* row = rows + thread * x.cols;
      format_info(w.source).dequantise(w.in_place.row(column), row, w.cols);
      const double bias = job.bias == nullptr ? 0.0 : static_cast<double>(job.bias[column]);
      matmul_column<float>(job.out, column, x, row, bias, job.store);
    });
  }
}

void rms_norm(const Context& context, TensorView out, ConstTensorView x, const float* weight, float eps) {
  check_f32(x);
  check_f32(out);
  SIGMA_CHECK_EQ(out.rows, x.rows);
  SIGMA_CHECK_EQ(out.cols, x.cols);
  context.threads.run(x.rows, [&](int64_t r) {
    rms_norm_row(out.row<float>(r), x.row<float>(r), weight, x.cols, static_cast<double>(eps));
  });
}

void rope(const Context& context, TensorView x, int64_t dim, ConstTensorView cos, ConstTensorView sin) {
  check_f32(x);
  check_f32(cos);
  check_f32(sin);
  SIGMA_CHECK_EQ(x.cols % dim, 0);
  SIGMA_CHECK_EQ(cos.rows, x.rows);
  SIGMA_CHECK_EQ(sin.rows, x.rows);
  SIGMA_CHECK_EQ(cos.cols, dim / 2);
  SIGMA_CHECK_EQ(sin.cols, dim / 2);
  context.threads.run(x.rows, [&](int64_t r) {
    for (int64_t head = 0; head < x.cols; head += dim)
      rope_head(x.row<float>(r) + head, dim, cos.row<float>(r), sin.row<float>(r));
  });
}

void swiglu(const Context& context, TensorView out, ConstTensorView gate, ConstTensorView up) {
  for (const ConstTensorView view : {ConstTensorView(out), gate, up}) {
    check_f32(view);
    SIGMA_CHECK_EQ(view.rows, out.rows);
    SIGMA_CHECK_EQ(view.cols, out.cols);
  }
  context.threads.run(out.rows, [&](int64_t r) {
    for (int64_t i = 0; i < out.cols; ++i)
      out.row<float>(r)[i] = swiglu_value(gate.row<float>(r)[i], up.row<float>(r)[i]);
  });
}

void kv_store(const Context& context, CacheKind, const PagedView& cache, ConstTensorView x,
              std::span<const SeqSlice> seqs) {
  const CacheShape& shape = cache.shape;
  check_f32(x);
  SIGMA_CHECK_EQ(x.cols, int64_t{shape.heads} * shape.dim);
  for (const SeqSlice& seq : seqs) {
    SIGMA_CHECK_LE(seq.row + seq.rows, x.rows);
    context.threads.run(seq.rows, [&](int64_t r) {
      for (int head = 0; head < shape.heads; ++head)
        store_head(cache, seq, seq.position + r, head, x.row<float>(seq.row + r) + head * shape.dim);
    });
  }
}

void kv_load(CacheKind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out) {
  const CacheShape& shape = cache.shape;
  for (int64_t t = 0; t < count; ++t)
    for (int head = 0; head < shape.heads; ++head, out += shape.dim) load_head(cache, seq, t, head, out);
}

// A sequence's keys as scores use them, [tokens, k_heads * q_dim]: as cached, or expanded and rotated.
const float* load_keys(const Context& context, const AttentionArgs& args, const SeqSlice& seq, int64_t tokens) {
  const int64_t heads = args.k.shape.heads, k_dim = args.k.shape.dim;
  float* cached = context.scratch.take<float>(tokens * heads * k_dim);
  kv_load(CacheKind::k, args.k, seq, tokens, cached);
  if (args.expansion == nullptr) return cached;
  const KeyExpansion& e = *args.expansion;
  SIGMA_CHECK_LE(tokens, e.cos.rows);
  SIGMA_CHECK_LE(tokens, e.sin.rows);
  float* expanded = context.scratch.take<float>(tokens * heads * args.q_dim);
  context.threads.run(tokens, [&](int64_t t) {
    for (int64_t head = t * heads; head < (t + 1) * heads; ++head)
      expand_key(expanded + head * args.q_dim, cached + head * k_dim, e.matrix, args.q_dim, k_dim, e.cos.row<float>(t),
                 e.sin.row<float>(t));
  });
  return expanded;
}

void attend_sequence(const Context& context, const AttentionArgs& args, const SeqSlice& seq) {
  const int64_t tokens = seq.position + seq.rows;
  const int64_t q_heads = args.q_heads, k_heads = args.k.shape.heads, v_heads = args.v.shape.heads;
  const int64_t v_dim = args.v.shape.dim;
  Arena::Scope scope(context.scratch);
  const float* keys = load_keys(context, args, seq, tokens);
  float* values = context.scratch.take<float>(tokens * v_heads * v_dim);
  kv_load(CacheKind::v, args.v, seq, tokens, values);
  const int64_t threads = context.threads.size();
  double* scores = context.scratch.take<double>(threads * tokens);
  double* weights = context.scratch.take<double>(threads * tokens);
  double* sums = context.scratch.take<double>(threads * v_dim);
  int32_t* order = context.scratch.take<int32_t>(threads * tokens);
  context.threads.run(seq.rows * q_heads, [&](int64_t task, int thread) {
    const int64_t r = task / q_heads, i = task % q_heads;
    const HeadAttention<float> head{.out = args.out.row<float>(seq.row + r) + i * v_dim,
                                    .q = args.q.row<float>(seq.row + r) + i * args.q_dim,
                                    .k = keys + i * k_heads / q_heads * args.q_dim,
                                    .v = values + i * v_heads / q_heads * v_dim,
                                    .k_stride = k_heads * args.q_dim,
                                    .v_stride = v_heads * v_dim,
                                    .q_dim = args.q_dim,
                                    .v_dim = v_dim,
                                    .tokens = seq.position + r + 1,
                                    .scale = static_cast<double>(args.scale),
                                    .v_top = args.v_top,
                                    .v_weights = args.v_weights};
    attention_head(
        head, {scores + thread * tokens, weights + thread * tokens, sums + thread * v_dim, order + thread * tokens});
  });
}

void attention(const Context& context, const AttentionArgs& args) {
  check_f32(args.q);
  check_f32(args.out);
  SIGMA_CHECK_EQ(args.q.cols, int64_t{args.q_heads} * args.q_dim);
  SIGMA_CHECK_EQ(args.out.cols, int64_t{args.q_heads} * args.v.shape.dim);
  SIGMA_CHECK(args.expansion != nullptr || args.k.shape.dim == args.q_dim);
  for (const SeqSlice& seq : args.seqs) {
    SIGMA_CHECK_LE(seq.row + seq.rows, std::min(args.q.rows, args.out.rows));
    attend_sequence(context, args, seq);
  }
}

}  // namespace

}  // namespace ref

const Kernels& reference_kernels() {
  static constexpr Kernels kSet{.name = "ref",
                                .pack = ref::pack,
                                .matmul = ref::matmul,
                                .rms_norm = ref::rms_norm,
                                .rope = ref::rope,
                                .swiglu = ref::swiglu,
                                .page_bytes = ref::page_bytes,
                                .kv_store = ref::kv_store,
                                .kv_load = ref::kv_load,
                                .attention = ref::attention,
                                .gradients = &ref::gradients};
  return kSet;
}

}  // namespace sigma
