// The measurements of the study, each over all variants by turns, layer by layer: whatever the machine does meanwhile
// hits all of them alike. Times are seconds of a whole step (every layer of the model), one a round.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "bench/efficiency/rings.h"
#include "bench/machine.h"
#include "model/rope_table.h"

namespace sigma::bench {

using Rounds = std::vector<double>;

struct StepRounds {
  Rounds store, attention;  // new rows into both caches (a paged cache has no load phase); attention itself
  Rounds split, combine;    // of attention: partial results over stretches of the context; their merging
};

struct AttentionCell {
  int64_t prefix = 0, batch = 1;
  Rounds read;                                // bytes per second, of this machine, beside each round
  std::map<std::string, StepRounds> steps;    // by variant
  std::map<std::string, Rounds> augmented_q;  // by format of weights: Sigma's augmented query
};

struct WeightsCell {
  Format format = Format::q8_0;
  int64_t batch = 1;
  Rounds read;
  Rounds common;  // output projection, FFN, norms, rotation, head: the same in every variant
  Rounds augmented_q;
  std::map<std::string, Rounds> qkv;  // by variant: its q, k and v, and what else its keys need
};

// A generation of `output` tokens without a prefix, every step of it, in the caches of all layers, and between its
// parts the steps at the sampled contexts over and over, in the same caches.
struct WholeCell {
  int64_t output = 0;
  std::map<std::string, double> seconds;               // by variant: of all steps
  std::vector<int64_t> samples;                        // prefixes
  std::map<std::string, std::vector<Rounds>> sampled;  // by variant, at each of them
};

class Bench {
 public:
  Bench(const Kernels& kernels, ThreadPool& threads, const Grid& grid);

  AttentionCell attention(int64_t prefix, int64_t batch, int rounds);
  WeightsCell weights(Format format, int64_t batch, int rounds);
  // progress: told the tokens done.
  WholeCell whole(int64_t output, const std::function<void(int64_t)>& progress);
  Machine& machine() { return machine_; }

 private:
  struct Sequences;      // how many of them, how long, and their pages
  struct LayerTimes;     // seconds of one layer
  class AugmentedQuery;  // its weights

  LayerTimes layer(const Variant& v, const PagedView& keys, const PagedView& values, const Sequences& sequences);
  // Seconds of one product of x [batch, w.cols].
  double product(const PackedMatrix& w, int64_t batch) { return product({&w}, batch); }
  double product(std::initializer_list<const PackedMatrix*> w, int64_t batch);
  ConstTensorView input(int64_t rows, int64_t cols);  // random

  ThreadPool& threads_;
  const Grid& grid_;
  Machine machine_;
  Arena scratch_;
  Context context_;
  Noise noise_{3};
  std::vector<float> input_, output_, expansion_;
  RopeTable angles_;  // for keys that are expanded after the cache
};

}  // namespace sigma::bench
