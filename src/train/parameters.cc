#include "train/parameters.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "train/tensors.h"

namespace sigma {

namespace {

constexpr int64_t kAlignment = 16;  // elements: a cache line of f32

TensorView shaped(std::byte* base, DType type, int64_t offset, const WeightSpec& spec) {
  const int64_t rows = spec.cols == 0 ? 1 : spec.rows, cols = spec.cols == 0 ? spec.rows : spec.cols;
  return {base + offset * dtype_bytes(type), type, rows, cols, cols * dtype_bytes(type)};
}

int layer_of(const std::string& name) {
  int layer = -1;
  std::sscanf(name.c_str(), "model.layers.%d.", &layer);
  return layer;
}

// Clears pieces of memory on all threads.
void clear(ThreadPool& threads, std::byte* data, size_t bytes) {
  constexpr size_t kPiece = size_t{1} << 20;
  threads.run(static_cast<int64_t>((bytes + kPiece - 1) / kPiece), [&](int64_t piece) {
    const size_t begin = static_cast<size_t>(piece) * kPiece;
    std::memset(data + begin, 0, std::min(kPiece, bytes - begin));
  });
}

}  // namespace

Parameters::Parameters(const ModelConfig& config, Precision precision, GradientMemory memory)
    : config_(config), precision_(precision), memory_(memory) {
  for (const WeightSpec& spec : weight_specs(config)) {
    tensors_.push_back({.spec = spec, .layer = layer_of(spec.name), .offset = elements_});
    elements_ += round_up(spec.elements(), kAlignment);
  }
  const auto bytes = [&](DType type) { return static_cast<size_t>(elements_ * dtype_bytes(type)); };
  real_ = Buffer(bytes(precision.real));
  if (precision.mixed()) copy_ = Buffer(bytes(precision.activations));
  for (Tensor& t : tensors_) {
    t.weight = shaped(real_.data(), precision.real, t.offset, t.spec);
    const bool vector = t.spec.role == WeightRole::norm || t.spec.role == WeightRole::bias;
    if (precision.mixed() && !vector) t.copy = shaped(copy_.data(), precision.activations, t.offset, t.spec);
  }
  place_gradients();
  size_t next = 0;
  weights_.layers.resize(static_cast<size_t>(config.layers));
  visit_weights(config, weights_, [&](const WeightSpec&, TensorView& leaf) {
    const Tensor& t = tensors_[next++];
    leaf = t.copy.data != nullptr ? t.copy : t.weight;
  });
  next = 0;
  gradients_.layers.resize(static_cast<size_t>(config.layers));
  visit_weights(config, gradients_, [&](const WeightSpec&, TensorView& leaf) { leaf = tensors_[next++].gradient; });
  if (config.tied) {
    weights_.head = weights_.embedding;
    gradients_.head = gradients_.embedding;
  }
}

void Parameters::place_gradients() {
  std::vector<int64_t> offsets;
  int64_t total = elements_;
  if (memory_ == GradientMemory::whole) {
    for (const Tensor& t : tensors_) offsets.push_back(t.offset);
  } else {
    // Every layer has the same tensors: the first says how large a bucket is.
    int64_t bucket = 0, used[3] = {};
    for (const Tensor& t : tensors_)
      if (t.layer == 0) bucket += round_up(t.spec.elements(), kAlignment);
    int layer = -1;
    for (const Tensor& t : tensors_) {
      const size_t place = t.layer < 0 ? 2 : static_cast<size_t>(t.layer % 2);
      if (t.layer >= 0 && t.layer != layer) used[place] = 0;
      if (t.layer >= 0) layer = t.layer;
      offsets.push_back(static_cast<int64_t>(place) * bucket + used[place]);
      used[place] += round_up(t.spec.elements(), kAlignment);
    }
    total = 2 * bucket + used[2];
  }
  gradient_ = Buffer(static_cast<size_t>(total * dtype_bytes(precision_.real)));
  for (size_t i = 0; i < tensors_.size(); ++i)
    tensors_[i].gradient = shaped(gradient_.data(), precision_.real, offsets[i], tensors_[i].spec);
}

TensorView Parameters::flat_weights() const {
  return {real_.data(), precision_.real, 1, elements_, elements_ * dtype_bytes(precision_.real)};
}

TensorView Parameters::flat_gradients() const {
  SIGMA_CHECK(memory_ == GradientMemory::whole);
  return {gradient_.data(), precision_.real, 1, elements_, elements_ * dtype_bytes(precision_.real)};
}

void Parameters::load(ThreadPool& threads, const WeightReader& reader) {
  for (const Tensor& t : tensors_) {
    const WeightRows rows = reader(t.spec);
    const int64_t cols = std::max<int64_t>(t.spec.cols, 1);
    threads.run(t.spec.rows, [&](int64_t r) {
      thread_local std::vector<std::byte> raw;
      thread_local std::vector<float> values;
      raw.resize(static_cast<size_t>(format_row_bytes(rows.format, cols)));
      values.resize(static_cast<size_t>(cols));
      rows.read(r, raw.data());
      format_info(rows.format).dequantise(raw.data(), values.data(), cols);
      if (precision_.real == DType::f64) {
        std::copy(values.begin(), values.end(), t.weight.row<double>(0) + r * cols);
      } else {
        std::copy(values.begin(), values.end(), t.weight.row<float>(0) + r * cols);
      }
    });
  }
}

void Parameters::refresh(const Context& context) {
  for (const Tensor& t : tensors_)
    if (t.copy.data != nullptr) convert(context, t.copy, t.weight);
}

void Parameters::clear_gradients(ThreadPool& threads) { clear(threads, gradient_.data(), gradient_.size()); }

void Parameters::clear_gradients(ThreadPool& threads, int layer) {
  for (const Tensor& t : tensors_)
    if (t.layer == layer) clear(threads, t.gradient.data, static_cast<size_t>(t.gradient.rows * t.gradient.row_bytes));
}

WeightReader Parameters::reader() const {
  return [this](const WeightSpec& spec) -> WeightRows {
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const Tensor& t) { return t.spec.name == spec.name; });
    SIGMA_CHECK(found != tensors_.end() && precision_.real == DType::f32);
    const float* values = found->weight.row<float>(0);
    const int64_t cols = std::max<int64_t>(spec.cols, 1);
    return {Format::f32, [values, cols](int64_t row, std::byte* out) {
              std::memcpy(out, values + row * cols, static_cast<size_t>(cols) * sizeof(float));
            }};
  };
}

}  // namespace sigma
