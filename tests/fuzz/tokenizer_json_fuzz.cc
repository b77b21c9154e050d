// tokenizer.json, then a newline-separated tokenizer_config.json (after a zero byte), then text (after another):
// parsed, built, encoded both ways, written and read again. The last must give the same ids.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "formats/tokenizer_json.h"

namespace {

std::string_view take_part(std::string_view& rest) {
  const size_t zero = rest.find('\0');
  const std::string_view part = rest.substr(0, zero);
  rest = zero == std::string_view::npos ? std::string_view() : rest.substr(zero + 1);
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view json = take_part(rest), config = take_part(rest);
  try {
    TokenizerSpec spec = parse_tokenizer_json(json, "fuzz");
    if (!config.empty()) apply_tokenizer_config(spec, parse_json(config, "fuzz"), "fuzz");
    const Tokenizer tokenizer(spec);
    const std::vector<TokenId> parsed = tokenizer.encode_prompt(rest, Specials::parse);
    const std::vector<TokenId> as_text = tokenizer.encode(rest, Specials::as_text);
    tokenizer.decode(parsed);
    for (const TokenId id : as_text) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    }
    TokenizerSpec again;
    try {
      again = parse_tokenizer_json(tokenizer_json(spec).dump(), "rewritten");
    } catch (const Error&) {
      return 0;  // two special tokens spelt alike, or one spelt like an ordinary token: not in one vocabulary
    }
    if (Tokenizer(again).encode(rest, Specials::parse) != tokenizer.encode(rest, Specials::parse)) std::abort();
    tokenizer_config_json(spec).dump();
  } catch (const Error&) {
  }
  return 0;
}
