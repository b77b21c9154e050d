// Speculation without a draft model: what followed the last time the text stood as it stands now is likely to follow
// again. The drafted tokens are verified in one batch with the next one; kernels give every row the bits it would have
// alone, so the tokens (and their log-probabilities) are exactly those of plain decoding, sampled ones too.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"

namespace sigma {

class NgramDraft {
 public:
  void append(TokenId token);
  // The tokens that followed the most recent earlier occurrence of the last three, at most `limit` and never more than
  // have been paying off lately. Empty: none. Valid until the next append.
  std::span<const TokenId> draft(int64_t limit) const;
  // How a draft of `proposed` tokens fared: the next may be longer, or must be shorter.
  void learn(int64_t proposed, int64_t accepted);

 private:
  static constexpr size_t kGram = 3;
  static constexpr int64_t kFirstLength = 4, kMaxLength = 15;
  std::vector<TokenId> history_;
  std::unordered_map<uint64_t, size_t> after_;  // hash of kGram tokens -> index of what followed them last
  size_t match_ = 0;                            // what followed the earlier occurrence of the last kGram; 0: none
  int64_t length_ = kFirstLength;
};

}  // namespace sigma
