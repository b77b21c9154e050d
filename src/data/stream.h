// The documents of a data set's train or validation half, as one circular stream of tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/shard.h"

namespace sigma {

enum class Split : uint8_t { train, validation };

struct StreamOptions {
  Split split = Split::train;
  double validation = 0;  // share of the documents held back; which ones depends on their numbers alone
  int64_t vocab = 0;      // ids must be below it; 0: unchecked
};

// Keeps 24 bytes for every 256 documents. Reading changes nothing: any thread may.
class TokenStream {
 public:
  // Documents are numbered through the shards in the order given.  Error: a share outside [0, 1).
  TokenStream(std::vector<Shard> shards, const StreamOptions& options);

  uint64_t tokens() const { return tokens_; }
  uint64_t documents() const { return documents_; }
  const std::vector<Shard>& shards() const { return shards_; }

  // Tokens position .. position + count of the stream, which begins again where it ends; starts[i]: where in this piece
  // the document of token i begins, 0 when that is before it. Each document of the data set begins anew, so does the
  // stream. tokens() > 0.  Error: an id beyond the vocabulary.
  void read(int32_t* tokens, int32_t* starts, uint64_t position, int64_t count) const;

 private:
  // 256 documents of one shard, fewer at its end.
  struct Block {
    uint64_t begin;     // the first token of the stream in it
    uint64_t document;  // of the shard
    uint64_t number;    // of the same document in the whole data set
    uint32_t shard;
  };
  static constexpr uint64_t kBlockDocuments = 256;
  struct Cursor;
  bool holds(uint64_t number) const;
  void check_ids(const int32_t* tokens, uint64_t count, const Cursor& at) const;

  std::vector<Shard> shards_;
  StreamOptions options_;
  std::vector<Block> blocks_;
  uint64_t tokens_ = 0, documents_ = 0;
};

}  // namespace sigma
