#include "data/shard.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string_view>

#include "base/error.h"

namespace sigma {
namespace {

// "MMIDIDX\0\0" | u64 version | u8 token type | u64 sequences | u64 documents + 1
// | i32 length of each sequence, in tokens | i64 begin of each, in bytes of the .bin file
// | i64 first sequence of each document, and behind the last
constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = kMagic.size() + 8 + 1 + 8 + 8;
constexpr size_t kSequenceBytes = sizeof(int32_t) + sizeof(int64_t);

template <class T>
T load(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void store(FileWriter& file, T value) {
  file.write(std::as_bytes(std::span(&value, 1)));
}

}  // namespace

size_t token_type_bytes(TokenType type) { return type == TokenType::u16 ? sizeof(uint16_t) : sizeof(int32_t); }

const char* token_type_name(TokenType type) { return type == TokenType::u16 ? "u16" : "i32"; }

int64_t token_type_limit(TokenType type) {
  return type == TokenType::u16 ? int64_t{1} << 16 : int64_t{std::numeric_limits<int32_t>::max()} + 1;
}

TokenType token_type_for(int64_t vocab) {
  return vocab <= token_type_limit(TokenType::u16) ? TokenType::u16 : TokenType::i32;
}

Shard::Shard(const std::string& prefix)
    : prefix_(prefix),
      idx_file_(prefix + ".idx"),
      bin_file_(prefix + ".bin"),
      idx_(idx_file_.bytes()),
      bin_(bin_file_.bytes()) {
  check();
}

Shard::Shard(std::span<const std::byte> idx, std::span<const std::byte> bin, const std::string& prefix)
    : prefix_(prefix), idx_(idx), bin_(bin) {
  check();
}

void Shard::check() {
  const std::string where = prefix_ + ".idx";
  if (idx_.size() < kHeaderBytes)
    throw Error(where, fmt::format("an index of {} bytes at least", kHeaderBytes), fmt::format("{}", idx_.size()));
  if (std::memcmp(idx_.data(), kMagic.data(), kMagic.size()) != 0)
    throw Error(where, "an index of token shards, which begins with MMIDIDX",
                "\"" + printable({reinterpret_cast<const char*>(idx_.data()), kMagic.size()}) + "\"");
  size_t at = kMagic.size();
  const auto version = load<uint64_t>(idx_, at);
  if (version != kVersion) throw Error(where, "version 1", fmt::format("{}", version));
  const auto type = load<uint8_t>(idx_, at += 8);
  if (type != static_cast<uint8_t>(TokenType::u16) && type != static_cast<uint8_t>(TokenType::i32))
    throw Error(where, "token type 4 (i32) or 8 (u16)", fmt::format("{}", type));
  type_ = static_cast<TokenType>(type);
  sequences_ = load<uint64_t>(idx_, at += 1);
  const auto bounds = load<uint64_t>(idx_, at + 8);
  const uint64_t rest = idx_.size() - kHeaderBytes;
  if (sequences_ > rest / kSequenceBytes || bounds > rest / 8 || sequences_ * kSequenceBytes + bounds * 8 != rest)
    throw Error(where, fmt::format("{} sequences and {} bounds of documents", sequences_, bounds),
                fmt::format("{} bytes", idx_.size()));
  if (bounds == 0) throw Error(where, "one bound of documents at least", "none");
  documents_ = bounds - 1;
  begins_at_ = kHeaderBytes + sequences_ * sizeof(int32_t);
  documents_at_ = begins_at_ + sequences_ * sizeof(int64_t);

  // Sequences tile the .bin file in their order.
  const uint64_t bytes = token_type_bytes(type_);
  for (uint64_t s = 0; s < sequences_; ++s) {
    const auto length = load<int32_t>(idx_, kHeaderBytes + s * sizeof(int32_t));
    const auto begin = load<uint64_t>(idx_, begins_at_ + s * sizeof(int64_t));
    if (length < 0) throw Error(where, fmt::format("a length of sequence {}", s), fmt::format("{}", length));
    if (begin != tokens_ * bytes)
      throw Error(where, fmt::format("sequence {} at byte {}, where the one before ends", s, tokens_ * bytes),
                  fmt::format("{}", begin));
    tokens_ += static_cast<uint64_t>(length);
  }
  uint64_t before = 0;
  for (uint64_t d = 0; d <= documents_; ++d) {
    const auto first = load<uint64_t>(idx_, documents_at_ + d * sizeof(int64_t));
    if (first < before || first > sequences_ || (d == 0 && first != 0) || (d == documents_ && first != sequences_))
      throw Error(where, fmt::format("bounds of documents that go from 0 up to {}", sequences_),
                  fmt::format("{} as bound {} of {}", first, d, documents_));
    before = first;
  }
  if (bin_.size() != tokens_ * bytes) {
    std::string found = fmt::format("{} bytes", bin_.size());
    if (bin_.size() < tokens_ * bytes) {
      uint64_t low = 0, high = documents_;  // the last document that begins within the file
      while (low + 1 < high) {
        const uint64_t middle = low + (high - low) / 2;
        (document_begin(middle) * bytes <= bin_.size() ? low : high) = middle;
      }
      found += fmt::format(": it ends within document {} of {}", low, documents_);
    }
    throw Error(prefix_ + ".bin", fmt::format("the {} bytes of {} tokens, as the index says", tokens_ * bytes, tokens_),
                found);
  }
}

uint64_t Shard::document_begin(uint64_t d) const {
  const auto s = load<uint64_t>(idx_, documents_at_ + d * sizeof(int64_t));
  return s == sequences_ ? tokens_ : load<uint64_t>(idx_, begins_at_ + s * sizeof(int64_t)) / token_type_bytes(type_);
}

void Shard::read(int32_t* out, uint64_t begin, uint64_t count) const {
  SIGMA_CHECK_LE(begin, tokens_);
  SIGMA_CHECK_LE(count, tokens_ - begin);
  if (type_ == TokenType::i32) {
    if (count > 0) std::memcpy(out, bin_.data() + begin * sizeof(int32_t), count * sizeof(int32_t));
    return;
  }
  for (uint64_t i = 0; i < count; ++i) out[i] = load<uint16_t>(bin_, (begin + i) * sizeof(uint16_t));
}

ShardWriter::ShardWriter(std::string prefix, TokenType type)
    : prefix_(std::move(prefix)), type_(type), bin_(prefix_ + ".bin") {}

void ShardWriter::add(std::span<const int32_t> document) {
  append(document);
  end_document();
}

void ShardWriter::append(std::span<const int32_t> tokens) {
  const int64_t limit = token_type_limit(type_);
  const auto misfit = std::find_if(tokens.begin(), tokens.end(), [&](int32_t id) { return id < 0 || id >= limit; });
  if (misfit != tokens.end())
    throw Error(prefix_, fmt::format("token ids from 0 to {} (type {})", limit - 1, token_type_name(type_)),
                fmt::format("{} in document {}", *misfit, documents()));
  if (type_ == TokenType::u16) {
    narrow_.assign(tokens.begin(), tokens.end());
    bin_.write(std::as_bytes(std::span(narrow_)));
  } else {
    bin_.write(std::as_bytes(tokens));
  }
  tokens_ += tokens.size();
  document_tokens_ += tokens.size();
}

void ShardWriter::end_document() {
  if (document_tokens_ > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
    throw Error(prefix_, "documents of less than 2^31 tokens", fmt::format("{}", document_tokens_));
  lengths_.push_back(static_cast<int32_t>(document_tokens_));
  document_tokens_ = 0;
}

void ShardWriter::commit(const Vocabulary* vocabulary) {
  FileWriter idx(prefix_ + ".idx");
  idx.write(kMagic);
  store(idx, kVersion);
  store(idx, type_);
  store<uint64_t>(idx, lengths_.size());
  store<uint64_t>(idx, lengths_.size() + 1);
  idx.write(std::as_bytes(std::span(lengths_)));
  int64_t begin = 0;
  for (const int32_t length : lengths_) {
    store(idx, begin);
    begin += length * static_cast<int64_t>(token_type_bytes(type_));
  }
  for (uint64_t d = 0; d <= lengths_.size(); ++d) store(idx, d);
  bin_.sync();
  idx.sync();
  std::error_code ignored;
  std::filesystem::remove(prefix_ + ".idx", ignored);
  std::filesystem::remove(vocabulary_path(prefix_), ignored);
  if (vocabulary != nullptr) write_vocabulary(prefix_, *vocabulary);
  bin_.commit();
  idx.commit();
}

std::vector<std::string> shard_prefixes(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    return {path.ends_with(".idx") || path.ends_with(".bin") ? path.substr(0, path.size() - 4) : path};
  }
  std::vector<std::string> prefixes;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    const std::string name = entry.path().string();
    if (name.ends_with(".idx")) prefixes.push_back(name.substr(0, name.size() - 4));
  }
  if (prefixes.empty()) throw Error(path, "a shard (NAME.idx and NAME.bin) in this folder", "none");
  std::sort(prefixes.begin(), prefixes.end());
  return prefixes;
}

}  // namespace sigma
