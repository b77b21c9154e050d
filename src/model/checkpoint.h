// A checkpoint on disk, whatever its file format: configuration, tokenizer, and tensors by their Hugging Face names.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weights.h"
#include "base/file.h"
#include "text/tokenizer.h"

namespace sigma {

struct SourceTensor {
  std::string stored_name;  // in its file, for messages
  Format format = Format::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  const MappedFile* file = nullptr;
};

// Move-only; what it hands out stays valid while it lives (moved or not).
class Checkpoint {
 public:
  // A Hugging Face folder or a .gguf file. Error when it is neither, or holds what this program cannot run.
  static Checkpoint open(const std::string& path);
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  const std::string& path() const;
  const char* kind() const;  // "gguf", "folder"
  const ModelConfig& config() const;
  // Null when the checkpoint has no tokenizer. Error (when asked for) when it has one that is not supported.
  const TokenizerSpec* tokenizer() const;
  const std::map<std::string, SourceTensor>& tensors() const;

  // The tensor of a spec as a matrix (a vector is one row per element... of one column); checks presence and shape.
  MatrixSource matrix(const TensorSpec& spec) const;
  // Its values as f32, rows in the model's order.
  std::vector<float> values(const TensorSpec& spec) const;
  // Error when a tensor of the file belongs to no part of the model.
  void refuse_unknown_tensors() const;
  // The tensor's pages are not needed soon.
  void release(const TensorSpec& spec) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The tokenizer of a folder (with or without weights) or a .gguf file.
TokenizerSpec load_tokenizer_spec(const std::string& path);

}  // namespace sigma
