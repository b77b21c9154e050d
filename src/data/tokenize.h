// From documents to a shard, on all threads; the same bytes whatever their number.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "data/documents.h"
#include "data/shard.h"
#include "text/tokenizer.h"

namespace sigma {

struct TokenizeOptions {
  std::vector<std::string> files;  // in the order of the shard
  TextFormat format = TextFormat::automatic;
  std::optional<TokenId> end;  // a token behind every document
};

struct TokenizeCounts {
  uint64_t files = 0, bytes = 0;      // read; decompressed
  uint64_t documents = 0, empty = 0;  // written, left out
  uint64_t tokens = 0;                // with those at the ends
};

// Adds every document that is not empty to the shard (whose commit is the caller's). Memory is bounded by a few batches
// and the longest document. on_progress(counts so far) is called now and then.  Error: as DocumentReader and
// ShardWriter.
TokenizeCounts tokenize_documents(ShardWriter& shard, const Tokenizer& tokenizer, ThreadPool& threads,
                                  const TokenizeOptions& options,
                                  const std::function<void(const TokenizeCounts&)>& on_progress);

}  // namespace sigma
