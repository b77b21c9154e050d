#include "bench/efficiency/layer_weights.h"

#include <algorithm>
#include <array>
#include <utility>

#include "bench/machine.h"

namespace sigma::bench {

namespace {

const ModelConfig& shape() { return variant("sigma").config; }

// Layers of a ring: together they are longer than it must be.
int64_t layers_of(Format format, int64_t ring_bytes) {
  const AttentionShape& a = shape().attn;
  const int64_t body =
      (2 * int64_t{a.q_width()} + a.v_width() + 3 * int64_t{shape().ffn_dim}) * format_row_bytes(format, shape().dim);
  return ceil_div(ring_bytes, body);
}
int64_t augmented_layers_of(Format format, int64_t ring_bytes) {
  const AttentionShape& a = shape().attn;
  return ceil_div(ring_bytes, 3 * int64_t{a.aug_dim} * format_row_bytes(format, a.q_width()));
}

template <class F>
double time_of(const F& f) {
  const double begin = seconds();
  f();
  return seconds() - begin;
}

}  // namespace

std::string key_shape_of(const Variant& v) {
  const AttentionShape& a = v.config.attn;
  if (a.key_rope == KeyRope::after_expansion) return "half_after";
  if (a.key_rope == KeyRope::key_dim) return "half_key";
  return a.k_heads == 16 ? "std" : "sigma";
}

LayerWeights::LayerWeights(const Context& context, Format format, int64_t ring_bytes)
    : context_(context),
      norm_(static_cast<size_t>(shape().dim), 1.0f),
      q_(context.k, context.threads, format, shape().attn.q_width(), shape().dim, layers_of(format, ring_bytes)),
      v_(context.k, context.threads, format, shape().attn.v_width(), shape().dim, layers_of(format, ring_bytes)),
      o_(context.k, context.threads, format, shape().dim, shape().attn.out_width(), layers_of(format, ring_bytes)),
      gate_(context.k, context.threads, format, shape().ffn_dim, shape().dim, layers_of(format, ring_bytes)),
      up_(context.k, context.threads, format, shape().ffn_dim, shape().dim, layers_of(format, ring_bytes)),
      down_(context.k, context.threads, format, shape().dim, shape().ffn_dim, layers_of(format, ring_bytes)),
      head_(context.k, context.threads, format, shape().vocab, shape().dim, 1),
      q_gate_(context.k, context.threads, format, shape().attn.aug_dim, shape().attn.q_width(),
              augmented_layers_of(format, ring_bytes)),
      q_up_(context.k, context.threads, format, shape().attn.aug_dim, shape().attn.q_width(),
            augmented_layers_of(format, ring_bytes)),
      q_down_(context.k, context.threads, format, shape().attn.q_width(), shape().attn.aug_dim,
              augmented_layers_of(format, ring_bytes)),
      narrow_(context.k, context.threads, Format::f32, variant("half_key").config.attn.k_dim, shape().attn.q_dim,
              shape().layers) {
  // What is read between two uses of a key projection pushes it out of the caches.
  for (const char* name : kKeyShapes)
    k_[name] = std::make_unique<MatrixRing>(context.k, context.threads, format, variant(name).config.attn.k_width(),
                                            shape().dim, layers_of(format, ring_bytes));
}

ConstTensorView LayerWeights::input(int64_t rows, int64_t cols) {
  input_.resize(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r) std::copy_n(noise_.draw(cols), cols, input_.begin() + r * cols);
  return view_of(std::as_const(input_).data(), rows, cols);
}

double LayerWeights::product(std::initializer_list<const PackedMatrix*> w, int64_t batch) {
  const ConstTensorView x = input(batch, (*w.begin())->cols);
  Arena::Scope scope(context_.scratch);
  std::vector<MatmulJob> jobs;
  for (const PackedMatrix* matrix : w)
    jobs.push_back({matrix, view_of(context_.scratch.take<float>(batch * matrix->rows), batch, matrix->rows)});
  return time_of([&] { context_.k.matmul(context_, x, jobs); });
}

double LayerWeights::common(int64_t batch) {
  double total = product({&q_.next(), &v_.next()}, batch) + product({&o_.next()}, batch) +
                 product({&gate_.next(), &up_.next()}, batch) + product({&down_.next()}, batch);
  // What has no weights to speak of: two norms, the rotation of q and k, the FFN's activation.
  const ModelConfig& c = shape();
  const ConstTensorView wide = input(batch, c.ffn_dim), x{wide.data, wide.dtype, batch, c.dim, wide.row_bytes};
  Arena::Scope scope(context_.scratch);
  const TensorView g = view_of(context_.scratch.take<float>(batch * c.ffn_dim), batch, c.ffn_dim);
  const TensorView h = view_of(context_.scratch.take<float>(batch * c.dim), batch, c.dim);
  const ConstTensorView angles = view_of(std::as_const(norm_).data(), 1, c.attn.q_dim / 2);
  const ConstTensorView every{angles.data, angles.dtype, batch, angles.cols, 0};
  total += time_of([&] {
    for (int i = 0; i < 2; ++i) context_.k.rms_norm(context_, h, x, norm_.data(), 1e-5f);
    for (int i = 0; i < 2; ++i) context_.k.rope(context_, h, c.attn.q_dim, every, every);
    context_.k.swiglu(context_, g, wide, wide);
  });
  return total;
}

double LayerWeights::augmented_q(int64_t batch) {
  const AttentionShape& a = shape().attn;
  const ConstTensorView x = input(batch, a.q_width());
  const PackedMatrix &gate = q_gate_.next(), &up = q_up_.next(), &down = q_down_.next();
  Arena::Scope scope(context_.scratch);
  const auto take = [&](int64_t cols) { return view_of(context_.scratch.take<float>(batch * cols), batch, cols); };
  const TensorView g = take(a.aug_dim), u = take(a.aug_dim), q = take(a.q_width());
  const std::array<MatmulJob, 2> first = {{{&gate, g}, {&up, u}}};
  const std::array<MatmulJob, 1> last = {{{&down, q}}};
  return time_of([&] {
    context_.k.matmul(context_, x, first);
    context_.k.swiglu(context_, g, g, u);
    context_.k.matmul(context_, g, last);
  });
}

double LayerWeights::keys(const std::string& key_shape, int64_t batch) {
  double total = product({&k_.at(key_shape)->next()}, batch);
  if (key_shape == "half_key") total += product({&narrow_.next()}, batch * shape().attn.q_heads);
  return total;
}

double LayerWeights::head(int64_t batch) { return product({&head_.next()}, batch); }

}  // namespace sigma::bench
