#include "text/word_counts.h"

#include <cstring>

#include "text/hash.h"

namespace sigma {

namespace {

constexpr size_t kFirstSlots = size_t{1} << 12;

}  // namespace

WordCounts::WordCounts() : slots_(kFirstSlots * sizeof(Slot)), mask_(kFirstSlots - 1) {}

void WordCounts::add(std::string_view text, WordEnd word_end) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const char* next = word_end(p, end);
    const auto size = static_cast<size_t>(next - p);
    if (size > kMostBytes) {
      ++left_out_;
    } else {
      add({p, size}, 1);
    }
    p = next;
  }
}

void WordCounts::add(const WordCounts& other) {
  other.for_each([this](std::string_view word, uint64_t count) { add(word, count); });
  left_out_ += other.left_out_;
}

void WordCounts::add(std::string_view word, uint64_t count) {
  const uint64_t hash = hash_bytes(word);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  auto* slots = slots_.as<Slot>();
  for (size_t i = hash >> 16 & mask_;; i = (i + 1) & mask_) {
    Slot& slot = slots[i];
    if (slot.count == 0) {
      slot = {bytes_.size(), count, static_cast<uint32_t>(word.size()), tag};
      bytes_ += word;
      if (++count_ > mask_ / 2) grow();
      return;
    }
    if (slot.tag == tag && slot.size == word.size() &&
        std::memcmp(bytes_.data() + slot.begin, word.data(), word.size()) == 0) {
      slot.count += count;
      return;
    }
  }
}

void WordCounts::grow() {
  const Buffer old = std::move(slots_);
  const size_t count = mask_ + 1;
  slots_ = Buffer(2 * old.size());
  mask_ = 2 * count - 1;
  auto* slots = slots_.as<Slot>();
  for (size_t j = 0; j < count; ++j) {
    const Slot& slot = old.as<const Slot>()[j];
    if (slot.count == 0) continue;
    size_t i = hash_bytes(std::string_view(bytes_).substr(slot.begin, slot.size)) >> 16 & mask_;
    while (slots[i].count != 0) i = (i + 1) & mask_;
    slots[i] = slot;
  }
}

}  // namespace sigma
