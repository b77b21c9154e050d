// Batches of a data set: token shards mixed by weight, in an order that depends on the seed and the position alone. A
// loader keeps no state but its mapped files, so a run resumes by asking for the next position.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/order.h"
#include "data/stream.h"

namespace sigma {

struct LoaderPart {
  std::string path;   // of a shard, or of a folder of them (shard_prefixes)
  double weight = 1;  // share of the rows, relative to the others'; 0: left out
};

struct LoaderOptions {
  std::vector<LoaderPart> parts;
  uint64_t seed = 0;
  int64_t context = 0;    // tokens that a row predicts, >= 1
  int64_t vocab = 0;      // of the model; ids at or beyond it are an Error; 0: unchecked
  Vocabulary tokenizer;   // of the run; shards that say that they are of another are an Error
  double validation = 0;  // share of each part's documents that the train split leaves out
  Split split = Split::train;
};

struct TokenBatch {
  int64_t rows = 0, context = 0;
  // [rows][context + 1]: inputs are the first `context`, targets the last.
  std::vector<int32_t> tokens;
  // [rows][context + 1]: the place in its row at which the token's document begins, 0 when that is before the row.
  // Token t may attend to starts[t] .. t; a document begins at t > 0 where starts[t] == t.
  std::vector<int32_t> starts;
};

// Rows are numbered from 0. Each part goes through its documents once an epoch, as one circular stream cut into windows
// of `context` tokens (and one more, that the next window begins with) at a place that changes with the epoch, in an
// order that changes with the epoch. Fewer tokens than a window are left out in each epoch.
class Loader {
 public:
  // Error: whatever Shard and Mixture refuse, a context below 1, a part with fewer tokens than a row, shards of another
  // vocabulary.
  explicit Loader(const LoaderOptions& options);

  // Rows position .. position + rows; the same for the same arguments, always. Reads from any number of threads.
  void batch(TokenBatch& out, uint64_t position, int64_t rows) const;
  TokenBatch batch(uint64_t position, int64_t rows) const;

  struct Place {
    size_t part;      // of the options
    uint64_t epoch;   // of the part
    uint64_t window;  // of the epoch
  };
  Place place(uint64_t position) const;

  size_t parts() const { return parts_.size(); }
  uint64_t epoch_rows(size_t part) const;  // windows of one epoch; 0 for a part that is left out
  uint64_t tokens(size_t part) const;      // of the split's documents
  uint64_t documents(size_t part) const;

  // Of everything that decides what batch() returns: the options (not the paths) and the shards. SHA-256 of the indexes
  // and of the tokens, of shards beyond 16 MiB of 1,024 pieces of 16 KiB.
  std::string fingerprint() const;

 private:
  struct Part {
    std::unique_ptr<TokenStream> stream;  // none: left out
    uint64_t windows = 0;
  };
  LoaderOptions options_;
  Mixture mixture_;
  std::vector<Part> parts_;
};

}  // namespace sigma
