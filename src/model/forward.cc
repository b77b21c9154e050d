#include "model/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "base/error.h"
#include "model/rope_table.h"

namespace sigma {

namespace {

// The named activations of one call, all f32 with one row per token.
struct Activations {
  TensorView x;             // [rows, dim]            the residual stream
  TensorView h;             // [rows, dim]            its norm
  TensorView q0, q;         // [rows, q_width]        before and after augmentation (one memory without it)
  TensorView q_gate, q_up;  // [rows, aug_dim]
  TensorView q_rotated;     // [rows, q_heads * rotated_dim]
  TensorView k, v;          // [rows, k_width], [rows, v_width]
  TensorView out;           // [rows, q_heads * v_dim] what attention gives
  TensorView gate, up;      // [rows, ffn_dim]
  TensorView cos, sin;      // [rows, rotated_dim / 2]

  Activations(Arena& arena, const Model& model, int64_t rows) {
    const ModelConfig& c = model.config;
    const AttentionShape& a = c.attn;
    const auto take = [&](int64_t cols) { return view_of(arena.take<float>(rows * cols), rows, cols); };
    x = take(c.dim);
    h = take(c.dim);
    q0 = take(a.q_width());
    q = a.aug_dim > 0 ? take(a.q_width()) : q0;
    q_gate = take(a.aug_dim);
    q_up = take(a.aug_dim);
    q_rotated = a.key_rope == KeyRope::key_dim ? take(int64_t{a.q_heads} * a.k_dim) : q;
    k = take(a.k_width());
    v = take(a.v_width());
    out = take(a.out_width());
    gate = take(c.ffn_dim);
    up = take(c.ffn_dim);
    cos = take(model.rotated_dim() / 2);
    sin = take(model.rotated_dim() / 2);
  }
};

void matmul(const Context& ctx, ConstTensorView x, std::initializer_list<MatmulJob> jobs) {
  ctx.k.matmul(ctx, x, {jobs.begin(), jobs.size()});
}

const float* or_null(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

void embed(const Model& model, const Batch& batch, TensorView x) {
  const FormatInfo& format = format_info(model.embedding.format);
  for (int64_t r = 0; r < x.rows; ++r)
    format.dequantise(model.embedding.row(batch.tokens[static_cast<size_t>(r)]), x.row<float>(r), x.cols);
}

// cos and sin of every row's position.
void look_up_angles(const RopeTable& table, const Batch& batch, Activations& a) {
  for (const SeqSlice& seq : batch.seqs)
    for (int64_t i = 0; i < seq.rows; ++i) {
      const size_t bytes = static_cast<size_t>(a.cos.row_bytes);
      std::memcpy(a.cos.row<float>(seq.row + i), table.cos().row<float>(seq.position + i), bytes);
      std::memcpy(a.sin.row<float>(seq.row + i), table.sin().row<float>(seq.position + i), bytes);
    }
}

int64_t last_position(const Batch& batch) {
  int64_t last = 0;
  for (const SeqSlice& seq : batch.seqs) last = std::max(last, seq.position + seq.rows);
  return last;
}

// q, k, v of the normed input; the augmented query on top of q0.
void project(const Context& ctx, const Model& model, int layer, Activations& a) {
  const ModelConfig& c = model.config;
  const auto& w = model.weights.layers[static_cast<size_t>(layer)];
  const Kernels& kernels = ctx.k;
  matmul(ctx, a.h, {{&w.q, a.q0, or_null(w.q_bias)}, {&w.k, a.k, or_null(w.k_bias)}, {&w.v, a.v, or_null(w.v_bias)}});
  if (c.attn.aug_dim > 0) {  // q = W_down (silu(W_gate q0) * (W_up q0))
    matmul(ctx, a.q0, {{&w.q_gate, a.q_gate}, {&w.q_up, a.q_up}});
    kernels.swiglu(ctx, a.q_gate, a.q_gate, a.q_up);
    matmul(ctx, a.q_gate, {{&w.q_down, a.q}});
  }
  if (c.qk_norm) {
    const TensorView q_heads = a.q.split_rows(c.attn.q_heads), k_heads = a.k.split_rows(c.attn.k_heads);
    kernels.rms_norm(ctx, q_heads, q_heads, w.q_norm.data(), static_cast<float>(c.norm_eps));
    kernels.rms_norm(ctx, k_heads, k_heads, w.k_norm.data(), static_cast<float>(c.norm_eps));
  }
}

// Positions: q always rotated, k unless the cache holds it plain (after_expansion).
void rotate(const Context& ctx, const Model& model, int layer, Activations& a) {
  const AttentionShape& shape = model.config.attn;
  if (shape.key_rope == KeyRope::key_dim) {  // q' = E^T q per head
    matmul(ctx, a.q.split_rows(shape.q_heads),
           {{&model.query_expand[static_cast<size_t>(layer)], a.q_rotated.split_rows(shape.q_heads)}});
  }
  ctx.k.rope(ctx, a.q_rotated, model.rotated_dim(), a.cos, a.sin);
  if (shape.key_rope != KeyRope::after_expansion) ctx.k.rope(ctx, a.k, shape.k_dim, a.cos, a.sin);
}

void attend(const Context& ctx, const Model& model, KvCache& cache, const RopeTable& table, const Batch& batch,
            int layer, Activations& a) {
  const AttentionShape& shape = model.config.attn;
  ctx.k.kv_store(ctx, CacheKind::k, cache.k(layer), a.k, batch.seqs);
  ctx.k.kv_store(ctx, CacheKind::v, cache.v(layer), a.v, batch.seqs);
  const KeyExpansion expansion{model.weights.layers[static_cast<size_t>(layer)].k_expand.data(), table.cos(),
                               table.sin()};
  ctx.k.attention(ctx, {.out = a.out,
                        .q = a.q_rotated,
                        .q_heads = shape.q_heads,
                        .q_dim = model.rotated_dim(),
                        .k = cache.k(layer),
                        .v = cache.v(layer),
                        .seqs = batch.seqs,
                        .scale = static_cast<float>(1.0 / std::sqrt(shape.q_dim)),
                        .expansion = shape.key_rope == KeyRope::after_expansion ? &expansion : nullptr,
                        .v_top = batch.v_top,
                        .v_weights = batch.v_weights});
}

// Final norm and vocabulary projection of the rows that are asked for.
ConstTensorView project_logits(const Context& ctx, const Model& model, Workspace& workspace, const Batch& batch,
                               const Activations& a) {
  const ModelConfig& c = model.config;
  const auto rows = static_cast<int64_t>(batch.logit_rows.size());
  const TensorView picked = a.h.slice_rows(0, rows);
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(picked.row<float>(i), a.x.row<float>(batch.logit_rows[static_cast<size_t>(i)]),
                static_cast<size_t>(picked.row_bytes));
  ctx.k.rms_norm(ctx, picked, picked, model.weights.final_norm.data(), static_cast<float>(c.norm_eps));
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(c.vocab) * sizeof(float);
  if (workspace.logits.size() < bytes) workspace.logits = Buffer(bytes);
  const TensorView logits = view_of(workspace.logits.as<float>(), rows, c.vocab);
  if (rows > 0) matmul(ctx, picked, {{&model.head(), logits}});
  return logits;
}

}  // namespace

ConstTensorView forward(const Kernels& kernels, ThreadPool& threads, const Model& model, KvCache& cache,
                        Workspace& workspace, const Batch& batch) {
  const ModelConfig& c = model.config;
  const Context ctx{kernels, threads, workspace.scratch};
  const Arena::Scope scope(workspace.scratch);
  Activations a(workspace.scratch, model, static_cast<int64_t>(batch.tokens.size()));
  workspace.angles.extend(model.frequencies, last_position(batch));
  look_up_angles(workspace.angles, batch, a);

  embed(model, batch, a.x);
  for (int layer = 0; layer < c.layers; ++layer) {
    const auto& w = model.weights.layers[static_cast<size_t>(layer)];
    const auto eps = static_cast<float>(c.norm_eps);

    kernels.rms_norm(ctx, a.h, a.x, w.attn_norm.data(), eps);
    project(ctx, model, layer, a);
    rotate(ctx, model, layer, a);
    attend(ctx, model, cache, workspace.angles, batch, layer, a);
    matmul(ctx, a.out, {{&w.o, a.x, or_null(w.o_bias), Store::add}});

    kernels.rms_norm(ctx, a.h, a.x, w.ffn_norm.data(), eps);
    matmul(ctx, a.h, {{&w.gate, a.gate}, {&w.up, a.up}});
    kernels.swiglu(ctx, a.gate, a.gate, a.up);
    matmul(ctx, a.gate, {{&w.down, a.x, nullptr, Store::add}});
  }
  return project_logits(ctx, model, workspace, batch, a);
}

}  // namespace sigma
