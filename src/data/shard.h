// A shard of tokens: PREFIX.bin, token ids one after another, and PREFIX.idx, which says where documents begin. The
// files are Megatron's indexed data sets of version 1, both ways; docs/data.md has every byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/vocabulary.h"

namespace sigma {

// How a token id lies in the .bin file, as Megatron numbers it.
enum class TokenType : uint8_t { i32 = 4, u16 = 8 };

size_t token_type_bytes(TokenType type);
const char* token_type_name(TokenType type);  // "i32", "u16"
TokenType token_type_for(int64_t vocab);      // the smallest that holds the ids below vocab
int64_t token_type_limit(TokenType type);     // the largest id plus one

// A shard opened for reading: both files mapped, everything in the index checked once. Move-only.
class Shard {
 public:
  // prefix: without .idx and .bin.  Error: a file that is missing, truncated, longer than the index says, of another
  // version or token type, with documents or sequences out of order.
  explicit Shard(const std::string& prefix);
  // The contents of the two files, which must outlive it.
  Shard(std::span<const std::byte> idx, std::span<const std::byte> bin, const std::string& prefix);

  const std::string& prefix() const { return prefix_; }
  TokenType type() const { return type_; }
  uint64_t tokens() const { return tokens_; }
  uint64_t documents() const { return documents_; }
  // The first token of a document, d <= documents(); that of the one behind the last is tokens().
  uint64_t document_begin(uint64_t d) const;
  // Tokens begin .. begin + count, all below tokens().
  void read(int32_t* out, uint64_t begin, uint64_t count) const;

  // The files as they are.
  std::span<const std::byte> idx_bytes() const { return idx_; }
  std::span<const std::byte> bin_bytes() const { return bin_; }

 private:
  void check();

  std::string prefix_;
  MappedFile idx_file_, bin_file_;
  std::span<const std::byte> idx_, bin_;
  TokenType type_ = TokenType::i32;
  uint64_t sequences_ = 0, documents_ = 0, tokens_ = 0;
  size_t begins_at_ = 0, documents_at_ = 0;  // bytes into the index
};

// Writes a shard document by document, in memory that grows by four bytes a document. Nothing is there until commit(),
// then both files are (an older index at the same place is removed before the tokens it speaks of are replaced).
class ShardWriter {
 public:
  ShardWriter(std::string prefix, TokenType type);
  // Error: an id that the type cannot hold, a document of 2^31 tokens or more, a full disk.
  void add(std::span<const int32_t> document);
  // The same in parts.
  void append(std::span<const int32_t> tokens);
  void end_document();
  uint64_t documents() const { return lengths_.size(); }
  uint64_t tokens() const { return tokens_; }
  // vocabulary: what the ids are of, for PREFIX.vocab.json; null: not known.
  void commit(const Vocabulary* vocabulary = nullptr);

 private:
  std::string prefix_;
  TokenType type_;
  FileWriter bin_;
  std::vector<int32_t> lengths_;
  std::vector<uint16_t> narrow_;
  uint64_t tokens_ = 0, document_tokens_ = 0;
};

// The prefixes that a path stands for: itself (with or without .idx or .bin), or those of all shards in a folder, by
// name.  Error: none there.
std::vector<std::string> shard_prefixes(const std::string& path);

}  // namespace sigma
