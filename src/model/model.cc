#include "model/model.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace sigma {

namespace {

// First row with a value that is not finite, or -1.
int64_t find_non_finite(ThreadPool& threads, const MatrixSource& source) {
  constexpr int64_t kRows = 64;
  std::atomic<int64_t> first{source.rows};
  threads.run(ceil_div(source.rows, kRows), [&](int64_t task) {
    for (int64_t r = task * kRows; r < std::min(source.rows, (task + 1) * kRows); ++r) {
      if (all_finite(source.format, source.row(r), source.cols)) continue;
      int64_t seen = first.load();
      while (r < seen && !first.compare_exchange_weak(seen, r)) {
      }
    }
  });
  return first.load() == source.rows ? -1 : first.load();
}

class Loader {
 public:
  Loader(Model& model, const Kernels& kernels, ThreadPool& threads)
      : model_(model), kernels_(kernels), threads_(threads) {}

  void operator()(const WeightSpec& spec, PackedMatrix& leaf) {
    const MatrixSource source = check(spec);
    if (spec.role == WeightRole::embedding && &leaf == &model_.weights.embedding) {
      model_.embedding = source;
      if (!model_.config.tied) return;
    }
    leaf = kernels_.pack(threads_, source);
    model_.weight_bytes += leaf.bytes_per_pass();
    if (leaf.storage.size() > 0) model_.source.release(spec);
  }

  void operator()(const WeightSpec& spec, std::vector<float>& leaf) {
    check(spec);
    leaf = model_.source.values(spec);
    model_.weight_bytes += static_cast<int64_t>(leaf.size() * sizeof(float));
  }

 private:
  MatrixSource check(const WeightSpec& spec) {
    const MatrixSource source = model_.source.matrix(spec);
    const int64_t bad = find_non_finite(threads_, source);
    if (bad >= 0)
      throw Error(model_.source.path(), fmt::format("finite numbers in {}", spec.name),
                  fmt::format("NaN or infinity in row {}", bad));
    return source;
  }

  Model& model_;
  const Kernels& kernels_;
  ThreadPool& threads_;
};

// [rows, cols] -> [cols, rows]
std::vector<float> transpose(const std::vector<float>& matrix, size_t rows, size_t cols) {
  std::vector<float> transposed(matrix.size());
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < cols; ++c) transposed[c * rows + r] = matrix[r * cols + c];
  return transposed;
}

}  // namespace

Model load_model(const std::string& path, const Kernels& kernels, ThreadPool& threads) {
  return load_model(Checkpoint::open(path), kernels, threads);
}

Model load_model(Checkpoint source, const Kernels& kernels, ThreadPool& threads) {
  const ModelConfig config = source.config();
  source.refuse_unknown_tensors();
  uint64_t bytes = 0;
  for (const WeightSpec& spec : weight_specs(config)) bytes += source.tensor(spec).bytes.size();
  require_memory(bytes, source.path());
  Model model{.source = std::move(source),
              .config = config,
              .weights = {},
              .embedding = {},
              .query_expand = {},
              .frequencies = {}};
  model.weights.layers.resize(static_cast<size_t>(config.layers));
  visit_weights(config, model.weights, Loader(model, kernels, threads));
  const AttentionShape& a = config.attn;
  if (a.key_rope == KeyRope::key_dim)
    for (auto& layer : model.weights.layers) {
      layer.k_expand = transpose(layer.k_expand, static_cast<size_t>(a.q_dim), static_cast<size_t>(a.k_dim));
      model.query_expand.push_back(kernels.pack(
          threads, {Format::f32, a.k_dim, a.q_dim, reinterpret_cast<const std::byte*>(layer.k_expand.data()), {}}));
    }
  model.frequencies = config.rope.frequencies(model.rotated_dim());
  return model;
}

}  // namespace sigma
