// Remembers the ids of words already merged: whole cache lines per word, a fixed number of them, no locks. An entry
// that is being written, or was replaced while it was read, is a miss; what is found never depends on who else looks.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>

#include "base/memory.h"
#include "text/tokenizer.h"

namespace sigma {

// 2^log_entries entries, two to a hash, for words of at most 8 * kWords bytes that become at most kIds ids.
template <size_t kWords, size_t kIds>
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 8 * kWords, kMaxIds = kIds;

  struct Key {
    uint64_t words[kWords];  // zero-padded
    size_t length;
    uint64_t hash;
  };

  explicit WordCache(int log_entries)
      : shift_(65 - log_entries), entries_((size_t{1} << log_entries) * sizeof(Entry)) {}

  // Of the bytes p .. p + size of a text that ends at `end`; 1 <= size <= kMaxBytes. Starts to fetch the entry.
  void make_key(Key& key, const char* p, size_t size, const char* end) const {
    key.length = size;
    if (static_cast<size_t>(end - p) >= kMaxBytes) {
      std::memcpy(key.words, p, kMaxBytes);
      for (size_t i = 0; i < kWords; ++i) key.words[i] &= mask(size, i);
    } else {
      std::fill(key.words, key.words + kWords, 0);
      std::memcpy(key.words, p, size);
    }
    uint64_t hash = 0;
    for (size_t i = 0; i < kWords; ++i) hash = (hash ^ hash >> 29) * 0x9e3779b97f4a7c15ull + key.words[i];
    key.hash = (hash ^ hash >> 32) * 0xff51afd7ed558ccdull;
    __builtin_prefetch(pair_of(key));
  }

  // Writes to ids[0 .. kMaxIds) and returns how many of them count, or -1.
  int find(const Key& key, TokenId* ids) const {
    const Entry* pair = pair_of(key);
    const int first = read(pair[0], key, ids);
    return first >= 0 ? first : read(pair[1], key, ids);
  }

  // ids.size() <= kMaxIds. Replaces the older of two entries; gives up when another thread is writing it.
  void insert(const Key& key, std::span<const TokenId> ids) {
    Entry* pair = pair_of(key);
    const auto version = [](const Entry& e) { return e.head.load(std::memory_order_relaxed) & 0xffffffff; };
    write(version(pair[1]) < version(pair[0]) ? pair[1] : pair[0], key, ids);
  }

 private:
  static constexpr uint64_t kWriting = 1;
  struct alignas(64) Entry {
    std::atomic<uint64_t> head;  // count (bits 40..), length of the word (32..39), version (1..31), kWriting
    std::atomic<uint64_t> words[kWords];
    std::atomic<uint64_t> ids[kIds / 2];  // two each
  };
  static_assert(sizeof(Entry) == 8 * (1 + kWords + kIds / 2), "whole cache lines");

  static int read(const Entry& entry, const Key& key, TokenId* ids) {
    const uint64_t head = entry.head.load(std::memory_order_acquire);
    if ((head & kWriting) != 0 || (head >> 32 & 0xff) != key.length) return -1;
    uint64_t different = 0;
    for (size_t i = 0; i < kWords; ++i) different |= entry.words[i].load(std::memory_order_acquire) ^ key.words[i];
    if (different != 0) return -1;
    for (size_t i = 0; i < kIds / 2; ++i) {
      const uint64_t two = entry.ids[i].load(std::memory_order_acquire);
      std::memcpy(ids + 2 * i, &two, sizeof two);
    }
    if (entry.head.load(std::memory_order_relaxed) != head) return -1;
    return static_cast<int>(head >> 40);
  }

  static void write(Entry& entry, const Key& key, std::span<const TokenId> ids) {
    uint64_t head = entry.head.load(std::memory_order_relaxed);
    if ((head & kWriting) != 0 || !entry.head.compare_exchange_strong(head, head | kWriting)) return;
    for (size_t i = 0; i < kWords; ++i) entry.words[i].store(key.words[i], std::memory_order_release);
    TokenId padded[kIds] = {};
    std::copy(ids.begin(), ids.end(), padded);
    for (size_t i = 0; i < kIds / 2; ++i) {
      uint64_t two;
      std::memcpy(&two, padded + 2 * i, sizeof two);
      entry.ids[i].store(two, std::memory_order_release);
    }
    const uint64_t version = (head + 2) & 0xffffffff;
    entry.head.store(static_cast<uint64_t>(ids.size()) << 40 | key.length << 32 | version, std::memory_order_release);
  }

  // The part of a word of `size` bytes that lies in its i-th eight, in memory order as the words themselves are.
  static uint64_t mask(size_t size, size_t i) {
    static constexpr auto kOnesThenZeros = [] {
      std::array<unsigned char, 2 * kMaxBytes> bytes{};
      std::fill(bytes.begin(), bytes.begin() + kMaxBytes, static_cast<unsigned char>(255));
      return bytes;
    }();
    uint64_t bits;
    std::memcpy(&bits, kOnesThenZeros.data() + kMaxBytes + 8 * i - size, 8);
    return bits;
  }

  Entry* pair_of(const Key& key) const { return entries_.template as<Entry>() + 2 * (key.hash >> shift_); }
  int shift_;
  Buffer entries_;
};

using ShortWordCache = WordCache<3, 8>;  // one cache line a word
using LongWordCache = WordCache<9, 12>;  // two

}  // namespace sigma
