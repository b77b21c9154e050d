// A model ready to run: its configuration, its weights as a kernel set wants them, and the checkpoint they came from.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/checkpoint.h"
#include "model/weights.h"

namespace sigma {

using Weights = WeightsOf<PackedMatrix, std::vector<float>>;

struct Model {
  Checkpoint source;  // keeps the files mapped
  ModelConfig config;
  Weights weights;                         // embedding is packed only where it is also the head
  MatrixSource embedding;                  // rows are looked up in the file
  std::vector<PackedMatrix> query_expand;  // key_dim form: E^T [k_dim, q_dim] per layer
  std::vector<double> frequencies;         // RoPE, of the rotated dimension
  int64_t weight_bytes = 0;                // read by one decode step

  const PackedMatrix& head() const { return config.tied ? weights.embedding : weights.head; }
  int rotated_dim() const { return config.attn.key_rope == KeyRope::key_dim ? config.attn.k_dim : config.attn.q_dim; }
};

// Reads, checks (shapes, missing and unknown tensors, NaN and infinity) and packs every weight. path: a Hugging Face
// folder or a .gguf file.
Model load_model(const std::string& path, const Kernels& kernels, ThreadPool& threads);
Model load_model(Checkpoint source, const Kernels& kernels, ThreadPool& threads);

}  // namespace sigma
