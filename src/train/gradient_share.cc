#include "train/gradient_share.h"

#include <algorithm>

#include "base/error.h"

namespace sigma {

namespace {

// The part of a tensor, from its start, that lies in [begin, end) of the flat arrays.
std::pair<int64_t, int64_t> part_of(const Parameters::Tensor& t, int64_t begin, int64_t end) {
  const int64_t from = std::max<int64_t>(0, begin - t.offset), to = std::min(t.spec.elements(), end - t.offset);
  return {from, std::max(from, to)};
}

std::span<float> floats(TensorView x, int64_t begin, int64_t end) {
  return {x.row<float>(0) + begin, static_cast<size_t>(end - begin)};
}

}  // namespace

std::vector<int64_t> share_bounds(int64_t elements, int processes) {
  constexpr int64_t kLine = 16;
  std::vector<int64_t> bounds(static_cast<size_t>(processes) + 1, elements);
  for (int i = 0; i < processes; ++i)
    bounds[static_cast<size_t>(i)] = std::min(elements, round_up(elements * i / processes, kLine));
  return bounds;
}

GradientShare::GradientShare(Parameters& parameters, Collectives& processes, ThreadPool& threads, GradientMemory memory)
    : parameters_(parameters),
      processes_(processes),
      threads_(threads),
      memory_(memory),
      bounds_(share_bounds(parameters.elements(), processes.size())) {
  const auto rank = static_cast<size_t>(processes.rank());
  if (memory == GradientMemory::buckets)
    share_ = Buffer(static_cast<size_t>(bounds_[rank + 1] - bounds_[rank]) * sizeof(float));
}

void GradientShare::begin_batch() {
  parameters_.clear_gradients(threads_);
  std::fill_n(share_.as<float>(), share_.size() / sizeof(float), 0.0f);
}

void GradientShare::layer_done(int layer, bool last_pass) {
  if (memory_ == GradientMemory::whole) {
    if (processes_.size() > 1 && last_pass) send(layer);
  } else {
    collect();
    send(layer);
    travelling_ = layer;
    if (layer == -1) collect();
  }
  processes_.poll();
}

void GradientShare::send(int layer) {
  for (const Parameters::Tensor& t : parameters_.tensors()) {
    if (t.layer != layer) continue;
    for (int owner = 0; owner < processes_.size(); ++owner) {
      const auto [from, to] = part_of(t, bounds_[static_cast<size_t>(owner)], bounds_[static_cast<size_t>(owner) + 1]);
      if (from < to) processes_.start_reduce(floats(t.gradient, from, to), owner);
    }
  }
}

// The layer on its way has arrived: what is ours is added to the share, and its bucket is free.
void GradientShare::collect() {
  if (travelling_ == kNone) return;
  processes_.wait();
  const auto rank = static_cast<size_t>(processes_.rank());
  for (const Parameters::Tensor& t : parameters_.tensors()) {
    if (t.layer != travelling_) continue;
    const auto [from, to] = part_of(t, bounds_[rank], bounds_[rank + 1]);
    float* sums = share_.as<float>() + (t.offset - bounds_[rank]);
    const float* arrived = t.gradient.row<float>(0);
    for (int64_t i = from; i < to; ++i) sums[i] += arrived[i];
  }
  parameters_.clear_gradients(threads_, travelling_);
  travelling_ = kNone;
}

ConstTensorView GradientShare::finish() {
  processes_.wait();
  const auto rank = static_cast<size_t>(processes_.rank());
  const int64_t count = bounds_[rank + 1] - bounds_[rank];
  if (memory_ == GradientMemory::buckets) return view_of(static_cast<const float*>(share_.as<float>()), 1, count);
  return view_of(static_cast<const float*>(parameters_.flat_gradients().row<float>(0) + bounds_[rank]), 1, count);
}

}  // namespace sigma
