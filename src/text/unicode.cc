#include "text/unicode.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace sigma::unicode {
namespace {

constexpr unsigned kNfcRelevant = 8;

// Hangul syllables are composed by arithmetic (Unicode, section 3.12).
constexpr uint32_t kHangulBase = 0xac00, kHangulCount = 11172;
constexpr uint32_t kLeadBase = 0x1100, kLeadCount = 19, kVowelBase = 0x1161, kVowelCount = 21;
constexpr uint32_t kTailBase = 0x11a7, kTailCount = 28;  // the first tail is "none"

struct Mark {
  uint32_t code;
  uint8_t combining_class;
};

uint8_t combining_class(uint32_t code) {
  const auto* end = kCombining + kCombiningCount;
  const auto* range =
      std::lower_bound(kCombining, end, code, [](const CombiningRange& r, uint32_t c) { return r.last < c; });
  return range != end && range->first <= code ? range->combining_class : 0;
}

void decompose(std::vector<Mark>& out, uint32_t code) {
  if (code - kHangulBase < kHangulCount) {
    const uint32_t s = code - kHangulBase, tail = s % kTailCount;
    out.push_back({kLeadBase + s / (kVowelCount * kTailCount), 0});
    out.push_back({kVowelBase + s % (kVowelCount * kTailCount) / kTailCount, 0});
    if (tail != 0) out.push_back({kTailBase + tail, 0});
    return;
  }
  const auto* end = kDecompositions + kDecompositionCount;
  const auto* found =
      std::lower_bound(kDecompositions, end, code, [](const Decomposition& d, uint32_t c) { return d.composite < c; });
  if (found == end || found->composite != code) {
    out.push_back({code, combining_class(code)});
    return;
  }
  decompose(out, found->first);
  if (found->second != 0) decompose(out, found->second);
}

// 0 when the two do not compose.
uint32_t compose(uint32_t first, uint32_t second) {
  if (first - kLeadBase < kLeadCount && second - kVowelBase < kVowelCount) {
    return kHangulBase + ((first - kLeadBase) * kVowelCount + (second - kVowelBase)) * kTailCount;
  }
  if (first - kHangulBase < kHangulCount && (first - kHangulBase) % kTailCount == 0 && second > kTailBase &&
      second - kTailBase < kTailCount) {
    return first + (second - kTailBase);
  }
  const auto key = [](uint32_t a, uint32_t b) { return static_cast<uint64_t>(a) << 32 | b; };
  const auto* end = kCompositions + kCompositionCount;
  const auto* found = std::lower_bound(kCompositions, end, key(first, second),
                                       [&](const Decomposition& d, uint64_t k) { return key(d.first, d.second) < k; });
  return found != end && found->first == first && found->second == second ? found->composite : 0;
}

// A stretch that does not interact with its neighbours, in place: canonical order, then composition.
void compose_stretch(std::vector<Mark>& marks) {
  for (auto it = marks.begin(); it != marks.end();) {
    if (it->combining_class == 0) {
      ++it;
      continue;
    }
    const auto run_end = std::find_if(it, marks.end(), [](const Mark& m) { return m.combining_class == 0; });
    std::stable_sort(it, run_end, [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    it = run_end;
  }
  size_t kept = 0, starter = SIZE_MAX;
  int last_class = -1;  // of what stands between the starter and here; -1: nothing
  for (const Mark mark : marks) {
    if (starter != SIZE_MAX && last_class < static_cast<int>(mark.combining_class)) {
      if (const uint32_t composite = compose(marks[starter].code, mark.code)) {
        marks[starter].code = composite;
        continue;
      }
    }
    if (mark.combining_class == 0) {
      starter = kept;
      last_class = -1;
    } else {
      last_class = mark.combining_class;
    }
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

}  // namespace

CodePoint decode_multibyte(const unsigned char* p, const unsigned char* end) {
  const unsigned lead = *p;
  const int length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4) return {};
  // The second byte's range shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
  unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  uint32_t code = lead & (0x7fu >> length);
  for (int i = 1; i < length; ++i) {
    if (p + i == end) return {kInvalid, i, true};
    if (p[i] < low || p[i] > high) return {kInvalid, i, false};
    code = code << 6 | (p[i] & 0x3fu);
    low = 0x80;
    high = 0xbf;
  }
  return {code, length, false};
}

namespace {
// How many bytes of ASCII come first.
ptrdiff_t ascii_length(const unsigned char* p, const unsigned char* end) {
  const unsigned char* const begin = p;
  for (uint64_t eight; end - p >= 8; p += 8) {
    std::memcpy(&eight, p, 8);
    if ((eight & 0x8080808080808080ull) != 0) break;
  }
  while (p != end && *p < 0x80) ++p;
  return p - begin;
}
}  // namespace

bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (true) {
    p += ascii_length(p, end);
    if (p == end) return true;
    const CodePoint c = decode(p, end);
    if (c.value == kInvalid) return false;
    p += c.length;
  }
}

void append_utf8(std::string& out, uint32_t code) {
  const auto byte = [&](uint32_t b) { out += static_cast<char>(b); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xc0 | code >> 6);
    byte(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    byte(0xe0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3f));
    byte(0x80 | (code & 0x3f));
  } else {
    byte(0xf0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3f));
    byte(0x80 | (code >> 6 & 0x3f));
    byte(0x80 | (code & 0x3f));
  }
}

std::string_view normalize_nfc(std::string_view text, std::string& scratch) {
  const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = begin + text.size();
  const auto append = [&](const unsigned char* from, const unsigned char* to) {
    scratch.append(reinterpret_cast<const char*>(from), static_cast<size_t>(to - from));
  };
  const auto relevant = [](uint32_t code) { return code != kInvalid && (properties(code) & kNfcRelevant) != 0; };

  std::vector<Mark> marks;
  const unsigned char* copied = begin;    // everything before is in scratch
  const unsigned char* previous = begin;  // start of the character before p
  bool changed = false;
  for (const unsigned char* p = begin; p != end;) {
    if (const ptrdiff_t plain = ascii_length(p, end); plain > 0) {  // no character of ASCII is relevant by itself
      p += plain;
      previous = p - 1;
      continue;
    }
    const CodePoint c = decode(p, end);
    if (!relevant(c.value)) {
      previous = p;
      p += c.length;
      continue;
    }
    if (!changed) scratch.clear();
    changed = true;
    // The character before is the first that can take part, the next irrelevant one ends the stretch.
    marks.clear();
    const unsigned char* q = previous;
    if (previous != p && decode(previous, p).value == kInvalid) q = p;
    append(copied, q);
    while (q != end) {
      const CodePoint next = decode(q, end);
      if (next.value == kInvalid || (q > p && !relevant(next.value))) break;
      decompose(marks, next.value);
      q += next.length;
    }
    compose_stretch(marks);
    for (const Mark mark : marks) append_utf8(scratch, mark.code);
    copied = previous = p = q;
  }
  if (!changed) return text;
  append(copied, end);
  return scratch;
}

}  // namespace sigma::unicode
