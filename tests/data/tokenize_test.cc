#include "data/tokenize.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/small_tokenizer.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

Documents documents_of(const std::string& prefix) {
  const Shard shard(prefix);
  Documents out;
  for (uint64_t d = 0; d < shard.documents(); ++d) {
    const uint64_t begin = shard.document_begin(d), end = shard.document_begin(d + 1);
    shard.read(out.emplace_back(end - begin).data(), begin, end - begin);
  }
  return out;
}

// Words, numbers, punctuation, line ends and spaces of all kinds, so that every way to cut them comes up.
std::string random_text(size_t bytes, uint64_t seed) {
  const char* const pieces[] = {
      "the",          "in",       "Anton",   " ",   " ",     " ", " ",   "  ",  "\n", "\r\n",
      "\n\n",         "12",       "7",       "'s",  "don't", ",", "...", "(x)", "\t", "\xc3\xa9t\xc3\xa9",
      "\xe2\x80\x89", "\xcc\x81", "<|end|>", "\xff"};
  Rng rng(seed);
  std::string text;
  while (text.size() < bytes) text += pieces[rng.below(std::size(pieces))];
  return text;
}

TokenizeCounts run(const std::string& prefix, const Tokenizer& tokenizer, int threads, const TokenizeOptions& options) {
  ThreadPool pool(threads);
  ShardWriter shard(prefix, TokenType::u16);
  const TokenizeCounts counts = tokenize_documents(shard, tokenizer, pool, options, [](const TokenizeCounts&) {});
  shard.commit();
  return counts;
}

TEST(Tokenize, ALongTextIsCutWithoutATrace) {
  const test::TempFolder folder;
  const std::string text = random_text(5 * TextBatch::kBytes + 4321, 1);
  write_file(folder.path("a.txt"), text);
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2}) {
    TokenizerSpec spec = test::small_spec(pre);
    spec.nfc = pre == PreTokenizer::qwen2;
    const Tokenizer tokenizer(std::move(spec));
    const TokenizeCounts counts = run(folder.path("x"), tokenizer, 3, {.files = {folder.path("a.txt")}});
    EXPECT_EQ(counts.documents, 1u);
    EXPECT_EQ(counts.bytes, text.size());
    EXPECT_EQ(documents_of(folder.path("x")), Documents{tokenizer.encode(text, Specials::as_text)});
  }
}

TEST(Tokenize, SpecialTokensThatSpanWordsAreNotCut) {
  const test::TempFolder folder;
  TokenizerSpec spec = test::small_spec(PreTokenizer::gpt2);
  spec.specials.push_back({.id = static_cast<TokenId>(spec.tokens.size()), .text = "a b", .control = false});
  spec.tokens.emplace_back("a b");
  const Tokenizer tokenizer(std::move(spec));
  std::string text;
  while (text.size() < 3 * TextBatch::kBytes) text += "a b c";
  write_file(folder.path("a.txt"), text);
  run(folder.path("x"), tokenizer, 2, {.files = {folder.path("a.txt")}});
  EXPECT_EQ(documents_of(folder.path("x")), Documents{tokenizer.encode(text, Specials::as_text)});
}

TEST(Tokenize, TheSameBytesWithAnyNumberOfThreads) {
  const test::TempFolder folder;
  const Tokenizer tokenizer(test::small_spec(PreTokenizer::gpt2));
  std::string lines;
  Documents expected;
  Rng rng(2);
  for (uint64_t i = 0; i < 3000; ++i) {
    std::string text = i % 100 == 0 ? "" : random_text(rng.below(2500), i);
    std::erase(text, '\xff');
    lines += Json{{"id", i}, {"text", text}}.dump() + "\n";
    if (text.empty()) continue;
    expected.push_back(tokenizer.encode(text, Specials::as_text));
    expected.back().push_back(*tokenizer.spec().eos);
  }
  write_file(folder.path("a.jsonl"), lines);
  const TokenizeOptions options{.files = {folder.path("a.jsonl")}, .end = tokenizer.spec().eos};
  std::string bin, idx;
  for (const int threads : {1, 2, 5}) {
    const TokenizeCounts counts = run(folder.path("x"), tokenizer, threads, options);
    EXPECT_EQ(counts.documents, expected.size());
    EXPECT_EQ(counts.documents + counts.empty, 3000u);
    EXPECT_EQ(counts.files, 1u);
    EXPECT_EQ(counts.tokens, Shard(folder.path("x")).tokens());
    if (threads == 1) {
      EXPECT_EQ(documents_of(folder.path("x")), expected);
      bin = read_file(folder.path("x.bin"));
      idx = read_file(folder.path("x.idx"));
    }
    EXPECT_EQ(read_file(folder.path("x.bin")), bin);
    EXPECT_EQ(read_file(folder.path("x.idx")), idx);
  }
}

TEST(Tokenize, AFaultInALineStopsItAndNothingIsWritten) {
  const test::TempFolder folder;
  const Tokenizer tokenizer(test::small_spec(PreTokenizer::gpt2));
  std::string lines;
  for (int i = 0; i < 200000; ++i) lines += i == 150000 ? "{\"text\": 1}\n" : "{\"text\": \"some text\"}\n";
  write_file(folder.path("a.jsonl"), lines);
  for (const int threads : {1, 3}) {
    try {
      run(folder.path("x"), tokenizer, threads, {.files = {folder.path("a.jsonl")}});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), folder.path("a.jsonl, line 150001"));
    }
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  }
}

}  // namespace
}  // namespace sigma
