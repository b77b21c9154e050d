#include "data/shard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// An index as Megatron writes it, field by field.
struct Index {
  std::string magic{"MMIDIDX\0\0", 9};
  uint64_t version = 1;
  uint8_t type = 8;
  std::vector<int32_t> lengths;
  std::vector<int64_t> begins, bounds;
  std::string bytes() const {
    std::string out = magic;
    put(out, version);
    put(out, type);
    put<uint64_t>(out, lengths.size());
    put<uint64_t>(out, bounds.size());
    for (const int32_t x : lengths) put(out, x);
    for (const int64_t x : begins) put(out, x);
    for (const int64_t x : bounds) put(out, x);
    return out;
  }
};

// Documents of two sequences, one and none; five tokens of u16.
Index sample_index() { return {.lengths = {2, 0, 3}, .begins = {0, 4, 4}, .bounds = {0, 2, 3, 3}}; }
std::string sample_tokens() { return std::string("\1\0\2\0\xff\xff\0\1\5\0", 10); }

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

Documents documents_of(const Shard& shard) {
  Documents out;
  for (uint64_t d = 0; d < shard.documents(); ++d) {
    const uint64_t begin = shard.document_begin(d), end = shard.document_begin(d + 1);
    shard.read(out.emplace_back(end - begin).data(), begin, end - begin);
  }
  return out;
}

Error refusal(const std::string& idx, const std::string& bin) {
  try {
    const Shard shard(as_bytes(idx), as_bytes(bin), "x");
  } catch (const Error& error) {
    return error;
  }
  return {"accepted", "", ""};
}

TEST(Shard, ReadsDocumentsOfSeveralSequences) {
  const std::string idx = sample_index().bytes(), bin = sample_tokens();
  const Shard shard(as_bytes(idx), as_bytes(bin), "x");
  EXPECT_EQ(shard.type(), TokenType::u16);
  EXPECT_EQ(shard.tokens(), 5u);
  EXPECT_EQ(documents_of(shard), (Documents{{1, 2}, {65535, 256, 5}, {}}));
}

TEST(Shard, WhatIsWrittenIsReadAndHasMegatronsBytes) {
  const test::TempFolder folder;
  const Documents documents = {{7, 65535}, {}, {0, 1, 2}};
  for (const TokenType type : {TokenType::u16, TokenType::i32}) {
    ShardWriter writer(folder.path("x"), type);
    for (const auto& document : documents) writer.add(document);
    EXPECT_EQ(writer.documents(), 3u);
    EXPECT_EQ(writer.tokens(), 5u);
    EXPECT_FALSE(std::filesystem::exists(folder.path("x.idx")) && type == TokenType::u16);
    writer.commit();
    const Shard shard(folder.path("x"));
    EXPECT_EQ(shard.type(), type);
    EXPECT_EQ(documents_of(shard), documents);
    const auto width = static_cast<int64_t>(token_type_bytes(type));
    const Index index{.type = static_cast<uint8_t>(type == TokenType::u16 ? 8 : 4),
                      .lengths = {2, 0, 3},
                      .begins = {0, 2 * width, 2 * width},
                      .bounds = {0, 1, 2, 3}};
    EXPECT_EQ(read_file(folder.path("x.idx")), index.bytes());
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2) << "nothing partial is left";
}

TEST(Shard, AnEmptyOneIsWrittenAndRead) {
  const test::TempFolder folder;
  ShardWriter(folder.path("x"), TokenType::i32).commit();
  const Shard shard(folder.path("x"));
  EXPECT_EQ(shard.documents(), 0u);
  EXPECT_EQ(shard.tokens(), 0u);
}

TEST(Shard, WithoutCommitWhatWasThereStays) {
  const test::TempFolder folder;
  ShardWriter first(folder.path("x"), TokenType::u16);
  first.add(std::vector<int32_t>{1, 2, 3});
  first.commit();
  {
    ShardWriter second(folder.path("x"), TokenType::u16);
    second.add(std::vector<int32_t>{4});
  }
  EXPECT_EQ(documents_of(Shard(folder.path("x"))), (Documents{{1, 2, 3}}));
}

