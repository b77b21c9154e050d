// config.json: any bytes give a configuration that is valid and survives being written and read again, or an Error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "model/config.h"
#include "model/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const ModelConfig config = config_from_hf(parse_json(text, "fuzz"), "fuzz");
    const Json written = config_to_hf(config);
    if (config_to_hf(config_from_hf(written, "again")) != written) std::abort();
    count_parameters(config);
    const int rotated = config.attn.key_rope == KeyRope::key_dim ? config.attn.k_dim : config.attn.q_dim;
    if (config.rope.frequencies(rotated).size() != static_cast<size_t>(rotated / 2)) std::abort();
    if (config.layers <= 8) weight_specs(config);
  } catch (const Error&) {
  }
  return 0;
}
