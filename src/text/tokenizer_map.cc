#include "text/tokenizer_map.h"

#include <bit>
#include <cstring>

#include "base/error.h"
#include "text/hash.h"

namespace sigma {
TokenMap::TokenMap(const std::vector<std::string>& tokens)
    : tokens_(&tokens), slots_(std::bit_ceil(2 * tokens.size() + 2) * sizeof(uint64_t)) {
  mask_ = slots_.size() / sizeof(uint64_t) - 1;
}

size_t TokenMap::slot_of(std::string_view bytes, uint32_t tag) const {
  const auto* slots = slots_.as<const uint64_t>();
  for (size_t i = tag & mask_;; i = (i + 1) & mask_) {
    const uint64_t slot = slots[i];
    if (slot == 0) return i;
    if (slot >> 32 == tag && (*tokens_)[(slot & 0xffffffff) - 1] == bytes) return i;
  }
}

TokenId TokenMap::insert(TokenId id) {
  const std::string_view bytes = (*tokens_)[static_cast<size_t>(id)];
  const auto tag = static_cast<uint32_t>(hash_bytes(bytes) >> 32);
  uint64_t& slot = slots_.as<uint64_t>()[slot_of(bytes, tag)];
  if (slot != 0) return static_cast<TokenId>((slot & 0xffffffff) - 1);
  slot = static_cast<uint64_t>(tag) << 32 | (static_cast<uint64_t>(id) + 1);
  return -1;
}

TokenId TokenMap::find(std::string_view bytes) const {
  const auto tag = static_cast<uint32_t>(hash_bytes(bytes) >> 32);
  const uint64_t slot = slots_.as<const uint64_t>()[slot_of(bytes, tag)];
  return static_cast<TokenId>(slot & 0xffffffff) - 1;
}

TokenId TokenMap::find_joined(std::string_view left, std::string_view right) const {
  char buffer[256];
  const size_t size = left.size() + right.size();
  if (size > sizeof buffer) return find(std::string(left).append(right));
  std::memcpy(buffer, left.data(), left.size());
  std::memcpy(buffer + left.size(), right.data(), right.size());
  return find({buffer, size});
}

TokenMap vocabulary_of(const TokenizerSpec& spec) {
  std::vector<bool> special(spec.tokens.size());
  for (const SpecialToken& s : spec.specials) special[static_cast<size_t>(s.id)] = true;
  TokenMap map(spec.tokens);
  for (const bool specials : {false, true}) {
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      if (special[i] != specials) continue;
      const TokenId same = map.insert(static_cast<TokenId>(i));
      if (same >= 0 && special[i] == special[static_cast<size_t>(same)]) {
        throw Error("tokenizer", "every token once",
                    fmt::format("\"{}\" as {} and {}", printable(spec.tokens[i]), same, i));
      }
    }
  }
  return map;
}

}  // namespace sigma
