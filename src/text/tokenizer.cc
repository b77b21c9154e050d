#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_cache.h"
#include "text/tokenizer_map.h"
#include "text/tokenizer_specials.h"
#include "text/unicode.h"

namespace sigma {
namespace {

constexpr size_t kMaxSpecialBytes = 1024;  // bounds the work at each place of the text

void check_id(const std::string& what, TokenId id, size_t count) {
  if (id >= 0 && static_cast<size_t>(id) < count) return;
  throw Error("tokenizer, " + what, fmt::format("an id below {}", count), fmt::format("{}", id));
}

const TokenizerSpec& checked(const TokenizerSpec& spec) {
  const size_t count = spec.tokens.size();
  if (count == 0 || count > (1u << 30)) throw Error("tokenizer", "1 to 2^30 tokens", fmt::format("{}", count));
  if (spec.merges.size() >= (1u << 30)) throw Error("tokenizer", "fewer merges", fmt::format("{}", spec.merges.size()));
  for (const SpecialToken& special : spec.specials) {
    check_id("special token", special.id, count);
    if (special.text.empty() || special.text.size() > kMaxSpecialBytes) {
      throw Error(fmt::format("tokenizer, special token {}", special.id),
                  fmt::format("a text of 1 to {} bytes", kMaxSpecialBytes), fmt::format("{}", special.text.size()));
    }
  }
  if (spec.bos) check_id("beginning of sequence", *spec.bos, count);
  if (spec.eos) check_id("end of sequence", *spec.eos, count);
  if (spec.add_bos && !spec.bos) throw Error("tokenizer", "a beginning-of-sequence token to add", "none");
  if (spec.add_eos && !spec.eos) throw Error("tokenizer", "an end-of-sequence token to add", "none");
  return spec;
}

std::vector<std::string> texts_of(const TokenizerSpec& spec) {
  std::vector<std::string> texts;
  std::string scratch;
  for (const SpecialToken& s : spec.specials) {
    texts.emplace_back(s.normalized && spec.nfc ? unicode::normalize_nfc(s.text, scratch) : s.text);
  }
  return texts;
}

std::vector<TokenKind> kinds_of(const TokenizerSpec& spec) {
  std::vector<TokenKind> kinds(spec.tokens.size(), TokenKind::ordinary);
  for (const SpecialToken& s : spec.specials) {
    kinds[static_cast<size_t>(s.id)] = s.control ? TokenKind::control : TokenKind::special;
  }
  return kinds;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec s)
      : spec(std::move(s)),
        kinds(kinds_of(checked(spec))),
        special_texts(texts_of(spec)),
        raw_specials(spec.specials, special_texts, false),
        normalized_specials(spec.specials, special_texts, true),
        vocabulary(vocabulary_of(spec)),
        bpe(spec, vocabulary, kinds),
        word_end(word_end_function(spec.pre)) {}

  void encode_words(std::string_view text, std::vector<TokenId>& out) const;
  void merge_word(std::string_view word, std::vector<TokenId>& out) const;
  template <class Cache>
  void encode_remembered(Cache& cache, const typename Cache::Key& key, std::string_view word,
                         std::vector<TokenId>& out) const;

  bool is_control(TokenId id) const { return kinds[static_cast<size_t>(id)] == TokenKind::control; }

