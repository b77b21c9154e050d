// RUN.toml: everything that decides a training run. docs/training.md has every key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/network.h"
#include "train/optimiser.h"
#include "train/schedule.h"

namespace sigma {

struct DataPart {
  std::string path;
  double weight = 1;
};

struct PhaseConfig {
  std::string name;
  int64_t tokens = 0;  // budget; for instruction tuning: 0, and epochs instead
  double epochs = 0;
  std::vector<DataPart> data;
  // As in the file; rows are made of tokens once the context is known.
  double learning_rate = 0, final_rate = 0;
  Decay decay = Decay::constant;
  int64_t warmup_tokens = 0, decay_tokens = 0;
  int64_t batch_tokens = 0, batch_tokens_end = 0, ramp_tokens = 0;

  // total_rows: the budget in rows.
  Schedule schedule(int64_t context, int64_t total_rows) const;
};

struct RunConfig {
  std::string path;       // of the file, for messages
  std::string model;      // config.json of a new model, or a checkpoint to start from
  std::string out;        // the run's folder
  std::string tokenizer;  // folder, tokenizer.json or checkpoint whose tokenizer goes along; empty: the model's own
  uint64_t seed = 0;
  Precision precision = Precision::bf16();
  int64_t context = 512;
  int64_t micro_batch = 0;  // rows of one pass; 0: as many as make about 2048 tokens
  Network::Keep keep = Network::Keep::everything;
  bool document_masking = true;
  double z_weight = 0;
  OptimiserOptions optimiser;

  int64_t checkpoint_every = 0;  // steps; 0: at the end of each phase only
  int keep_checkpoints = 3;

  int64_t validation_every = 0, validation_rows = 32;
  double validation_share = 0;  // of the documents
  std::vector<std::string> sample_prompts;
  int64_t sample_tokens = 48;

  int64_t spike_window = 64;
  double spike_deviations = 0;  // 0: only losses that are not finite are skipped
  int64_t spike_limit = 8;      // skipped steps in a row that end the run

  int64_t log_every = 10;
  int zero = 1;  // what several processes divide: 1: optimiser state, 2: gradients too
  std::vector<PhaseConfig> phases;

  int64_t micro_rows() const;
  // Every key that decides the weights, so that a resumed run can be held against it.
  Json identity() const;
};

enum class RunKind : uint8_t { pretraining, instruction_tuning };

// Error "[RUN.toml line 7] expected ..., found ..." for anything that is not understood; an unknown key with the
// nearest known one. Relative paths are taken from the file's folder; a model or tokenizer that is one word and not
// there is the name of a pulled one.
RunConfig parse_run_config(const std::string& text, const std::string& path, RunKind kind);
RunConfig read_run_config(const std::string& path, RunKind kind);

}  // namespace sigma
