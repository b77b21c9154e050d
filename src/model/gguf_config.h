// Model configuration in GGUF metadata. Architectures: sigma (ours), llama, qwen2, qwen3.
#pragma once

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "model/config.h"

namespace sigma {

// Whether a file of this configuration holds the rows of Q and K interleaved (architecture `llama`).
bool gguf_interleaves(const ModelConfig& config);

// An architecture, feature or key that is not supported and could change the result is refused by name.
ModelConfig config_from_gguf(const GgufFile& file);
void config_to_gguf(const ModelConfig& config, GgufWriter& writer);

// RoPE divisors as GGUF's rope_freqs.weight holds them (Llama 3 scaling); empty when the configuration has none.
std::vector<float> rope_divisors(const ModelConfig& config);
inline constexpr const char* kRopeDivisorsTensor = "rope_freqs.weight";

}  // namespace sigma
