// The backward pass: forward.cc from its last line to its first. dX is the gradient by X; gradients of weights are
// added to, gradients by activations written once.
#include <algorithm>
#include <cstring>

#include "train/pass.h"

namespace sigma {

// x += W_down act;  act = silu(gate) * up;  gate, up = W h;  h = norm(x_mid)
void Pass::backward_ffn(int layer) {
  const Arena::Scope scope(context.scratch);
  const auto& w = weights(layer);
  const auto& g = gradients(layer);
  const LayerState& s = state(layer);
  const TensorView dy = activations(n, c.dim), dact = activations(n, c.ffn_dim), dh = real(n, c.dim);
  const TensorView a = narrowed(act, c.ffn_dim);

  convert(context, dy, dx);
  kernels.swiglu(context, a, s.gate, s.up);
  linear_dw(context.threads, g.down, dy, a);
  linear_dx(context.threads, dact, dy, w.down);
  kernels.swiglu_backward(context, s.gate, s.up, dact, s.gate, s.up);  // gate and up become their gradients
  kernels.rms_norm(context, h, s.ffn_rstd, s.x_mid, w.ffn_norm, c.norm_eps);
  linear_dw(context.threads, g.gate, s.gate, h);
  linear_dw(context.threads, g.up, s.up, h);
  linear_dx(context.threads, dh, s.gate, w.gate);
  linear_dx(context.threads, dh, s.up, w.up, Store::add);
  kernels.rms_norm_backward(
      context, {.dx = dx, .dweight = g.ffn_norm, .dout = dh, .x = s.x_mid, .rstd = s.ffn_rstd, .weight = w.ffn_norm});
}

// From dq, the gradient of the rotated query, to dh += and the gradients of all that makes the query.
void Pass::backward_query(int layer, TensorView dq, TensorView dh) {
  const Arena::Scope scope(context.scratch);
  const AttentionShape& a = c.attn;
  const auto& w = weights(layer);
  const auto& g = gradients(layer);
  const LayerState& s = state(layer);
  kernels.rope(context, dq, cos, sin, Rotation::backward);
  TensorView d = dq;
  if (a.key_rope == KeyRope::key_dim) {  // q' = q2 E
    d = activations(n, a.q_width());
    linear_dw(context.threads, g.k_expand, s.q2.split_rows(a.q_heads), dq.split_rows(a.q_heads));
    linear(context.threads, d.split_rows(a.q_heads), dq.split_rows(a.q_heads), w.k_expand);
  }
  if (c.qk_norm)
    kernels.rms_norm_backward(context, {.dx = d.split_rows(a.q_heads),
                                        .dweight = g.q_norm,
                                        .dout = d.split_rows(a.q_heads),
                                        .x = s.q1.split_rows(a.q_heads),
                                        .rstd = s.q_rstd,
                                        .weight = w.q_norm,
                                        .into = RmsNormBackward::Into::overwrite});
  if (a.aug_dim > 0) {
    const TensorView actq = narrowed(act, a.aug_dim), dact = activations(n, a.aug_dim), dq0 = real(n, a.q_width());
    kernels.swiglu(context, actq, s.q_gate, s.q_up);
    linear_dw(context.threads, g.q_down, d, actq);
    linear_dx(context.threads, dact, d, w.q_down);
    kernels.swiglu_backward(context, s.q_gate, s.q_up, dact, s.q_gate, s.q_up);
    linear_dw(context.threads, g.q_gate, s.q_gate, s.q0);
    linear_dw(context.threads, g.q_up, s.q_up, s.q0);
    linear_dx(context.threads, dq0, s.q_gate, w.q_gate);
    linear_dx(context.threads, dq0, s.q_up, w.q_up, Store::add);
    convert(context, d, dq0);
  }
  if (c.attention_bias != AttentionBias::none) kernels.sum_rows(context, g.q_bias, d);
  linear_dw(context.threads, g.q, d, h);
  linear_dx(context.threads, dh, d, w.q);  // the first of three that make dh
}

// From dk, the gradient of the rotated key.
void Pass::backward_key(int layer, TensorView dk, TensorView dh) {
  const Arena::Scope scope(context.scratch);
  const AttentionShape& a = c.attn;
  const auto& w = weights(layer);
  const auto& g = gradients(layer);
  const LayerState& s = state(layer);
  kernels.rope(context, dk, cos, sin, Rotation::backward);
  TensorView d = dk;
  if (a.key_rope == KeyRope::after_expansion) {  // k = k1 E^T
    d = activations(n, a.k_width());
    linear_dw(context.threads, g.k_expand, dk.split_rows(a.k_heads), s.k1.split_rows(a.k_heads));
    linear_dx(context.threads, d.split_rows(a.k_heads), dk.split_rows(a.k_heads), w.k_expand);
  }
  if (c.qk_norm)
    kernels.rms_norm_backward(context, {.dx = d.split_rows(a.k_heads),
                                        .dweight = g.k_norm,
                                        .dout = d.split_rows(a.k_heads),
                                        .x = s.k0.split_rows(a.k_heads),
                                        .rstd = s.k_rstd,
                                        .weight = w.k_norm,
                                        .into = RmsNormBackward::Into::overwrite});
  if (c.attention_bias != AttentionBias::none) kernels.sum_rows(context, g.k_bias, d);
  linear_dw(context.threads, g.k, d, h);
  linear_dx(context.threads, dh, d, w.k, Store::add);
}

// x_mid = x + W_o out;  out = attention(q, k, v);  q, k, v from h;  h = norm(x)
void Pass::backward_attention(int layer) {
  const Arena::Scope scope(context.scratch);
  const AttentionShape& a = c.attn;
  const auto& w = weights(layer);
  const auto& g = gradients(layer);
  const LayerState& s = state(layer);
  const TensorView dy = activations(n, c.dim), dout = activations(n, a.out_width()), dh = real(n, c.dim);
  const TensorView dq = activations(n, a.q_heads * score_dim), dk = activations(n, a.k_heads * score_dim);
  const TensorView dv = activations(n, a.v_width());

  convert(context, dy, dx);
  if (c.attention_bias == AttentionBias::qkvo) kernels.sum_rows(context, g.o_bias, dx);
  linear_dw(context.threads, g.o, dy, s.out);
  linear_dx(context.threads, dout, dy, w.o);
  attention_backward(context, {.dq = dq, .dk = dk, .dv = dv}, dout, s.out, attention(layer));
  kernels.rms_norm(context, h, s.attn_rstd, s.x, w.attn_norm, c.norm_eps);
  backward_query(layer, dq, dh);
  backward_key(layer, dk, dh);
  if (c.attention_bias != AttentionBias::none) kernels.sum_rows(context, g.v_bias, dv);
  linear_dw(context.threads, g.v, dv, h);
  linear_dx(context.threads, dh, dv, w.v, Store::add);
  kernels.rms_norm_backward(
      context, {.dx = dx, .dweight = g.attn_norm, .dout = dh, .x = s.x, .rstd = s.attn_rstd, .weight = w.attn_norm});
}

void Pass::backward_layer(int layer) {
  if (net.keep_ == Network::Keep::residuals) forward_layer(layer);
  backward_ffn(layer);
  backward_attention(layer);
}

// Columns are cut among tasks, so that tokens are added in order whatever the number of threads.
void Pass::backward_embedding() {
  const TensorView table = parameters.gradients().embedding;
  constexpr int64_t kColumns = 64;
  const auto add = [&](auto* type) {
    using Real = std::remove_pointer_t<decltype(type)>;
    context.threads.run(ceil_div(c.dim, kColumns), [&](int64_t task) {
      const int64_t first = task * kColumns, last = std::min<int64_t>(first + kColumns, c.dim);
      for (int64_t r = 0; r < n; ++r) {
        const Real* from = dx.row<Real>(r);
        Real* to = table.row<Real>(rows.tokens[static_cast<size_t>(r)]);
        for (int64_t i = first; i < last; ++i) to[i] += from[i];
      }
    });
  };
  if (table.dtype == DType::f64) {
    add(static_cast<double*>(nullptr));
  } else {
    add(static_cast<float*>(nullptr));
  }
}

double Network::train(const Parameters& parameters, const TokenRows& rows, const LossOptions& options) {
  const Arena::Scope scope(scratch_);
  Pass pass(*this, parameters, rows);
  pass.dx = pass.real(pass.n, config_.dim);
  pass.run_layers();
  const double loss = pass.losses(options);
  for (int layer = config_.layers - 1; layer >= 0; --layer) {
    pass.backward_layer(layer);
    if (on_layer_gradients) on_layer_gradients(layer);
  }
  pass.backward_embedding();
  if (on_layer_gradients) on_layer_gradients(-1);
  return loss;
}

}  // namespace sigma
