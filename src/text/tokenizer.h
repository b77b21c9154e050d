// Byte-level BPE, exactly as the checkpoint's reference tokenizer does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sigma {

using TokenId = int32_t;

// How text is cut into words before merging.
enum class PreTokenizer : uint8_t { gpt2, smollm, llama3, qwen2 };

struct SpecialToken {
  TokenId id = 0;
  std::string text;
  bool control = true;  // "special" in tokenizer.json: left out of decoded text unless asked for
};

// What a file (tokenizer.json, GGUF metadata) says about a tokenizer.
struct TokenizerSpec {
  std::vector<std::string> tokens;                        // raw bytes (not the printable byte alphabet), by id
  std::vector<std::pair<TokenId, TokenId>> merges;        // by rank
  std::vector<SpecialToken> specials;                     // matched before pre-tokenising when special text is parsed
  PreTokenizer pre = PreTokenizer::gpt2;
  bool ignore_merges = false;                             // a word that is a token is that token (Llama 3)
  bool add_bos = false, add_eos = false;                  // as the post-processor says
  std::optional<TokenId> bos, eos;
  std::string chat_template;                              // Jinja source; empty when there is none
};

enum class Specials : uint8_t { as_text, parse };

class Tokenizer {
 public:
  // Error when the spec contradicts itself (a merge of unknown tokens, a byte that no token covers, ids out of range).
  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  int vocab_size() const;
  const TokenizerSpec& spec() const;

  // Ids of the text alone: no BOS, no EOS. as_text: the text of a special token is ordinary text (user input); parse: it
  // becomes that token (rendered templates). Any bytes are accepted; invalid UTF-8 passes through byte by byte.
  std::vector<TokenId> encode(std::string_view text, Specials specials) const;
  // encode() between the BOS and EOS that the post-processor adds; a BOS that the text already starts with (a rendered
  // template) is not added twice.
  std::vector<TokenId> encode_prompt(std::string_view text, Specials specials) const;

  // The bytes of a token; control tokens have none unless `specials` is parse.
  std::string_view token_bytes(TokenId id, Specials specials = Specials::as_text) const;
  std::string decode(const std::vector<TokenId>& ids, Specials specials = Specials::as_text) const;
  std::optional<TokenId> find(std::string_view token) const;  // by its text, specials included

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Turns a stream of token bytes into valid UTF-8: holds back the start of a character until the rest arrives.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);  // what can be shown now
  std::string finish();                      // the rest; bytes that never became a character as U+FFFD

 private:
  std::string pending_;
};

}  // namespace sigma
