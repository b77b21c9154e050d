// The checkpoints of a run: RUN/checkpoints/step-00000042, each a Hugging Face folder that any command can load, with
// the optimiser's moments and the run's state beside the weights. A checkpoint is written beside its place and renamed
// when all of it is there; checksums tell a damaged one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/optimiser.h"

namespace sigma {

class CheckpointStore {
 public:
  // keep: how many of the newest stay (at least 1).
  CheckpointStore(std::string folder, int keep);

  // moments: of the whole model, [elements] each. tokenizer: goes along; null: none. Returns the path.
  std::string save(int64_t step, const Parameters& parameters, std::span<const float> mean,
                   std::span<const float> square, const Json& state, const TokenizerSpec* tokenizer,
                   ThreadPool& threads);

  struct Found {
    std::string path;
    Json state;
  };
  // The newest checkpoint that is whole. damaged: what is wrong with newer ones, a line each.
  std::optional<Found> newest(std::vector<std::string>& damaged) const;
  // The weights and moments of a checkpoint that newest() found.
  static void load(const std::string& path, Parameters& parameters, std::span<float> mean, std::span<float> square,
                   ThreadPool& threads);

 private:
  std::vector<std::string> names() const;  // oldest first
  void remove_old() const;
  std::string folder_;
  int keep_;
};

}  // namespace sigma
