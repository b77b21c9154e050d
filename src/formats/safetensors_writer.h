// Writing safetensors: one file, or a folder's model.safetensors, in shards when it would be too large. The bytes are
// those the reference implementation writes for the same tensors, so that save -> load -> save is byte-equal.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/safetensors.h"
#include "formats/tensor_list.h"

namespace sigma {

// Formats f32, f16 and bf16. Wider elements come first in the file, so that every tensor is aligned; else the order
// given.
void write_safetensors(const std::string& path, std::span<const TensorSpec> tensors, const TensorSource& source,
                       const SafetensorsMetadata& metadata = {{"format", "pt"}});

inline constexpr uint64_t kDefaultShardBytes = 5'000'000'000;

// FOLDER/model.safetensors or, when the tensors have more than max_shard_bytes in all, model-0000I-of-0000N.safetensors
// of at most that size (but one tensor each at least) and model.safetensors.index.json. The names appear when every
// byte is written. Error when the folder holds weights in the other of the two forms.
void write_safetensors_folder(const std::string& folder, std::span<const TensorSpec> tensors,
                              const TensorSource& source, uint64_t max_shard_bytes = kDefaultShardBytes);

}  // namespace sigma
