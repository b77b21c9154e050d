// Byte-pair merging of one word: the lowest-ranked pair first, the leftmost of equals first, until none is left.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/tokenizer_map.h"

namespace sigma {

enum class TokenKind : uint8_t { ordinary, special, control };

class Bpe {
 public:
  // kinds: of every token; merging never makes a control token. Error when two merged tokens give no token.
  Bpe(const TokenizerSpec& spec, const TokenMap& vocabulary, const std::vector<TokenKind>& kinds);

  TokenId byte(unsigned char value) const { return bytes_[value]; }  // -1: no token covers it
  void append(std::string_view word, std::vector<TokenId>& out) const;

 private:
  struct Merge {  // of two tokens
    uint32_t rank = kNone;
    TokenId result = -1;
  };
  static constexpr uint32_t kNone = 0xffffffff;
  struct Slot {
    TokenId left, right, result_plus_one;  // 0: an empty slot
    uint32_t rank;
  };
  Slot& slot_of(TokenId left, TokenId right) const;
  Merge merge_of(TokenId left, TokenId right) const;
  void append_short(std::string_view word, std::vector<TokenId>& out) const;
  void append_long(std::string_view word, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> bytes_;
  Buffer slots_;
  size_t shift_ = 0, mask_ = 0;
};

}  // namespace sigma