TEST(Shard, IdsThatTheTypeCannotHoldAreRefused) {
  const test::TempFolder folder;
  for (const int32_t id : {-1, 65536}) {
    ShardWriter writer(folder.path("x"), TokenType::u16);
    writer.add(std::vector<int32_t>{65535});
    try {
      writer.add(std::vector<int32_t>{3, id});
      ADD_FAILURE() << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.where(), folder.path("x"));
      EXPECT_EQ(error.expected(), "token ids from 0 to 65535 (type u16)");
      EXPECT_EQ(error.found(), fmt::format("{} in document 1", id));
    }
  }
  ShardWriter wide(folder.path("x"), TokenType::i32);
  wide.add(std::vector<int32_t>{std::numeric_limits<int32_t>::max()});
  EXPECT_THROW(wide.add(std::vector<int32_t>{-2}), Error);
}

TEST(Shard, TypesAreTheSmallestThatHoldAVocabulary) {
  EXPECT_EQ(token_type_for(65536), TokenType::u16);
  EXPECT_EQ(token_type_for(65537), TokenType::i32);
}

TEST(Shard, TokensThatEndWithinADocumentAreNamed) {
  const std::string idx = sample_index().bytes();
  EXPECT_EQ(refusal(idx, sample_tokens().substr(0, 6)).found(), "6 bytes: it ends within document 1 of 3");
  EXPECT_EQ(refusal(idx, "").found(), "0 bytes: it ends within document 0 of 3");
  const Error more = refusal(idx, sample_tokens() + "xx");
  EXPECT_EQ(more.where(), "x.bin");
  EXPECT_EQ(more.expected(), "the 10 bytes of 5 tokens, as the index says");
  EXPECT_EQ(more.found(), "12 bytes");
}

TEST(Shard, EveryTruncatedIndexIsRefused) {
  const std::string idx = sample_index().bytes();
  for (size_t size = 0; size < idx.size(); ++size) {
    EXPECT_EQ(refusal(idx.substr(0, size), sample_tokens()).where(), "x.idx") << size;
  }
  EXPECT_EQ(refusal(idx + "x", sample_tokens()).where(), "x.idx");
}

TEST(Shard, AnIndexThatContradictsItselfIsRefused) {
  const auto found = [](const Index& index) { return refusal(index.bytes(), sample_tokens()).found(); };
  Index index = sample_index();
  ASSERT_EQ(refusal(index.bytes(), sample_tokens()).where(), "accepted");
  index.magic[0] = 'm';
  EXPECT_NE(found(index), "");
  (index = sample_index()).version = 2;
  EXPECT_EQ(found(index), "2");
  for (const int type : {0, 1, 5, 9, 255}) {
    (index = sample_index()).type = static_cast<uint8_t>(type);
    EXPECT_EQ(found(index), fmt::format("{}", type));
  }
  (index = sample_index()).lengths[1] = -1;
  EXPECT_EQ(found(index), "-1");
  (index = sample_index()).lengths[1] = 1;
  EXPECT_EQ(found(index), "4");
  (index = sample_index()).begins[2] = 6;
  EXPECT_EQ(found(index), "6");
  (index = sample_index()).begins[0] = -4;
  EXPECT_NE(found(index), "");
  (index = sample_index()).bounds = {1, 2, 3};
  EXPECT_EQ(found(index), "1 as bound 0 of 2");
  (index = sample_index()).bounds = {0, 2};
  EXPECT_EQ(found(index), "2 as bound 1 of 1");
  (index = sample_index()).bounds = {0, 3, 2, 3};
  EXPECT_EQ(found(index), "2 as bound 2 of 3");
  (index = sample_index()).bounds = {0, -1, 3};
  EXPECT_NE(found(index), "");
  (index = sample_index()).bounds = {};
  EXPECT_EQ(found(index), "none");
  // Counts whose bytes overflow to the right size.
  std::string bytes = sample_index().bytes();
  const uint64_t huge = (uint64_t{1} << 62) + 3;
  std::memcpy(bytes.data() + 18, &huge, sizeof huge);
  EXPECT_EQ(refusal(bytes, sample_tokens()).where(), "x.idx");
}

TEST(Shard, PathsStandForOneShardOrAFolderOfThem) {
  const test::TempFolder folder;
  for (const char* name : {"b", "a"}) ShardWriter(folder.path(name), TokenType::u16).commit();
  EXPECT_EQ(shard_prefixes(folder.path("a")), std::vector{folder.path("a")});
  EXPECT_EQ(shard_prefixes(folder.path("a.idx")), std::vector{folder.path("a")});
  EXPECT_EQ(shard_prefixes(folder.path("a.bin")), std::vector{folder.path("a")});
  EXPECT_EQ(shard_prefixes(folder.path()), (std::vector{folder.path("a"), folder.path("b")}));
  const test::TempFolder empty;
  EXPECT_THROW(shard_prefixes(empty.path()), Error);
}

}  // namespace
}  // namespace sigma
