#include "engine/speculation.h"

#include <algorithm>

namespace sigma {

void NgramDraft::append(TokenId token) {
  history_.push_back(token);
  if (history_.size() < kGram) return;
  uint64_t key = 0;
  for (size_t i = history_.size() - kGram; i < history_.size(); ++i)
    key = (key ^ static_cast<uint32_t>(history_[i])) * 0x9e3779b97f4a7c15ull;
  // A collision of hashes costs a wrong draft, never a wrong token.
  size_t& after = after_[key];
  match_ = after;
  after = history_.size();
}

std::span<const TokenId> NgramDraft::draft(int64_t limit) const {
  if (match_ == 0 || limit <= 0) return {};
  const auto available = static_cast<int64_t>(history_.size() - match_);
  return std::span(history_).subspan(match_, static_cast<size_t>(std::min({limit, length_, available})));
}

void NgramDraft::learn(int64_t proposed, int64_t accepted) {
  if (accepted == proposed) {
    length_ = std::min(kMaxLength, 2 * std::max(length_, proposed));
  } else {
    length_ = std::max<int64_t>(1, accepted > 0 ? accepted + 1 : length_ / 2);
  }
}

}  // namespace sigma
