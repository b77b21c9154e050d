// Remembers the ids of words already merged: one cache line per word, a fixed number of lines, no locks. A line that is
// being written, or was replaced while it was read, is a miss; what is found never depends on who else looks.
#pragma once

#include <atomic>
#include <cstring>
#include <span>

#include "base/memory.h"
#include "text/tokenizer.h"

namespace sigma {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 24, kMaxIds = 8;

  struct Key {
    // bytes p .. p + size of a text that ends at `end`; 1 <= size <= kMaxBytes.
    Key(const char* p, size_t size, const char* end) : length(size) {
      if (static_cast<size_t>(end - p) >= kMaxBytes) {
        std::memcpy(words, p, kMaxBytes);
        for (size_t i = 0; i < 3; ++i) words[i] &= mask(size, i);
      } else {
        std::memcpy(words, p, size);
      }
      uint64_t h = words[0] * 0x9e3779b97f4a7c15ull;
      h = (h ^ h >> 32) + words[1] * 0xc2b2ae3d27d4eb4full + words[2] * 0x165667b19e3779f9ull;
      hash = (h ^ h >> 29) * 0xff51afd7ed558ccdull;
    }
    // The part of a word of `size` bytes that lies in its i-th eight bytes (little endian or not: loads and masks are
    // both in memory order).
    static uint64_t mask(size_t size, size_t i) {
      uint64_t m;
      std::memcpy(&m, kOnes + kMaxBytes + 8 * i - size, 8);
      return m;
    }
    static constexpr unsigned char kOnes[2 * kMaxBytes + 8] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                               255, 255, 255, 255, 255, 255, 255, 255,
                                                               255, 255, 255, 255, 255, 255, 255, 255};
    uint64_t words[3] = {0, 0, 0};
    size_t length;
    uint64_t hash;
  };

  WordCache() : lines_(kLines * sizeof(Line)) {}

  // Number of ids written to ids[kMaxIds], or -1.
  int find(const Key& key, TokenId* ids) const {
    const Line& line = line_of(key);
    const uint64_t head = line.head.load(std::memory_order_acquire);
    if ((head & kWriting) != 0 || (head >> 32 & 0xff) != key.length) return -1;
    for (size_t i = 0; i < 3; ++i) {
      if (line.words[i].load(std::memory_order_acquire) != key.words[i]) return -1;
    }
    for (size_t i = 0; i < kMaxIds / 2; ++i) {
      const uint64_t two = line.ids[i].load(std::memory_order_acquire);
      std::memcpy(ids + 2 * i, &two, sizeof two);
    }
    if (line.head.load(std::memory_order_relaxed) != head) return -1;
    return static_cast<int>(head >> 40);
  }

  // ids.size() <= kMaxIds. Replaces what the line held; gives up when another thread is writing it.
  void insert(const Key& key, std::span<const TokenId> ids) {
    Line& line = line_of(key);
    uint64_t head = line.head.load(std::memory_order_relaxed);
    if ((head & kWriting) != 0 || !line.head.compare_exchange_strong(head, head | kWriting)) return;
    for (size_t i = 0; i < 3; ++i) line.words[i].store(key.words[i], std::memory_order_release);
    TokenId padded[kMaxIds] = {};
    std::copy(ids.begin(), ids.end(), padded);
    for (size_t i = 0; i < kMaxIds / 2; ++i) {
      uint64_t two;
      std::memcpy(&two, padded + 2 * i, sizeof two);
      line.ids[i].store(two, std::memory_order_release);
    }
    const uint64_t version = (head + 2) & 0xffffffff;
    line.head.store(static_cast<uint64_t>(ids.size()) << 40 | key.length << 32 | version, std::memory_order_release);
  }

 private:
  static constexpr size_t kLines = 1 << 16;
  static constexpr uint64_t kWriting = 1;
  struct alignas(64) Line {
    std::atomic<uint64_t> head;      // count (bits 40..), length of the word (32..39), version (1..31), kWriting
    std::atomic<uint64_t> words[3];  // its bytes, zero-padded
    std::atomic<uint64_t> ids[4];    // two each
  };
  static_assert(sizeof(Line) == 64);
  Line& line_of(const Key& key) const { return lines_.as<Line>()[key.hash >> 48]; }
  Buffer lines_;
};

}  // namespace sigma
