// How fast a tokenizer is on one thread.
#pragma once

#include <string>

#include "bench/result.h"
#include "text/tokenizer.h"

namespace sigma::bench {

// Seconds that it takes to encode the text.
double encode_once(const Tokenizer& tokenizer, std::string_view text);

// Encodes the text once, which fills the tokenizer's memory of words, and then `repeats` times.
Result bench_encode(const Tokenizer& tokenizer, std::string_view text, int repeats);

}  // namespace sigma::bench
