#include "data/stream.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"

namespace sigma {

// A document of the data set.
struct TokenStream::Cursor {
  const TokenStream& stream;
  size_t block;
  uint64_t document;  // of the block's shard

  const Block& in() const { return stream.blocks_[block]; }
  const Shard& shard() const { return stream.shards_[in().shard]; }
  uint64_t begin() const { return shard().document_begin(document); }
  uint64_t length() const { return shard().document_begin(document + 1) - begin(); }
  bool held() const { return stream.holds(in().number + (document - in().document)); }

  // The next one, behind the last the first.
  void advance() {
    ++document;
    if (document < in().document + kBlockDocuments && document < shard().documents()) return;
    block = block + 1 == stream.blocks_.size() ? 0 : block + 1;
    document = in().document;
  }
};

TokenStream::TokenStream(std::vector<Shard> shards, const StreamOptions& options)
    : shards_(std::move(shards)), options_(options) {
  if (!(options.validation >= 0 && options.validation < 1))
    throw Error("validation", "a share of the documents from 0 to below 1", fmt::format("{}", options.validation));
  uint64_t number = 0;
  for (size_t s = 0; s < shards_.size(); ++s) {
    const Shard& shard = shards_[s];
    uint64_t begin = 0;  // of document d
    for (uint64_t d = 0; d < shard.documents(); ++d, ++number) {
      if (d % kBlockDocuments == 0) blocks_.push_back({tokens_, d, number, static_cast<uint32_t>(s)});
      const uint64_t end = shard.document_begin(d + 1);
      if (holds(number)) {
        tokens_ += end - begin;
        ++documents_;
      }
      begin = end;
    }
  }
}

bool TokenStream::holds(uint64_t number) const {
  const bool validation = options_.validation > 0 && Rng(number).uniform() < options_.validation;
  return validation == (options_.split == Split::validation);
}

void TokenStream::read(int32_t* tokens, int32_t* starts, uint64_t position, int64_t count) const {
  SIGMA_CHECK_LT(0u, tokens_);
  position %= tokens_;
  const auto after = std::upper_bound(blocks_.begin(), blocks_.end(), position,
                                      [](uint64_t p, const Block& block) { return p < block.begin; });
  Cursor at{*this, static_cast<size_t>(after - blocks_.begin()) - 1, std::prev(after)->document};
  uint64_t skip = position - at.in().begin;  // tokens of the stream from the cursor to the position
  while (!at.held() || at.length() <= skip) {
    if (at.held()) skip -= at.length();
    at.advance();
  }
  for (int64_t done = 0; done < count; at.advance()) {
    if (!at.held()) continue;
    const uint64_t piece = std::min(at.length() - skip, static_cast<uint64_t>(count - done));
    at.shard().read(tokens + done, at.begin() + skip, piece);
    check_ids(tokens + done, piece, at);
    std::fill_n(starts + done, piece, static_cast<int32_t>(done));
    done += static_cast<int64_t>(piece);
    skip = 0;
  }
}

void TokenStream::check_ids(const int32_t* tokens, uint64_t count, const Cursor& at) const {
  if (options_.vocab == 0) return;
  const auto unsigned_id = [](int32_t id) { return static_cast<uint32_t>(id); };
  uint32_t largest = 0;
  for (uint64_t i = 0; i < count; ++i) largest = std::max(largest, unsigned_id(tokens[i]));
  if (largest < options_.vocab) return;
  throw Error(at.shard().prefix(), fmt::format("token ids below the model's vocabulary of {}", options_.vocab),
              fmt::format("{} in document {}", static_cast<int32_t>(largest), at.document));
}

}  // namespace sigma
