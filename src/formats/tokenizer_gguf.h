// The tokenizer in GGUF metadata: the keys tokenizer.ggml.* and tokenizer.chat_template of byte-level BPE models.
#pragma once

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "text/tokenizer.h"

namespace sigma {

bool has_gguf_tokenizer(const GgufFile& file);

// Error for a tokenizer that is not byte-level BPE, or whose pre-tokenizer (tokenizer.ggml.pre) is not known.
TokenizerSpec tokenizer_from_gguf(const GgufFile& file);

// Error for what the format has no word for.
void tokenizer_to_gguf(const TokenizerSpec& spec, GgufWriter& writer);

}  // namespace sigma
