// From the bytes of a token to its id.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "text/tokenizer.h"

namespace sigma {

// A hash table over a list of tokens, which it refers to: the list must stay where it is and as it is.
class TokenMap {
 public:
  explicit TokenMap(const std::vector<std::string>& tokens);

  // Enters tokens[id]; the id that has the same bytes already, else -1.
  TokenId insert(TokenId id);
  TokenId find(std::string_view bytes) const;  // -1 when there is none
  TokenId find_joined(std::string_view left, std::string_view right) const;

 private:
  size_t slot_of(std::string_view bytes, uint32_t tag) const;  // where it is, or the empty slot where it would be
  const std::vector<std::string>* tokens_;
  Buffer slots_;  // uint64: upper half of the hash, id + 1 (0: empty)
  size_t mask_ = 0;
};

// The tokens of a spec. Where two have the same bytes the ordinary one counts, whatever special token is spelt like it;
// Error when both are ordinary, or both special.
TokenMap vocabulary_of(const TokenizerSpec& spec);

}  // namespace sigma
