// The tokenizer of a Hugging Face folder: tokenizer.json, tokenizer_config.json, chat_template.jinja. Byte-level BPE
// with a pre-tokenizer of text/pretokenizer.h; anything else is refused by name. What is read: docs/formats.md.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "text/tokenizer.h"

namespace sigma {

// `where` names the text in errors. Padding and truncation are left to the caller, as `transformers` does.
TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& where);

// What tokenizer_config.json adds: bos_token, eos_token, add_bos_token, add_eos_token, chat_template,
// added_tokens_decoder.
void apply_tokenizer_config(TokenizerSpec& spec, const Json& config, const std::string& where);

// All of a folder; only tokenizer.json must be there. Error when the files contradict each other.
TokenizerSpec read_tokenizer_folder(const std::string& folder);

// Files that the reference reads to the same ids.
Json tokenizer_json(const TokenizerSpec& spec);
Json tokenizer_config_json(const TokenizerSpec& spec);
void write_tokenizer_folder(const TokenizerSpec& spec, const std::string& folder);

}  // namespace sigma
