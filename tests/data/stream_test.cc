#include "data/stream.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

struct Piece {
  std::vector<int32_t> tokens, starts;
};

Piece read(const TokenStream& stream, uint64_t position, size_t count) {
  Piece piece{std::vector<int32_t>(count), std::vector<int32_t>(count)};
  stream.read(piece.tokens.data(), piece.starts.data(), position, static_cast<int64_t>(count));
  return piece;
}

// Three shards, of none, some and many documents of 0 to 6 tokens, every token its own number.
class Streams : public testing::Test {
 protected:
  void SetUp() override {
    Rng rng(3);
    int32_t next = 0;
    for (const int count : {0, 7, 700}) {
      ShardWriter writer(folder.path(fmt::format("{}", count)), TokenType::i32);
      for (int d = 0; d < count; ++d) {
        std::vector<int32_t>& document = documents.emplace_back(rng.below(7));
        for (int32_t& token : document) token = next++;
        writer.add(document);
      }
      writer.commit();
    }
  }
  TokenStream open(const StreamOptions& options) const {
    std::vector<Shard> shards;
    for (const char* name : {"0", "7", "700"}) shards.emplace_back(folder.path(name));
    return TokenStream(std::move(shards), options);
  }
  test::TempFolder folder;
  std::vector<std::vector<int32_t>> documents;
};

TEST_F(Streams, EveryPieceIsWhatTheDocumentsSay) {
  const TokenStream stream = open({.vocab = 1 << 20});
  std::vector<int32_t> all;
  std::vector<bool> begins;
  for (const auto& document : documents) {
    for (size_t i = 0; i < document.size(); ++i) begins.push_back(i == 0);
    all.insert(all.end(), document.begin(), document.end());
  }
  ASSERT_EQ(stream.tokens(), all.size());
  EXPECT_EQ(stream.documents(), documents.size());
  Rng rng(4);
  for (int trial = 0; trial < 500; ++trial) {
    const uint64_t position = trial < 10 ? static_cast<uint64_t>(trial) : rng.below(3 * all.size());
    const size_t count = 1 + rng.below(trial == 0 ? 1 : 2 * all.size());
    const Piece piece = read(stream, position, count);
    int32_t start = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t at = (position + i) % all.size();
      if (begins[at]) start = static_cast<int32_t>(i);
      ASSERT_EQ(piece.tokens[i], all[at]) << position << " + " << i;
      ASSERT_EQ(piece.starts[i], start) << position << " + " << i;
    }
  }
}

TEST_F(Streams, TrainAndValidationShareOutTheDocuments) {
  const TokenStream train = open({.split = Split::train, .validation = 0.2});
  const TokenStream held = open({.split = Split::validation, .validation = 0.2});
  EXPECT_EQ(train.documents() + held.documents(), documents.size());
  EXPECT_NEAR(static_cast<double>(held.documents()), 0.2 * static_cast<double>(documents.size()), 35);
  Piece both = read(train, 0, train.tokens());
  const Piece validation = read(held, 0, held.tokens());
  // Whole documents on one side each, in their order.
  for (const std::vector<int32_t>& tokens : {both.tokens, validation.tokens}) {
    EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
    for (const auto& document : documents) {
      if (document.empty()) continue;
      EXPECT_EQ(std::binary_search(tokens.begin(), tokens.end(), document.front()),
                std::binary_search(tokens.begin(), tokens.end(), document.back()));
    }
  }
  both.tokens.insert(both.tokens.end(), validation.tokens.begin(), validation.tokens.end());
  std::sort(both.tokens.begin(), both.tokens.end());
  EXPECT_EQ(both.tokens.size(), open({}).tokens());
  EXPECT_EQ(std::unique(both.tokens.begin(), both.tokens.end()), both.tokens.end());
  // A piece of a split is that piece of it read whole.
  const Piece whole = read(held, 0, 2 * held.tokens());
  for (uint64_t position = 0; position < held.tokens(); ++position) {
    ASSERT_EQ(read(held, position, 5).tokens, std::vector(whole.tokens.begin() + static_cast<int64_t>(position),
                                                          whole.tokens.begin() + static_cast<int64_t>(position) + 5));
  }
}

TEST_F(Streams, ALargerShareHoldsBackWhatASmallerOneDid) {
  const TokenStream small = open({.split = Split::validation, .validation = 0.1});
  const TokenStream large = open({.split = Split::validation, .validation = 0.3});
  const Piece few = read(small, 0, small.tokens()), many = read(large, 0, large.tokens());
  EXPECT_LT(few.tokens.size(), many.tokens.size());
  EXPECT_TRUE(std::includes(many.tokens.begin(), many.tokens.end(), few.tokens.begin(), few.tokens.end()));
}

TEST_F(Streams, IdsBeyondTheVocabularyAreNamed) {
  const TokenStream stream = open({.vocab = 20});
  EXPECT_EQ(read(stream, 0, 20).tokens.back(), 19);
  try {
    read(stream, 0, 21);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.expected(), "token ids below the model's vocabulary of 20");
    EXPECT_TRUE(error.found().starts_with("20 in document ")) << error.what();
  }
}

TEST_F(Streams, SharesOutsideTheirRangeAreRefused) {
  for (const double share : {-0.1, 1.0, 2.0, std::nan("")}) EXPECT_THROW(open({.validation = share}), Error);
}

}  // namespace
}  // namespace sigma
