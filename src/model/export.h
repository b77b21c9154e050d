// Writing models: any checkpoint, or freshly initialised weights, to a Hugging Face folder or a GGUF file.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/parallel.h"
#include "model/checkpoint.h"

namespace sigma {

// Where the values of one tensor come from. read() fills `out` with row `row` in `format`, rows in the model's order;
// it is called from several threads.
struct WeightRows {
  Format format = Format::f32;
  std::function<void(int64_t row, std::byte* out)> read;
};
using WeightReader = std::function<WeightRows(const WeightSpec&)>;

WeightReader checkpoint_reader(const Checkpoint& source);
// Random weights: normal with standard deviation 0.02 (attention output and FFN down divided by sqrt(2 * layers)),
// norms 1, biases 0. The same seed gives the same weights on every machine.
WeightReader random_reader(const ModelConfig& config, uint64_t seed);

// What --type asks of a tensor: matrices in that format (q4: the embedding and head in q8_0), vectors in f32 for GGUF.
// none: as it is where the destination can hold it, else f32. Rows that are no whole number of blocks stay f32.
// Error when a folder is to hold a quantised format.
struct ExportOptions {
  std::optional<Format> type;
  uint64_t max_shard_bytes = 5'000'000'000;
};

// destination: ends in .gguf, or a folder that does not exist yet or is empty. Nothing is left there on failure.
// tokenizer_source: the checkpoint whose tokenizer goes along; null: none.
void export_model(const ModelConfig& config, const WeightReader& reader, const Checkpoint* tokenizer_source,
                  const std::string& destination, const ExportOptions& options, ThreadPool& threads);

}  // namespace sigma
