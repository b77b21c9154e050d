// One process's share of the gradients: what the processes that train together divide among them. With one process the
// share is everything and nothing moves.
#pragma once

#include <vector>

#include "net/collectives.h"
#include "train/parameters.h"

namespace sigma {

// The share of process r: elements [bounds[r], bounds[r + 1]) of the flat arrays, equal numbers of whole cache lines.
std::vector<int64_t> share_bounds(int64_t elements, int processes);

// Gradients travel layer by layer to the processes that own them, while backward goes on below. GradientMemory::whole
// (ZeRO-1): once a batch, in the last pass. GradientMemory::buckets (ZeRO-2): after every pass, and only the share is
// kept.
class GradientShare {
 public:
  GradientShare(Parameters& parameters, Collectives& processes, ThreadPool& threads, GradientMemory memory);

  void begin_batch();
  // The gradients of a layer (-1: of what is in none, the last) are complete for this pass.
  void layer_done(int layer, bool last_pass);
  // The sums over all processes. After every layer of the last pass.
  ConstTensorView finish();
  uint64_t bytes() const { return share_.size(); }

 private:
  void send(int layer);
  void collect();
  Parameters& parameters_;
  Collectives& processes_;
  ThreadPool& threads_;
  const GradientMemory memory_;
  const std::vector<int64_t> bounds_;
  Buffer share_;            // buckets: f32, sums so far
  int travelling_ = kNone;  // buckets: the layer that is on its way
  static constexpr int kNone = -2;
};

}  // namespace sigma
