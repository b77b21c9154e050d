// A training run: phases of steps, each step a batch through the network and the optimiser; checkpoints, validation,
// samples and metrics on the way. The same setup gives the same weights to the bit, whether the run was interrupted or
// not.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "net/collectives.h"
#include "train/rows.h"
#include "train/run_config.h"

namespace sigma {

struct TrainPhase {
  std::string name;
  Schedule schedule;
  RowSource rows;
  std::optional<RowSource> validation;
};

struct TrainSetup {
  const RunConfig& run;
  ModelConfig model;
  WeightReader initial;                      // weights of step 0
  const TokenizerSpec* tokenizer = nullptr;  // goes into the checkpoints; null: none
  std::vector<TrainPhase> phases;
  // What happens, as it happens: objects with an "event" (start, resume, damaged, step, validation, sample, skipped,
  // checkpoint, done). Of process 0 only.
  std::function<void(const Json&)> report;
  // Set by someone else: the run saves a checkpoint after the current step and ends.
  const std::atomic<bool>* stop = nullptr;
};

// Where the run stands afterwards.
struct TrainOutcome {
  std::string checkpoint;
  int64_t step = 0;
  bool finished = false;  // false: stopped
};

// Error for a run whose folder holds checkpoints of another run or of other data, for a number of processes that does
// not divide the batch, and when losses stop being finite.
TrainOutcome train(const TrainSetup& setup, const Kernels& kernels, ThreadPool& threads, Collectives& processes);

}  // namespace sigma
