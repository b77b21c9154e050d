// The measurements of the study, each over all variants by turns, layer by layer: whatever the machine does meanwhile
// hits all of them alike. Times are seconds of a whole step (every layer of the model), one a round.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/efficiency/layer_weights.h"
#include "bench/machine.h"
#include "model/rope_table.h"

namespace sigma::bench {

using Rounds = std::vector<double>;

struct StepRounds {
  Rounds store, attention;  // new rows into both caches (a paged cache has no load phase); attention itself
  Rounds split, combine;    // of attention: partial results over stretches of the context; their merging
};

// Weights in one format.
struct WeightRounds {
  Rounds common;       // q, v and output projections, FFN, norms, rotation, head: the same in every variant
  Rounds augmented_q;  // Sigma's
  std::map<std::string, Rounds> keys;  // by shape (kKeyShapes): k's projection and what else it needs
};

// Everything that a step at one context is made of.
struct StepCell {
  int64_t prefix = 0, batch = 1;
  Rounds read, read_alone;                  // bytes per second, of this machine and of one thread, beside each round
  std::array<double, 3> operations{};       // per second, by Arithmetic: the machine's best beside the rounds
  std::map<std::string, StepRounds> steps;  // by variant
  std::map<std::string, WeightRounds> weights;  // by format
};

// One of the equal parts of a generation of `output` tokens without a prefix: every step of it, in the caches of all
// layers. Among the steps of each stretch of 64 those at the sampled contexts around it are measured again and again in
// the same caches, so that both sides of the comparison see the same machine.
inline constexpr int kWholeParts = 16;
struct WholePart {
  int part = 0;
  Rounds read;                               // bytes per second, of this machine, beside each stretch
  std::map<std::string, double> seconds;     // by variant: of all steps
  std::map<std::string, double> typical;     // the same, each step as long as the median of its stretch
  std::map<std::string, double> integrated;  // the same, from the samples' medians
};

// Attention at two contexts so short that the processor's caches hold what a variant reads, each variant over one
// buffer of each kind again and again: what is left of the time is work, not waiting for memory.
struct VariantWork {
  std::array<int64_t, 2> prefix = {};
  std::array<Rounds, 2> seconds;  // all layers
};
using WorkCell = std::map<std::string, VariantWork>;

class Bench {
 public:
  Bench(const Kernels& kernels, ThreadPool& threads, Grid grid);

  StepCell step(int64_t prefix, int64_t batch, int rounds);
  WorkCell work(std::span<const Variant> sides, int rounds);
  // Parts from `first` on, each told to `done`, until that returns false.
  void whole(int64_t output, int first, const std::function<bool(const WholePart&)>& done);
  Machine& machine() { return machine_; }

 private:
  void prepare_expansion(const Variant& v, int64_t tokens);  // where keys are expanded after the cache
  struct Sequences;                                          // how many of them, how long, and their pages
  struct LayerTimes;                                         // seconds of one layer

  LayerTimes layer(const Variant& v, const PagedView& keys, const PagedView& values, const Sequences& sequences);
  LayerWeights& weights(Format format);               // made once
  ConstTensorView input(int64_t rows, int64_t cols);  // random

  ThreadPool& threads_;
  const Grid grid_;
  Machine machine_;
  Arena scratch_;
  Context context_;
  Noise noise_{3};
  std::vector<float> input_, output_, expansion_;
  std::map<Format, std::unique_ptr<LayerWeights>> weights_;
  RopeTable angles_;  // for keys that are expanded after the cache, as expansion_
};

}  // namespace sigma::bench
