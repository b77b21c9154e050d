// How often each word comes up in texts: what a tokenizer is trained on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory.h"
#include "text/pretokenizer.h"

namespace sigma {

class WordCounts {
 public:
  // A longer word (a run of random characters, a line of dashes) says nothing about language and is left out.
  static constexpr size_t kMostBytes = 1024;

  WordCounts();
  void add(std::string_view text, WordEnd word_end);  // every word of a text
  void add(const WordCounts& other);
  size_t words() const { return count_; }  // different ones
  uint64_t left_out() const { return left_out_; }

  // Calls f(word, count) for all of them, in no order that means anything.
  template <class F>
  void for_each(const F& f) const {
    const auto* slots = slots_.as<const Slot>();
    for (size_t i = 0; i <= mask_; ++i) {
      if (slots[i].count > 0) f(std::string_view(bytes_).substr(slots[i].begin, slots[i].size), slots[i].count);
    }
  }

 private:
  struct Slot {
    uint64_t begin;  // in bytes_
    uint64_t count;  // 0: an empty slot
    uint32_t size, tag;
  };
  void add(std::string_view word, uint64_t count);
  void grow();

  std::string bytes_;
  Buffer slots_;
  size_t mask_ = 0, count_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace sigma
