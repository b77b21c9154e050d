// Trains a byte-level BPE: again and again the pair of tokens that comes up most often in the words becomes a token.
#pragma once

#include <functional>

#include "text/tokenizer.h"
#include "text/word_counts.h"

namespace sigma {

struct BpeTraining {
  int64_t vocab = 0;                  // tokens in all, special ones and the 256 bytes among them
  uint64_t least = 2;                 // a pair that comes up less often is no token
  std::vector<std::string> specials;  // the first ids, in this order; control tokens
  PreTokenizer pre = PreTokenizer::gpt2;
};

// A tokenizer of special tokens, the 256 bytes in the order of their alphabet (tokenizer_alphabet.h), and what the
// merges make, as Hugging Face's trainer numbers them. Of pairs that come up equally often that of the smaller ids
// comes first, so the same words make the same tokenizer. There are fewer tokens than asked for when no pair is left.
// on_progress(tokens so far) is called now and then.  Error: a vocabulary below the bytes and special tokens or above
// 2^24, a special token twice, more than 2^32 bytes of different words.
TokenizerSpec train_bpe(const WordCounts& words, const BpeTraining& training,
                        const std::function<void(int64_t)>& on_progress);

}  // namespace sigma
