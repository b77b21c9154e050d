#include "text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <queue>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/tokenizer_alphabet.h"

namespace sigma {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 24;

using Pair = uint64_t;  // left token in the upper half
constexpr Pair pair_of(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

// A word as tokens, which get fewer: symbols[begin .. begin + size).
struct Word {
  uint32_t begin, size;
  int64_t count;
};

// How often a pair comes up in all words, and the words that had it when they were last changed.
struct Occurrences {
  int64_t count = 0;
  uint32_t token = 0;  // whose making it last came up more often by
  std::vector<uint32_t> words;
};

// Pairs by hash.
class PairTable {
 public:
  PairTable() : slots_(kFirstSlots), mask_(kFirstSlots - 1) {}

  Occurrences& operator[](Pair pair) {
    for (size_t i = hash(pair) & mask_;; i = (i + 1) & mask_) {
      Slot& slot = slots_[i];
      if (slot.index_plus_one == 0) {
        slot = {pair, static_cast<uint32_t>(all_.size() + 1)};
        all_.emplace_back();
        if (all_.size() > mask_ / 2) grow();
        return all_.back();
      }
      if (slot.pair == pair) return all_[slot.index_plus_one - 1];
    }
  }

  template <class F>
  void for_each(const F& f) {
    for (const Slot& slot : slots_) {
      if (slot.index_plus_one != 0) f(slot.pair, all_[slot.index_plus_one - 1]);
    }
  }

 private:
  static constexpr size_t kFirstSlots = size_t{1} << 16;
  struct Slot {
    Pair pair = 0;
    uint32_t index_plus_one = 0;  // 0: an empty slot
  };
  static size_t hash(Pair pair) { return (pair ^ pair >> 29) * 0x9e3779b97f4a7c15ull >> 24; }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    std::swap(old, slots_);
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.index_plus_one == 0) continue;
      size_t i = hash(slot.pair) & mask_;
      while (slots_[i].index_plus_one != 0) i = (i + 1) & mask_;
      slots_[i] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::vector<Occurrences> all_;
  size_t mask_;
};

class Trainer {
 public:
  Trainer(const WordCounts& counts, const std::array<uint32_t, 256>& bytes) {
    words_.reserve(counts.words());
    counts.for_each([&](std::string_view word, uint64_t count) {
      if (symbols_.size() + word.size() > std::numeric_limits<uint32_t>::max())
        throw Error("tokenizer training", "less than 4 GiB of different words (a smaller sample of text)", "more");
      words_.push_back(
          {static_cast<uint32_t>(symbols_.size()), static_cast<uint32_t>(word.size()), static_cast<int64_t>(count)});
      for (const char c : word) symbols_.push_back(bytes[static_cast<unsigned char>(c)]);
    });
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const Word& word = words_[w];
      const uint32_t* s = symbols_.data() + word.begin;
      for (uint32_t i = 0; i + 1 < word.size; ++i) gain(pair_of(s[i], s[i + 1]), w);
    }
    pairs_.for_each([this](Pair pair, const Occurrences& at) { queue_.push({at.count, pair}); });
  }

  // The pair that comes up most, of several the smallest; none that comes up less than `least` times.
  std::optional<Pair> next(uint64_t least) {
    while (!queue_.empty()) {
      const Entry top = queue_.top();
      const int64_t count = pairs_[top.pair].count;
      if (static_cast<uint64_t>(top.count) < least) return std::nullopt;
      queue_.pop();
      if (count == top.count) return top.pair;
      if (count > 0) queue_.push({count, top.pair});  // it became rarer since
    }
    return std::nullopt;
  }

  void drop(Pair pair) { pairs_[pair].count = 0; }

  // Replaces a pair by a token everywhere.
  void merge(Pair pair, uint32_t token) {
    Occurrences& here = pairs_[pair];
    const std::vector<uint32_t> words = std::move(here.words);
    here.words = {};
    gained_.clear();
    for (const uint32_t w : words) merge_in(w, pair, token);
    pairs_[pair].count = 0;
    for (const Pair gained : gained_) {
      const int64_t count = pairs_[gained].count;
      if (count > 0) queue_.push({count, gained});
    }
  }

 private:
  struct Entry {
    int64_t count;
    Pair pair;
    bool operator<(const Entry& other) const { return count != other.count ? count < other.count : pair > other.pair; }
  };

  Occurrences& gain(Pair pair, uint32_t w) {
    Occurrences& at = pairs_[pair];
    at.count += words_[w].count;
    if (at.words.empty() || at.words.back() != w) at.words.push_back(w);
    return at;
  }

