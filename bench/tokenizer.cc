#include "bench/tokenizer.h"

#include <chrono>
#include <vector>

#include "base/error.h"

namespace sigma::bench {

double encode_once(const Tokenizer& tokenizer, std::string_view text) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TokenId> ids = tokenizer.encode(text, Specials::as_text);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (ids.empty()) throw Error("bench tokenizer", "text", "none");
  return seconds.count();
}

Result bench_encode(const Tokenizer& tokenizer, std::string_view text, int repeats) {
  encode_once(tokenizer, text);
  std::vector<double> speeds;
  for (int i = 0; i < repeats; ++i)
    speeds.push_back(static_cast<double>(text.size()) / 0x1p20 / encode_once(tokenizer, text));
  return {.name = "tokenize", .threads = 1, .unit = "MiB/s", .ours = spread_of(speeds)};
}

}  // namespace sigma::bench
