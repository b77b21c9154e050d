#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

// Two sets: one shard "a" whose tokens are 0, 1, 2, ...; a folder "b" of two shards with tokens from 100000.
class Loaders : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder.path("b"));
    write("a", 0, 300, 5);
    write("b/1", 100000, 40, 6);
    write("b/2", 150000, 60, 7);
  }
  void write(const std::string& name, int32_t first, int documents, uint64_t seed) const {
    Rng rng(seed);
    ShardWriter writer(folder.path(name), TokenType::i32);
    for (int d = 0; d < documents; ++d) {
      std::vector<int32_t> document(1 + rng.below(30));
      for (int32_t& token : document) token = first++;
      writer.add(document);
    }
    writer.commit();
  }
  LoaderOptions options() const {
    return {.parts = {{folder.path("a"), 3}, {folder.path("b"), 1}}, .seed = 11, .context = 17};
  }
  test::TempFolder folder;
};

TEST_F(Loaders, ABatchIsItsRowsOneByOne) {
  const Loader loader(options());
  const TokenBatch batch = loader.batch(1000, 64);
  EXPECT_EQ(batch.rows, 64);
  EXPECT_EQ(batch.context, 17);
  ASSERT_EQ(batch.tokens.size(), 64u * 18);
  ASSERT_EQ(batch.starts.size(), 64u * 18);
  const Loader again(options());
  for (int64_t r = 63; r >= 0; --r) {
    const TokenBatch row = again.batch(1000 + static_cast<uint64_t>(r), 1);
    EXPECT_TRUE(std::equal(row.tokens.begin(), row.tokens.end(), batch.tokens.begin() + r * 18));
    EXPECT_TRUE(std::equal(row.starts.begin(), row.starts.end(), batch.starts.begin() + r * 18));
  }
}

TEST_F(Loaders, ThreadsReadTheSame) {
  const Loader loader(options());
  std::vector<TokenBatch> batches(200);
  ThreadPool threads(4);
  threads.run(200, [&](int64_t i) { loader.batch(batches[static_cast<size_t>(i)], static_cast<uint64_t>(i) * 3, 3); });
  for (size_t i = 0; i < batches.size(); ++i) EXPECT_EQ(batches[i].tokens, loader.batch(i * 3, 3).tokens);
}

TEST_F(Loaders, AnEpochTakesEveryWindowOnceAndTheNextInAnotherOrder) {
  LoaderOptions one = options();
  one.parts.resize(1);
  const Loader loader(one);
  const uint64_t rows = loader.epoch_rows(0);
  ASSERT_EQ(rows, loader.tokens(0) / 17);
  std::vector<std::vector<int32_t>> firsts;
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::multiset<int32_t> inputs;  // all but the last token of every row
    std::vector<int32_t>& order = firsts.emplace_back();
    for (uint64_t r = 0; r < rows; ++r) {
      const Loader::Place place = loader.place(epoch * rows + r);
      EXPECT_EQ(place.epoch, epoch);
      EXPECT_LT(place.window, rows);
      const TokenBatch row = loader.batch(epoch * rows + r, 1);
      order.push_back(row.tokens[0]);
      inputs.insert(row.tokens.begin(), row.tokens.end() - 1);
    }
    EXPECT_EQ(inputs.size(), rows * 17);
    EXPECT_EQ(std::set<int32_t>(inputs.begin(), inputs.end()).size(), rows * 17) << "no token twice";
  }
  EXPECT_NE(firsts[0], firsts[1]);
  EXPECT_NE(firsts[1], firsts[2]);
  std::sort(firsts[0].begin(), firsts[0].end());
  std::sort(firsts[1].begin(), firsts[1].end());
  EXPECT_NE(firsts[0], firsts[1]) << "cut at other places";
}

TEST_F(Loaders, StartsMarkWhereDocumentsBegin) {
  // Documents of 1, 2, 3, ... tokens: each token is the length of its document.
  ShardWriter writer(folder.path("c"), TokenType::u16);
  for (int32_t n = 1; n < 40; ++n) writer.add(std::vector<int32_t>(static_cast<size_t>(n), n));
  writer.commit();
  const Loader loader({.parts = {{folder.path("c")}}, .seed = 1, .context = 30});
  const TokenBatch batch = loader.batch(0, 100);
  for (int64_t r = 0; r < batch.rows; ++r) {
    for (size_t t = 0; t <= 30; ++t) {
      const size_t at = static_cast<size_t>(r) * 31 + t;
      const bool begins = t == 0 || batch.tokens[at] != batch.tokens[at - 1];
      EXPECT_EQ(batch.starts[at], begins ? static_cast<int32_t>(t) : batch.starts[at - 1]);
    }
  }
}

