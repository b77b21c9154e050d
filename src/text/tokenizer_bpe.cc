#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.h"

namespace sigma {
namespace {

constexpr size_t kShortWord = 48;  // up to here looking through all pairs beats a heap

}  // namespace

Bpe::Bpe(const TokenizerSpec& spec, const TokenMap& vocabulary, const std::vector<TokenKind>& kinds)
    : slots_(std::bit_ceil(spec.merges.size() * 3 / 2 + 2) * sizeof(Slot)) {
  for (size_t b = 0; b < 256; ++b) {
    const auto byte = static_cast<char>(b);
    bytes_[b] = vocabulary.find({&byte, 1});
  }
  mask_ = slots_.size() / sizeof(Slot) - 1;
  shift_ = 64 - static_cast<size_t>(std::bit_width(mask_));
  const auto count = static_cast<TokenId>(spec.tokens.size());
  // Most vocabularies are numbered in the order of the merges: trying the next id first saves most of the look-ups.
  size_t next = 0;
  const auto is_next = [&](const std::string& a, const std::string& b) {
    if (next >= spec.tokens.size() || kinds[next] != TokenKind::ordinary) return false;
    const std::string& token = spec.tokens[next];
    return token.size() == a.size() + b.size() && token.starts_with(a) && token.ends_with(b);
  };
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto [left, right] = spec.merges[rank];
    if (left < 0 || left >= count || right < 0 || right >= count) {
      throw Error(fmt::format("tokenizer, merge {}", rank), fmt::format("token ids below {}", count),
                  fmt::format("{} and {}", left, right));
    }
    const std::string &a = spec.tokens[static_cast<size_t>(left)], &b = spec.tokens[static_cast<size_t>(right)];
    const TokenId result = is_next(a, b) ? static_cast<TokenId>(next) : vocabulary.find_joined(a, b);
    if (result < 0) {
      throw Error(fmt::format("tokenizer, merge {}", rank), "a merge whose result is a token",
                  fmt::format("\"{}\" and \"{}\"", printable(a), printable(b)));
    }
    next = static_cast<size_t>(result) + 1;
    if (kinds[static_cast<size_t>(result)] == TokenKind::control) continue;
    slot_of(left, right) = {left, right, result + 1, static_cast<uint32_t>(rank)};
  }
}

Bpe::Slot& Bpe::slot_of(TokenId left, TokenId right) const {
  const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  auto* slots = slots_.as<Slot>();
  for (size_t i = (pair * 0x9e3779b97f4a7c15ull) >> shift_;; i = (i + 1) & mask_) {
    Slot& slot = slots[i];
    if (slot.result_plus_one == 0 || (slot.left == left && slot.right == right)) return slot;
  }
}

Bpe::Merge Bpe::merge_of(TokenId left, TokenId right) const {
  const Slot& slot = slot_of(left, right);
  if (slot.result_plus_one == 0) return {};
  return {slot.rank, slot.result_plus_one - 1};
}

void Bpe::append(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() <= kShortWord) return append_short(word, out);
  append_long(word, out);
}

void Bpe::append_short(std::string_view word, std::vector<TokenId>& out) const {
  TokenId ids[kShortWord];
  Merge merges[kShortWord];  // merges[i]: of ids[i] and ids[i + 1]
  size_t count = 0;
  for (const char c : word) {
    const TokenId id = bytes_[static_cast<unsigned char>(c)];
    if (id >= 0) ids[count++] = id;
  }
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merge_of(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNone) break;
    ids[best] = merges[best].result;
    std::copy(ids + best + 2, ids + count, ids + best + 1);
    if (best + 2 < count) std::copy(merges + best + 2, merges + count - 1, merges + best + 1);
    --count;
    if (best > 0) merges[best - 1] = merge_of(ids[best - 1], ids[best]);
    if (best + 1 < count) merges[best] = merge_of(ids[best], ids[best + 1]);
  }
  out.insert(out.end(), ids, ids + count);
}

void Bpe::append_long(std::string_view word, std::vector<TokenId>& out) const {
  constexpr auto kEnd = std::numeric_limits<uint32_t>::max();
  if (word.size() >= kEnd) throw Error("tokenizer", "words of less than 4 GiB", fmt::format("{} bytes", word.size()));
  struct Symbol {
    TokenId id;  // -1: merged into the one before
    uint32_t previous, next;
  };
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (const char c : word) {
    const TokenId id = bytes_[static_cast<unsigned char>(c)];
    const auto i = static_cast<uint32_t>(symbols.size());
    if (id >= 0) symbols.push_back({id, i - 1, i + 1});
  }
  if (symbols.empty()) return;
  symbols.front().previous = symbols.back().next = kEnd;

  std::vector<uint64_t> heap;  // rank, position; entries that a merge made stale stay until they come up
  const auto pair_at = [&](uint32_t i) { return merge_of(symbols[i].id, symbols[symbols[i].next].id); };
  const auto push = [&](uint32_t i, bool ordered) {
    const Merge merge = pair_at(i);
    if (merge.rank == kNone) return;
    heap.push_back(static_cast<uint64_t>(merge.rank) << 32 | i);
    if (ordered) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  heap.reserve(symbols.size());
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) push(i, false);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32), i = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    Symbol& symbol = symbols[i];
    if (symbol.id < 0 || symbol.next == kEnd) continue;
    const Merge merge = pair_at(i);
    if (merge.rank != rank) continue;
    Symbol& gone = symbols[symbol.next];
    symbol.id = merge.result;
    symbol.next = gone.next;
    gone.id = -1;
    if (symbol.next != kEnd) {
      symbols[symbol.next].previous = i;
      push(i, true);
    }
    if (symbol.previous != kEnd) push(symbol.previous, true);
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) out.push_back(symbol.id);
  }
}

}  // namespace sigma
