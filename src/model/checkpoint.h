// A checkpoint on disk, whatever its file format: configuration, tokenizer, and tensors by their Hugging Face names.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace sigma {

struct SourceTensor {
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
  // None when the checkpoint has no tokenizer. Error when it has one that is not supported, or with more tokens than
  // the model.
  std::optional<TokenizerSpec> tokenizer() const;
  const std::map<std::string, SourceTensor>& tensors() const;  // by the name in the file

  // The stored tensor of a spec; Error when it is missing or of another shape.
  const SourceTensor& tensor(const WeightSpec& spec) const;
  // As a matrix, rows in the model's order (a vector: `rows` rows of one value).
  MatrixSource matrix(const WeightSpec& spec) const;
  // Its values as f32.
  std::vector<float> values(const WeightSpec& spec) const;
  // Error when a tensor of the file belongs to no part of the model.
  void refuse_unknown_tensors() const;
  // The tensor's pages are not needed soon.
  void release(const WeightSpec& spec) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The tokenizer of a folder (with or without weights) or a .gguf file.
TokenizerSpec load_tokenizer_spec(const std::string& path);

}  // namespace sigma