TEST_F(Loaders, PartsAreMixedByWeight) {
  const Loader loader(options());
  const TokenBatch batch = loader.batch(0, 400);
  int from_b = 0;
  for (int64_t r = 0; r < 400; ++r) from_b += batch.tokens[static_cast<size_t>(r) * 18] >= 100000 ? 1 : 0;
  EXPECT_NEAR(from_b, 100, 1);
  LoaderOptions off = options();
  off.parts[1] = {folder.path("nothing here"), 0};
  EXPECT_EQ(Loader(off).batch(0, 1).tokens.size(), 18u) << "a part of weight 0 is not opened";
}

TEST_F(Loaders, SeedsGiveOtherOrdersAndTheSameSplit) {
  LoaderOptions a = options();
  a.validation = 0.25;
  LoaderOptions b = a;
  b.seed = 12;
  EXPECT_NE(Loader(a).batch(0, 8).tokens, Loader(b).batch(0, 8).tokens);
  EXPECT_EQ(Loader(a).tokens(0), Loader(b).tokens(0));
  // No token of the validation split is in the training split, whatever their seeds.
  b.split = Split::validation;
  const Loader train(a), held(b);
  std::set<int32_t> seen;
  for (uint64_t p = 0; p < 400; ++p) {
    const TokenBatch row = train.batch(p, 1);
    seen.insert(row.tokens.begin(), row.tokens.end());
  }
  EXPECT_GT(seen.size(), train.tokens(0));
  for (const int32_t token : held.batch(0, 300).tokens) EXPECT_FALSE(seen.contains(token));
}

TEST_F(Loaders, TheFingerprintTellsEveryChangeButAMove) {
  const std::string before = Loader(options()).fingerprint();
  EXPECT_EQ(before.size(), 64u);
  EXPECT_EQ(before, Loader(options()).fingerprint());
  std::filesystem::rename(folder.path("b"), folder.path("moved"));
  LoaderOptions moved = options();
  moved.parts[1].path = folder.path("moved");
  EXPECT_EQ(before, Loader(moved).fingerprint());
  std::set<std::string> prints = {before};
  const auto differs = [&](const LoaderOptions& changed) {
    return prints.insert(Loader(changed).fingerprint()).second;
  };
  for (const int field : {0, 1, 2, 3, 4, 5}) {
    LoaderOptions o = moved;
    if (field == 0) o.seed = 12;
    if (field == 1) o.context = 18;
    if (field == 2) o.validation = 0.25;
    if (field == 3) o.parts[0].weight = 2;
    if (field == 4) std::swap(o.parts[0], o.parts[1]);
    if (field == 5) o.validation = 0.25, o.split = Split::validation;
    EXPECT_TRUE(differs(o)) << field;
  }
  // One token, in files of the same size.
  std::string tokens = read_file(folder.path("moved/2.bin"));
  tokens[tokens.size() / 2] ^= 1;
  write_file(folder.path("moved/2.bin"), tokens);
  EXPECT_TRUE(differs(moved));
}

TEST_F(Loaders, WhatIsTooSmallIsRefused) {
  LoaderOptions o = options();
  o.context = 1 << 20;
  try {
    const Loader loader(o);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), folder.path("a"));
    EXPECT_EQ(error.expected(), "1048577 tokens at least in its training documents (one row)");
  }
  o.context = 0;
  EXPECT_THROW(Loader{o}, Error);
  o = options();
  o.split = Split::validation;
  EXPECT_THROW(Loader{o}, Error) << "nothing is held back";
  o = options();
  o.parts.clear();
  EXPECT_THROW(Loader{o}, Error);
  // One row exactly.
  o = options();
  o.context = static_cast<int64_t>(Loader(o).tokens(1)) - 1;
  o.parts.erase(o.parts.begin());
  EXPECT_EQ(Loader(o).epoch_rows(0), 1u);
  EXPECT_EQ(Loader(o).batch(5, 1).rows, 1);
}

}  // namespace
}  // namespace sigma
