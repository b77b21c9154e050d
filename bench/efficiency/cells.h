// The measurements of the study, each over all variants by turns, layer by layer: whatever the machine does meanwhile
// hits all of them alike. Times are seconds of a whole step (every layer of the model), one a round.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
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
  Rounds read;                                  // bytes per second, of this machine, beside each round
  std::array<double, 3> operations{};           // per second, by Arithmetic: the machine's best beside the rounds
  std::map<std::string, StepRounds> steps;      // by variant
  std::map<std::string, WeightRounds> weights;  // by format
};

// A generation of `output` tokens without a prefix, every step of it, in the caches of all layers, and between its
// parts the steps at the sampled contexts over and over, in the same caches.
struct WholeCell {
  int64_t output = 0;
  std::map<std::string, double> seconds;  // by variant: of all steps
  int64_t interrupted = 0;                // steps that another program held up: those around stand for them
  std::vector<int64_t> samples;           // prefixes
  std::map<std::string, std::vector<Rounds>> sampled;  // by variant, at each of them
};

// The sum of consecutive steps' times, and how many of them were held up: longer than four times the median of the 64
// steps around, which is what they count for.
double sum_of_steps(const Rounds& steps, int64_t& interrupted);

// Where attention finds what it reads. caches: one buffer of each kind again and again, of so short a context that the
// processor's caches hold all of them: what is left of the time is work, not waiting for memory.
enum class Where : uint8_t { memory, caches };

class Bench {
 public:
  Bench(const Kernels& kernels, ThreadPool& threads, const Grid& grid);

  StepCell step(int64_t prefix, int64_t batch, int rounds, Where where = Where::memory);
  // progress: told the tokens done.
  WholeCell whole(int64_t output, const std::function<void(int64_t)>& progress);
  Machine& machine() { return machine_; }

 private:
  struct Sequences;   // how many of them, how long, and their pages
  struct LayerTimes;  // seconds of one layer

  LayerTimes layer(const Variant& v, const PagedView& keys, const PagedView& values, const Sequences& sequences);
  LayerWeights& weights(Format format);               // made once
  ConstTensorView input(int64_t rows, int64_t cols);  // random

  ThreadPool& threads_;
  const Grid& grid_;
  Machine machine_;
  Arena scratch_;
  Context context_;
  Noise noise_{3};
  std::vector<float> input_, output_, expansion_;
  std::map<Format, std::unique_ptr<LayerWeights>> weights_;
  RopeTable angles_;  // for keys that are expanded after the cache
};

}  // namespace sigma::bench
