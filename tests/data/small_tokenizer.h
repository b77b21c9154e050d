// A tokenizer of the 256 bytes, some merges of English, and an end of sequence.
#pragma once

#include "text/tokenizer.h"

namespace sigma::test {

inline TokenizerSpec small_spec(PreTokenizer pre) {
  TokenizerSpec spec;
  spec.pre = pre;
  for (int b = 0; b < 256; ++b) spec.tokens.emplace_back(1, static_cast<char>(b));
  for (const char* pair : {"th", " t", "in", "er", "\r\n", "  ", "an", " a", "on"}) {
    spec.merges.emplace_back(static_cast<unsigned char>(pair[0]), static_cast<unsigned char>(pair[1]));
    spec.tokens.emplace_back(pair);
  }
  spec.eos = static_cast<TokenId>(spec.tokens.size());
  spec.specials.push_back({.id = *spec.eos, .text = "<|end|>"});
  spec.tokens.emplace_back("<|end|>");
  return spec;
}

}  // namespace sigma::test