  TokenizerSpec spec;
  std::vector<TokenKind> kinds;  // by id
  std::vector<std::string> special_texts;
  SpecialMatcher raw_specials, normalized_specials;
  TokenMap vocabulary;
  Bpe bpe;
  WordEnd word_end;
  mutable ShortWordCache short_words{17};
  mutable LongWordCache long_words{12};
};

Tokenizer::Tokenizer(TokenizerSpec spec) : impl_(std::make_unique<Impl>(std::move(spec))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

int Tokenizer::vocab_size() const { return static_cast<int>(impl_->spec.tokens.size()); }
const TokenizerSpec& Tokenizer::spec() const { return impl_->spec; }

void Tokenizer::Impl::merge_word(std::string_view word, std::vector<TokenId>& out) const {
  if (spec.ignore_merges) {
    const TokenId whole = vocabulary.find(word);
    if (whole >= 0 && !is_control(whole)) {
      out.push_back(whole);
      return;
    }
  }
  bpe.append(word, out);
}

template <class Cache>
void Tokenizer::Impl::encode_remembered(Cache& cache, const typename Cache::Key& key, std::string_view word,
                                        std::vector<TokenId>& out) const {
  const size_t before = out.size();
  out.resize(before + Cache::kMaxIds);
  const int known = cache.find(key, out.data() + before);
  if (known >= 0) {
    out.resize(before + static_cast<size_t>(known));
    return;
  }
  out.resize(before);
  merge_word(word, out);
  const std::span<const TokenId> merged = std::span<const TokenId>(out).subspan(before);
  if (merged.size() <= Cache::kMaxIds) cache.insert(key, merged);
}

// Some words ahead, so that the entries of the cache arrive while the next words are being cut.
void Tokenizer::Impl::encode_words(std::string_view text, std::vector<TokenId>& out) const {
  constexpr size_t kAhead = 16;
  struct Word {
    std::string_view bytes;
    ShortWordCache::Key key;
  } words[kAhead];
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    size_t count = 0;
    for (; count < kAhead && p != end; ++count) {
      const char* next = word_end(p, end);
      Word& word = words[count];
      word.bytes = {p, static_cast<size_t>(next - p)};
      if (word.bytes.size() <= ShortWordCache::kMaxBytes) short_words.make_key(word.key, p, word.bytes.size(), end);
      p = next;
    }
    for (size_t i = 0; i < count; ++i) {
      const std::string_view bytes = words[i].bytes;
      if (bytes.size() == 1) {
        const TokenId id = bpe.byte(static_cast<unsigned char>(bytes[0]));
        if (id >= 0) out.push_back(id);
      } else if (bytes.size() <= ShortWordCache::kMaxBytes) {
        encode_remembered(short_words, words[i].key, bytes, out);
      } else if (bytes.size() <= LongWordCache::kMaxBytes) {
        LongWordCache::Key key;
        long_words.make_key(key, bytes.data(), bytes.size(), end);
        encode_remembered(long_words, key, bytes, out);
      } else {
        merge_word(bytes, out);
      }
    }
  }
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, Specials specials, std::span<const size_t> breaks) const {
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 8);
  const auto skip = [&](const SpecialMatcher& m) {
    return m.empty() || (specials == Specials::as_text && m.only_control());
  };
  const auto on_token = [&](TokenId id) { out.push_back(id); };
  const auto on_words = [&](std::string_view piece) { impl_->encode_words(piece, out); };
  std::string scratch;
  const auto on_raw = [&](std::string_view piece) {
    const auto begin = static_cast<size_t>(piece.data() - text.data());
    const std::string_view normal = impl_->spec.nfc ? unicode::normalize_nfc(piece, scratch) : piece;
    if (skip(impl_->normalized_specials)) return on_words(normal);
    // Where normalization may have moved a break, no control token is looked for.
    const auto next_break = std::upper_bound(breaks.begin(), breaks.end(), begin);
    const bool broken = next_break != breaks.end() && *next_break < begin + piece.size();
    const bool moved = broken && normal.data() != piece.data();
    impl_->normalized_specials.split(normal, moved ? Specials::as_text : specials, on_words, on_token, breaks, begin);
  };
  if (skip(impl_->raw_specials)) {
    on_raw(text);
  } else {
    impl_->raw_specials.split(text, specials, on_raw, on_token, breaks, 0);
  }
  return out;
}

std::vector<TokenId> Tokenizer::encode_prompt(std::string_view text, Specials specials,
                                              std::span<const size_t> breaks) const {
  const TokenizerSpec& spec = impl_->spec;
  std::vector<TokenId> ids = encode(text, specials, breaks);
  if (spec.add_bos && (ids.empty() || ids.front() != *spec.bos)) ids.insert(ids.begin(), *spec.bos);
  if (spec.add_eos && (ids.empty() || ids.back() != *spec.eos)) ids.push_back(*spec.eos);
  return ids;
}

std::string_view Tokenizer::token_bytes(TokenId id, Specials specials) const {
  if (id < 0 || id >= vocab_size()) return {};
  if (specials == Specials::as_text && impl_->is_control(id)) return {};
  return impl_->spec.tokens[static_cast<size_t>(id)];
}

std::string Tokenizer::decode(const std::vector<TokenId>& ids, Specials specials) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id, specials);
  return text;
}

std::optional<TokenId> Tokenizer::find(std::string_view token) const {
  for (const SpecialToken& special : impl_->spec.specials) {
    if (special.text == token) return special.id;
  }
  const TokenId id = impl_->vocabulary.find(token);
  return id >= 0 ? std::optional<TokenId>(id) : std::nullopt;
}

}  // namespace sigma
