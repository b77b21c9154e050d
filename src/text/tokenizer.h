// Byte-level BPE, exactly as the checkpoint's reference tokenizer does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sigma {

using TokenId = int32_t;

// How text is cut into words before merging.
enum class PreTokenizer : uint8_t { gpt2, smollm, llama3, qwen2 };

// A token that is found in the text before it is cut into words ("added token").
struct SpecialToken {
  TokenId id = 0;
  std::string text;
  bool control = true;      // "special" in tokenizer.json: never made from user text, left out of decoded text
  bool lstrip = false;      // takes the white space before it along
  bool rstrip = false;      // and after it
  bool normalized = false;  // looked for after normalization, in what the other special tokens leave
};

// What a file (tokenizer.json, GGUF metadata) says about a tokenizer.
struct TokenizerSpec {
  std::vector<std::string> tokens;                  // raw bytes (not the printable byte alphabet), by id
  std::vector<std::pair<TokenId, TokenId>> merges;  // by rank; of a pair that comes twice the later counts
  std::vector<SpecialToken> specials;
  PreTokenizer pre = PreTokenizer::gpt2;
  bool nfc = false;                       // text is brought to Unicode form C first (Qwen 2)
  bool ignore_merges = false;             // a word that is a token is that token (Llama 3)
  bool add_bos = false, add_eos = false;  // as the post-processor says
  std::optional<TokenId> bos, eos;
  std::string chat_template;  // Jinja source; empty when there is none
};

// What happens to the text of control tokens: ordinary text (user input), or the token (rendered templates). Special
// tokens that are not control ones are found either way.
enum class Specials : uint8_t { as_text, parse };

// All functions may be called from several threads at once: encoding shares one lock-free cache of words.
class Tokenizer {
 public:
  // Error when the spec contradicts itself (a merge of unknown tokens, ids out of range, a token twice).
  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  int vocab_size() const;
  const TokenizerSpec& spec() const;

  // Ids of the text alone: no BOS, no EOS. Any bytes are accepted; invalid UTF-8 passes through byte by byte. As in the
  // reference, bytes that no token covers are left out (SmolLM2 lacks 21, most of them in no UTF-8 text).
  // breaks: offsets in order that no control token may span, so that one the user wrote stays text
  // (text/literal_text.h).
  std::vector<TokenId> encode(std::string_view text, Specials specials, std::span<const size_t> breaks = {}) const;
  // encode() between the BOS and EOS that the post-processor adds; a BOS that the text already starts with (a rendered
  // template) is not added twice.
  std::vector<TokenId> encode_prompt(std::string_view text, Specials specials,
                                     std::span<const size_t> breaks = {}) const;

  // The bytes of a token; control tokens have none unless `specials` is parse, ids that are no token have none at all
  // (a model's vocabulary may be padded).
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
