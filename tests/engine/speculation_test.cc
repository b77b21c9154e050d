#include "engine/speculation.h"

#include <gtest/gtest.h>

namespace sigma {
namespace {

std::vector<TokenId> drafted(const NgramDraft& draft, int64_t limit) {
  const auto span = draft.draft(limit);
  return {span.begin(), span.end()};
}

TEST(NgramDraft, ProposesWhatFollowedLastTime) {
  NgramDraft draft;
  for (const TokenId id : {1, 2, 3, 10, 11, 7, 1, 2, 3, 20, 21, 9, 1, 2}) draft.append(id);
  EXPECT_TRUE(drafted(draft, 8).empty());
  draft.append(3);
  EXPECT_EQ(drafted(draft, 3), (std::vector<TokenId>{20, 21, 9}));  // the most recent occurrence
  EXPECT_TRUE(drafted(draft, 0).empty());
}

TEST(NgramDraft, LengthFollowsSuccess) {
  NgramDraft draft;
  for (int round = 0; round < 2; ++round)
    for (TokenId id = 0; id < 60; ++id) draft.append(id);
  for (TokenId id = 0; id < 5; ++id) draft.append(id);
  const size_t first = drafted(draft, 100).size();
  draft.learn(static_cast<int64_t>(first), static_cast<int64_t>(first));
  const size_t longer = drafted(draft, 100).size();
  EXPECT_GT(longer, first);
  draft.learn(static_cast<int64_t>(longer), 1);
  EXPECT_EQ(drafted(draft, 100).size(), 2u);
  for (int i = 0; i < 5; ++i) draft.learn(2, 0);
  EXPECT_EQ(drafted(draft, 100).size(), 1u);
  for (int i = 0; i < 9; ++i) draft.learn(15, 15);
  EXPECT_LE(drafted(draft, 100).size(), 15u);
}

}  // namespace
}  // namespace sigma
