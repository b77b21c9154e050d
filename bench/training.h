// The speed of training steps: random weights and tokens through the trainer's own network and optimiser.
#pragma once

#include <cstdint>

#include "train/network.h"
#include "train/optimiser.h"

namespace sigma::bench {

struct TrainCase {
  int64_t context = 512;
  int64_t tokens = 8192;  // of a step
  int64_t micro = 2048;   // of one pass
  Precision precision = Precision::bf16();
  Network::Keep keep = Network::Keep::everything;
};

class TrainBench {
 public:
  TrainBench(const Kernels& kernels, ThreadPool& threads, const ModelConfig& config, const TrainCase& c);
  double step();  // seconds: gradients of all tokens, their norm, an update
  double operations() const;

 private:
  ThreadPool& threads_;
  TrainCase case_;
  ModelConfig config_;
  Parameters parameters_;
  Network network_;
  Optimiser optimiser_;
  std::vector<int32_t> tokens_, targets_, starts_;
};

}  // namespace sigma::bench
