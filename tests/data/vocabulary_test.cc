#include "data/vocabulary.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "data/loader.h"
#include "data/small_tokenizer.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Vocabulary, IsKnownByItsTokensInOrder) {
  const TokenizerSpec spec = test::small_spec(PreTokenizer::gpt2);
  const Vocabulary own = vocabulary_of(spec, "own");
  EXPECT_EQ(own.tokens, 266);
  EXPECT_EQ(own.fingerprint.size(), 64u);
  // What cuts text into tokens may change, what an id stands for may not.
  EXPECT_EQ(own, vocabulary_of(test::small_spec(PreTokenizer::qwen2), "own"));
  TokenizerSpec other = spec;
  std::swap(other.tokens[3], other.tokens[4]);
  EXPECT_NE(own.fingerprint, vocabulary_of(other, "own").fingerprint);
  other = spec;  // the same bytes, cut elsewhere
  other.tokens[0] = other.tokens[0] + other.tokens[1];
  other.tokens[1] = "";
  EXPECT_NE(own.fingerprint, vocabulary_of(other, "own").fingerprint);
}

TEST(Vocabulary, LiesBesideAShardAndIsHeldAgainstTheRun) {
  const test::TempFolder folder;
  const std::string prefix = folder.path("x");
  const Vocabulary own = vocabulary_of(test::small_spec(PreTokenizer::gpt2), "own"), other{"other", 266, "ab"};
  const auto commit = [&](const Vocabulary* vocabulary) {
    ShardWriter shard(prefix, TokenType::u16);
    shard.add(std::vector<int32_t>(20, 7));
    shard.commit(vocabulary);
  };
  const auto load = [&](const Vocabulary& tokenizer, int64_t vocab) {
    return refusal([&] { Loader({.parts = {{prefix}}, .context = 8, .vocab = vocab, .tokenizer = tokenizer}); });
  };
  commit(&own);
  EXPECT_EQ(read_vocabulary(prefix), own);
  EXPECT_EQ(load(own, 266), "accepted");
  EXPECT_EQ(load({}, 300), "accepted") << "a run without a tokenizer";
  EXPECT_EQ(load(other, 266),
            "[" + prefix + ".vocab.json] expected ids of the run's tokenizer other, 266 tokens, found those of own, " +
                "266 tokens, other ones");
  EXPECT_EQ(load({}, 97), "[" + prefix + ".vocab.json] expected ids of at most 97 tokens, the model's vocabulary, " +
                              "found those of own, 266 tokens");
  for (const char* text : {"[]", "{}", R"({"tokenizer": "x", "vocab": -1, "vocab_sha256": ""})",
                           R"({"tokenizer": "x", "vocab": 18446744073709551615, "vocab_sha256": ""})"}) {
    write_file(vocabulary_path(prefix), text);
    EXPECT_NE(load(own, 266).find("expected the vocabulary of a shard"), std::string::npos) << text;
  }
  // Whoever writes the shard anew without saying leaves no word of an old one.
  commit(nullptr);
  EXPECT_EQ(read_vocabulary(prefix), std::nullopt);
  EXPECT_EQ(load(other, 97), "accepted");
}

}  // namespace
}  // namespace sigma
