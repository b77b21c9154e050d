// Which vocabulary a shard's ids are of: PREFIX.vocab.json beside its two files. Megatron knows no such file; where
// there is none, nothing is held against it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "text/tokenizer.h"

namespace sigma {

struct Vocabulary {
  std::string name;         // of its tokenizer, as it was given; for messages
  int64_t tokens = 0;       // ids are below
  std::string fingerprint;  // SHA-256 of the tokens by id; empty: unknown
  bool operator==(const Vocabulary&) const = default;
};

Vocabulary vocabulary_of(const TokenizerSpec& spec, const std::string& name);

std::string vocabulary_path(const std::string& prefix);
void write_vocabulary(const std::string& prefix, const Vocabulary& vocabulary);
std::optional<Vocabulary> read_vocabulary(const std::string& prefix);  // Error: a file that says something else

// Error: the shard's ids are those of another vocabulary (fingerprints that are known differ), or of one larger than
// the model's.  most: tokens of the model, 0: any.
void require_vocabulary(const std::string& prefix, const Vocabulary& expected, int64_t most);

}  // namespace sigma
