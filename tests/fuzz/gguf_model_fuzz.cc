// A GGUF file as a model: what its metadata says of the configuration and the tokenizer.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "formats/tokenizer_gguf.h"
#include "model/gguf_config.h"
#include "model/weights.h"

namespace sigma {
namespace {

void read_config(const GgufFile& file) {
  const ModelConfig config = config_from_gguf(file);
  GgufWriter writer;
  config_to_gguf(config, writer);
  rope_divisors(config);
  if (config.layers <= 8) weight_specs(config);
}

void read_tokenizer(const GgufFile& file) {
  if (!has_gguf_tokenizer(file)) return;
  const Tokenizer tokenizer(tokenizer_from_gguf(file));
  for (const TokenId id : tokenizer.encode("Hello, w\xc3\xb6rld <|im_end|> 123", Specials::parse))
    if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  try {
    const GgufFile file(std::as_bytes(std::span(data, size)), "fuzz");
    try {
      read_config(file);
    } catch (const Error&) {
    }
    read_tokenizer(file);
  } catch (const Error&) {
  }
  return 0;
}
