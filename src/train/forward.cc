// The forward pass: model/forward.cc over whole sequences, with nothing thrown away that backward.cc needs.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "train/pass.h"

namespace sigma {

namespace {

// Rows of logits that exist at a time.
constexpr int64_t kLogitRows = 512;

void copy(TensorView to, ConstTensorView from) {
  std::memcpy(to.data, from.data, static_cast<size_t>(from.rows * from.row_bytes));
}

double number(ConstTensorView x, int64_t row) {
  return x.dtype == DType::f64 ? *x.row<double>(row) : static_cast<double>(*x.row<float>(row));
}

}  // namespace

Network::Network(const ModelConfig& config, Precision precision, const Kernels& kernels, ThreadPool& threads, Keep keep)
    : config_(config), precision_(precision), kernels_(kernels), threads_(threads), keep_(keep) {
  const AttentionShape& a = config.attn;
  frequencies_ = config.rope.frequencies(a.key_rope == KeyRope::key_dim ? a.k_dim : a.q_dim);
}

Pass::Pass(Network& network, const Parameters& params, const TokenRows& token_rows)
    : net(network),
      parameters(params),
      rows(token_rows),
      context(network.context()),
      kernels(*network.kernels_.gradients),
      c(network.config_),
      n(token_rows.rows * token_rows.context),
      score_dim(c.attn.key_rope == KeyRope::key_dim ? c.attn.k_dim : c.attn.q_dim) {
  SIGMA_CHECK_EQ(static_cast<int64_t>(rows.tokens.size()), n);
  SIGMA_CHECK_EQ(static_cast<int64_t>(rows.targets.size()), n);
  SIGMA_CHECK_EQ(static_cast<int64_t>(rows.starts.size()), n);
  const auto pairs = static_cast<int64_t>(net.frequencies_.size());
  const DType type = net.precision_.real;
  if (net.angle_positions_ != rows.context) {
    net.angle_positions_ = rows.context;
    net.angles_ = Buffer(static_cast<size_t>(2 * rows.context * pairs * dtype_bytes(type)));
    for (int64_t i = 0; i < rows.context * pairs; ++i) {
      const int64_t position = i / pairs;
      const double angle = static_cast<double>(position) * net.frequencies_[static_cast<size_t>(i % pairs)];
      const double values[2] = {std::cos(angle), std::sin(angle)};
      for (int64_t part = 0; part < 2; ++part) {
        const int64_t at = part * rows.context * pairs + i;
        if (type == DType::f64) {
          net.angles_.as<double>()[at] = values[part];
        } else {
          net.angles_.as<float>()[at] = static_cast<float>(values[part]);
        }
      }
    }
  }
  cos = {net.angles_.data(), type, rows.context, pairs, pairs * dtype_bytes(type)};
  sin = cos;
  sin.data += rows.context * cos.row_bytes;

  for (int i = 0; i <= c.layers; ++i) residuals.push_back(real(n, c.dim));
  const bool all = net.keep_ == Network::Keep::everything;
  for (int i = 0; i < (all ? c.layers : 1); ++i) states.push_back(allocate_layer());
  h = activations(n, c.dim);
  act = activations(n, std::max(c.ffn_dim, c.attn.aug_dim));
}

TensorView Pass::real(int64_t count, int64_t cols) const {
  return take(context.scratch, net.precision_.real, count, cols);
}

TensorView Pass::activations(int64_t count, int64_t cols) const {
  return take(context.scratch, net.precision_.activations, count, cols);
}

const LayerWeights<TensorView, TensorView>& Pass::weights(int layer) const {
  return parameters.weights().layers[static_cast<size_t>(layer)];
}

const LayerWeights<TensorView, TensorView>& Pass::gradients(int layer) const {
  return parameters.gradients().layers[static_cast<size_t>(layer)];
}

LayerState& Pass::state(int layer) { return states[states.size() == 1 ? 0 : static_cast<size_t>(layer)]; }
const LayerState& Pass::state(int layer) const { return states[states.size() == 1 ? 0 : static_cast<size_t>(layer)]; }

LayerState Pass::allocate_layer() const {
  const AttentionShape& a = c.attn;
  LayerState s;
  s.x_mid = real(n, c.dim);
  s.attn_rstd = real(n, 1);
  s.ffn_rstd = real(n, 1);
  s.q0 = activations(n, a.q_width());
  s.q_gate = activations(n, a.aug_dim);
  s.q_up = activations(n, a.aug_dim);
  s.q1 = a.aug_dim > 0 ? activations(n, a.q_width()) : s.q0;
  s.q2 = c.qk_norm ? activations(n, a.q_width()) : s.q1;
  s.q = a.key_rope == KeyRope::key_dim ? activations(n, a.q_heads * score_dim) : s.q2;
  s.k0 = activations(n, a.k_width());
  s.k1 = c.qk_norm ? activations(n, a.k_width()) : s.k0;
  s.k = a.key_rope == KeyRope::after_expansion ? activations(n, a.k_heads * score_dim) : s.k1;
  if (c.qk_norm) {
    s.q_rstd = real(n * a.q_heads, 1);
    s.k_rstd = real(n * a.k_heads, 1);
  }
  s.v = activations(n, a.v_width());
  s.lse = real(a.q_heads, n);
  s.out = activations(n, a.out_width());
  s.gate = activations(n, c.ffn_dim);
  s.up = activations(n, c.ffn_dim);
  return s;
}

void Pass::embed() {
  // From the real weights: a residual stream of its own precision.
  const TensorView table = parameters.tensors().front().weight;
  const TensorView x = residual(-1);
  for (int64_t r = 0; r < n; ++r)
    std::memcpy(x.row<std::byte>(r), table.row<std::byte>(rows.tokens[static_cast<size_t>(r)]),
                static_cast<size_t>(x.row_bytes));
}

// q, k and v of the normed input.
void Pass::project(int layer) {
  const auto& w = weights(layer);
  LayerState& s = state(layer);
  linear(context.threads, s.q0, h, w.q);
  linear(context.threads, s.k0, h, w.k);
  linear(context.threads, s.v, h, w.v);
  if (c.attention_bias == AttentionBias::none) return;
  kernels.add_bias(context, s.q0, w.q_bias);
  kernels.add_bias(context, s.k0, w.k_bias);
  kernels.add_bias(context, s.v, w.v_bias);
}

// q1 = W_down (silu(W_gate q0) * (W_up q0))
void Pass::augment_query(int layer) {
  if (c.attn.aug_dim == 0) return;
  const auto& w = weights(layer);
  LayerState& s = state(layer);
  linear(context.threads, s.q_gate, s.q0, w.q_gate);
  linear(context.threads, s.q_up, s.q0, w.q_up);
  const TensorView a = narrowed(act, c.attn.aug_dim);
  kernels.swiglu(context, a, s.q_gate, s.q_up);
  linear(context.threads, s.q1, a, w.q_down);
}

void Pass::norm_heads(int layer) {
  if (!c.qk_norm) return;
  const auto& w = weights(layer);
  LayerState& s = state(layer);
  kernels.rms_norm(context, s.q2.split_rows(c.attn.q_heads), s.q_rstd, s.q1.split_rows(c.attn.q_heads), w.q_norm,
                   c.norm_eps);
  kernels.rms_norm(context, s.k1.split_rows(c.attn.k_heads), s.k_rstd, s.k0.split_rows(c.attn.k_heads), w.k_norm,
                   c.norm_eps);
}

// Queries and keys brought to one width (E per head), then to their positions.
void Pass::rotate(int layer) {
  const AttentionShape& a = c.attn;
  const auto& w = weights(layer);
  LayerState& s = state(layer);
  if (a.key_rope == KeyRope::key_dim)  // q' = E^T q: a row q [q_dim] times E [q_dim, k_dim]
    gemm(context.threads, {.out = s.q.split_rows(a.q_heads), .a = s.q2.split_rows(a.q_heads), .b = w.k_expand});
  if (a.key_rope == KeyRope::after_expansion)
    linear(context.threads, s.k.split_rows(a.k_heads), s.k1.split_rows(a.k_heads), w.k_expand);
  kernels.rope(context, s.q, cos, sin, Rotation::forward);
  kernels.rope(context, s.k, cos, sin, Rotation::forward);
}

TrainAttention Pass::attention(int layer) const {
  const LayerState& s = state(layer);
  return {.rows = rows.rows,
          .context = rows.context,
          .q_heads = c.attn.q_heads,
          .k_heads = c.attn.k_heads,
          .v_heads = c.attn.v_heads,
          .scale = 1.0 / std::sqrt(static_cast<double>(c.attn.q_dim)),
          .q = s.q,
          .k = s.k,
          .v = s.v,
          .starts = rows.starts,
          .lse = s.lse};
}

void Pass::forward_layer(int layer) {
  const auto& w = weights(layer);
  LayerState& s = state(layer);
  s.x = residual(layer - 1);

  kernels.rms_norm(context, h, s.attn_rstd, s.x, w.attn_norm, c.norm_eps);
  project(layer);
  augment_query(layer);
  norm_heads(layer);
  rotate(layer);
  attention_forward(context, s.out, attention(layer));
  copy(s.x_mid, s.x);
  linear(context.threads, s.x_mid, s.out, w.o, Store::add);
  if (c.attention_bias == AttentionBias::qkvo) kernels.add_bias(context, s.x_mid, w.o_bias);

  kernels.rms_norm(context, h, s.ffn_rstd, s.x_mid, w.ffn_norm, c.norm_eps);
  linear(context.threads, s.gate, h, w.gate);
  linear(context.threads, s.up, h, w.up);
  const TensorView a = narrowed(act, c.ffn_dim);
  kernels.swiglu(context, a, s.gate, s.up);
  copy(residual(layer), s.x_mid);
  linear(context.threads, residual(layer), a, w.down, Store::add);
}

void Pass::run_layers() {
  embed();
  for (int layer = 0; layer < c.layers; ++layer) forward_layer(layer);
}

// Final norm, vocabulary projection and loss, a block of rows at a time; with gradients also their own backward pass.
double Pass::losses(const LossOptions& options) {
  const Arena::Scope scope(context.scratch);
  const WeightViews& w = parameters.weights();
  const WeightViews& g = parameters.gradients();
  const TensorView x = residual(c.layers - 1), rstd = real(n, 1), row_losses = real(n, 1);
  const int64_t block = std::min(n, kLogitRows);
  const TensorView logits = real(block, c.vocab);
  const bool wanted = dx.data != nullptr;
  const TensorView dlogits = wanted ? activations(block, c.vocab) : TensorView{nullptr, net.precision_.activations};
  const TensorView dh = wanted ? real(n, c.dim) : TensorView{};
  kernels.rms_norm(context, h, rstd, x, w.final_norm, c.norm_eps);
  for (int64_t first = 0; first < n; first += block) {
    const int64_t count = std::min(block, n - first);
    const TensorView y = logits.slice_rows(0, count), hs = h.slice_rows(first, count);
    const TensorView dy = wanted ? dlogits.slice_rows(0, count) : dlogits;
    linear(context.threads, y, hs, w.head);
    kernels.cross_entropy(context,
                          {.dlogits = dy,
                           .losses = row_losses.slice_rows(first, count),
                           .logits = y,
                           .targets = rows.targets.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                           .scale = options.scale,
                           .z_weight = options.z_weight});
    if (!wanted) continue;
    linear_dw(context.threads, g.head, dy, hs);
    linear_dx(context.threads, dh.slice_rows(first, count), dy, w.head);
  }
  if (wanted)
    kernels.rms_norm_backward(context, {.dx = dx,
                                        .dweight = g.final_norm,
                                        .dout = dh,
                                        .x = x,
                                        .rstd = rstd,
                                        .weight = w.final_norm,
                                        .into = RmsNormBackward::Into::overwrite});
  double sum = 0;
  for (int64_t r = 0; r < n; ++r) sum += number(row_losses, r);
  return sum;
}

double Network::evaluate(const Parameters& parameters, const TokenRows& rows) {
  const Arena::Scope scope(scratch_);
  Pass pass(*this, parameters, rows);
  pass.run_layers();
  return pass.losses({});
}

std::vector<double> Network::logits(const Parameters& parameters, const TokenRows& rows) {
  const Arena::Scope scope(scratch_);
  Pass pass(*this, parameters, rows);
  pass.run_layers();
  const TensorView rstd = pass.real(pass.n, 1), y = pass.real(pass.n, config_.vocab);
  pass.kernels.rms_norm(pass.context, pass.h, rstd, pass.residual(config_.layers - 1), parameters.weights().final_norm,
                        config_.norm_eps);
  linear(threads_, y, pass.h, parameters.weights().head);
  std::vector<double> values;
  for (int64_t i = 0; i < y.rows * y.cols; ++i)
    values.push_back(y.dtype == DType::f64 ? y.row<double>(0)[i] : static_cast<double>(y.row<float>(0)[i]));
  return values;
}

double train_operations_per_token(const ModelConfig& config, int64_t context) {
  double weights = 0;
  for (const WeightSpec& spec : weight_specs(config))
    if (spec.role == WeightRole::projection) weights += static_cast<double>(spec.elements());
  weights += static_cast<double>(config.vocab) * config.dim;  // the head
  const AttentionShape& a = config.attn;
  if (a.key_rope != KeyRope::full)
    weights += static_cast<double>(config.layers) * a.q_dim * a.k_dim *
               (a.key_rope == KeyRope::key_dim ? a.q_heads : a.k_heads);
  const int score_dim = a.key_rope == KeyRope::key_dim ? a.k_dim : a.q_dim;
  const double seen = (static_cast<double>(context) + 1) / 2;  // positions, on average
  return 6 * weights + 6 * seen * config.layers * a.q_heads * (score_dim + a.v_dim);
}

}  // namespace sigma