  void merge_in(uint32_t w, Pair pair, uint32_t token) {
    Word& word = words_[w];
    const auto left = static_cast<uint32_t>(pair >> 32), right = static_cast<uint32_t>(pair);
    uint32_t* const s = symbols_.data() + word.begin;
    const auto neighbour = [&](Pair lost, Pair made) {
      pairs_[lost].count -= word.count;
      if (std::exchange(gain(made, w).token, token) != token) gained_.push_back(made);
    };
    uint32_t out = 0;
    for (uint32_t i = 0; i < word.size;) {
      if (s[i] != left || i + 1 == word.size || s[i + 1] != right) {
        s[out++] = s[i++];
        continue;
      }
      if (out > 0) neighbour(pair_of(s[out - 1], left), pair_of(s[out - 1], token));
      if (i + 2 < word.size) neighbour(pair_of(right, s[i + 2]), pair_of(token, s[i + 2]));
      s[out++] = token;
      i += 2;
    }
    word.size = out;
  }

  std::vector<uint32_t> symbols_;
  std::vector<Word> words_;
  PairTable pairs_;
  std::priority_queue<Entry> queue_;
  std::vector<Pair> gained_;
};

// The bytes by the character that spells them.
std::array<unsigned char, 256> alphabet_order() {
  std::vector<std::pair<std::string, int>> spelt;
  for (int b = 0; b < 256; ++b) {
    const auto byte = static_cast<char>(b);
    spelt.emplace_back(alphabet_of_bytes({&byte, 1}), b);
  }
  std::sort(spelt.begin(), spelt.end());  // UTF-8 sorts as code points do
  std::array<unsigned char, 256> order{};
  for (size_t i = 0; i < 256; ++i) order[i] = static_cast<unsigned char>(spelt[i].second);
  return order;
}

void check(const BpeTraining& training) {
  const auto least = static_cast<int64_t>(256 + training.specials.size());
  if (training.vocab < least || training.vocab > kMostTokens)
    throw Error("vocabulary", fmt::format("{} (the bytes and the special tokens) to {}", least, kMostTokens),
                fmt::format("{}", training.vocab));
  std::set<std::string> seen;
  std::string bytes;
  for (const std::string& special : training.specials) {
    if (special.empty() || (bytes_of_alphabet(special, bytes) && bytes.size() == 1))
      throw Error("special tokens", "texts of more than one character", "\"" + printable(special) + "\"");
    if (!seen.insert(special).second)
      throw Error("special tokens", "each once", "\"" + printable(special) + "\" again");
  }
}

}  // namespace

TokenizerSpec train_bpe(const WordCounts& words, const BpeTraining& training,
                        const std::function<void(int64_t)>& on_progress) {
  check(training);
  TokenizerSpec spec;
  spec.pre = training.pre;
  spec.nfc = uses_nfc(training.pre);
  std::unordered_map<std::string, TokenId> ids;
  const auto add = [&](std::string bytes) {
    const auto [entry, added] = ids.emplace(std::move(bytes), static_cast<TokenId>(spec.tokens.size()));
    if (added) spec.tokens.push_back(entry->first);
    return entry->second;
  };
  for (const std::string& special : training.specials) {
    spec.specials.push_back({.id = static_cast<TokenId>(spec.tokens.size()), .text = special});
    spec.tokens.push_back(special);
  }
  std::array<uint32_t, 256> bytes{};
  for (const unsigned char b : alphabet_order())
    bytes[b] = static_cast<uint32_t>(add(std::string(1, static_cast<char>(b))));

  const std::set<std::string> special_texts(training.specials.begin(), training.specials.end());
  Trainer trainer(words, bytes);
  std::set<Pair> merged;  // a pair can come back, made of a token that is spelt in two ways
  while (static_cast<int64_t>(spec.tokens.size()) < training.vocab) {
    const std::optional<Pair> pair = trainer.next(std::max<uint64_t>(training.least, 1));
    if (!pair) break;
    const auto left = static_cast<TokenId>(*pair >> 32), right = static_cast<TokenId>(*pair);
    std::string joined = spec.tokens[static_cast<size_t>(left)] + spec.tokens[static_cast<size_t>(right)];
    if (special_texts.contains(alphabet_of_bytes(joined))) {  // a file could not tell the two apart
      trainer.drop(*pair);
      continue;
    }
    const TokenId token = add(std::move(joined));
    trainer.merge(*pair, static_cast<uint32_t>(token));
    if (merged.insert(*pair).second) spec.merges.emplace_back(left, right);
    if (spec.merges.size() % 64 == 0) on_progress(static_cast<int64_t>(spec.tokens.size()));
  }
  return spec;
}

}  // namespace sigma
