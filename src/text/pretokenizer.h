// Cuts text into the words that merging never crosses: hand-written equivalents of the patterns that checkpoints use,
// as Hugging Face's regex engine matches them (leftmost alternative first).
#pragma once

#include "text/tokenizer.h"

namespace sigma {

// The end of the word that starts at p; p < end, and end is the end of the text. Bytes that are not UTF-8 count as
// characters that are neither letter, number nor space. Every call returns more than p, so calls tile the text.
using WordEnd = const char* (*)(const char* p, const char* end);
WordEnd word_end_function(PreTokenizer pre);

// Its regular expression, as files spell it (SmolLM2's is GPT-2's, applied between digits).
std::string_view pattern_of(PreTokenizer pre);

// Whether tokenizers that are trained with it bring text to form C first.
constexpr bool uses_nfc(PreTokenizer pre) { return pre == PreTokenizer::qwen2; }

// "gpt2", "smollm", "llama3", "qwen2"
const char* pre_tokenizer_name(PreTokenizer pre);

}  // namespace sigma
