#include "text/pretokenizer.h"

#include <array>

#include "text/unicode.h"

namespace sigma {
namespace {

using unicode::Class;
using Byte = unsigned char;

// Classes of ASCII; kMultibyte for the start of anything longer.
constexpr Byte kMultibyte = 0xff;
constexpr std::array<Byte, 256> kByteClass = [] {
  std::array<Byte, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    const Class ascii = letter                   ? Class::letter
                        : (c >= '0' && c <= '9') ? Class::number
                        : space                  ? Class::space
                                                 : Class::other;
    classes[static_cast<size_t>(c)] = c >= 0x80 ? kMultibyte : static_cast<Byte>(ascii);
  }
  return classes;
}();

struct Char {
  Class cls;
  int length;
};

// What a pattern takes for a number: the regex engine's \p{N}, or that and a few more (kLate).
template <bool kLate>
Char classify(const Byte* p, const Byte* end) {
  const Byte ascii = kByteClass[*p];
  if (ascii != kMultibyte) return {static_cast<Class>(ascii), 1};
  const unicode::CodePoint c = unicode::decode_multibyte(p, end);
  const Class cls = unicode::class_of(c.value);
  if (cls == Class::late_number) return {kLate ? Class::number : Class::other, c.length};
  return {cls, c.length};
}

template <bool kLate>
const Byte* run_of(Class cls, const Byte* p, const Byte* end) {
  while (p != end) {
    while (p != end && kByteClass[*p] == static_cast<Byte>(cls)) ++p;
    if (p == end || kByteClass[*p] != kMultibyte) return p;
    const Char c = classify<kLate>(p, end);
    if (c.cls != cls) return p;
    p += c.length;
  }
  return p;
}

bool is_newline(Byte c) { return c == '\r' || c == '\n'; }

// 's|'t|'re|'ve|'m|'ll|'d at an apostrophe; nullptr when there is none. Without regard to case the long s (U+017F) is
// an s, as case folding has it.
template <bool kAnyCase>
const Byte* contraction(const Byte* p, const Byte* end) {
  const auto fold = [](Byte c) -> Byte { return kAnyCase && c >= 'A' && c <= 'Z' ? static_cast<Byte>(c | 0x20) : c; };
  if (end - p < 2) return nullptr;
  const Byte a = fold(p[1]);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
  if (end - p < 3) return nullptr;
  if (kAnyCase && p[1] == 0xc5 && p[2] == 0xbf) return p + 3;
  const Byte b = fold(p[2]);
  if ((b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l')) return p + 3;
  return nullptr;
}

// \s+(?!\S)|\s+ over the spaces [p, stop): what comes next keeps the last of several before it.
const Byte* leave_last_space(const Byte* p, const Byte* stop) {
  const Byte* last = stop - 1;
  while ((*last & 0xc0) == 0x80) --last;
  return last == p ? stop : last;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// kDigitsApart: every number was cut out beforehand as a word of its own, and is an end of text to what precedes it.
template <bool kDigitsApart>
const char* gpt2_word(const char* text, const char* text_end) {
  const auto* p = reinterpret_cast<const Byte*>(text);
  const auto* end = reinterpret_cast<const Byte*>(text_end);
  const auto done = [](const Byte* q) { return reinterpret_cast<const char*>(q); };
  const Char first = classify<kDigitsApart>(p, end);
  const Byte* next = p + first.length;
  if (first.cls == Class::number) {
    return done(kDigitsApart ? next : run_of<kDigitsApart>(Class::number, next, end));
  }
  if (first.cls != Class::space) {
    if (*p == '\'') {
      if (const Byte* q = contraction<false>(p, end)) return done(q);
    }
    return done(run_of<kDigitsApart>(first.cls, next, end));
  }
  if (next == end) return done(end);
  if (*p == ' ') {
    const Char second = classify<kDigitsApart>(next, end);
    if (kDigitsApart && second.cls == Class::number) return done(next);
    if (second.cls != Class::space) return done(run_of<kDigitsApart>(second.cls, next + second.length, end));
  }
  const Byte* stop = run_of<kDigitsApart>(Class::space, next, end);
  if (stop == end || (kDigitsApart && classify<kDigitsApart>(stop, end).cls == Class::number)) return done(stop);
  return done(leave_last_space(p, stop));
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
// \s+(?!\S)|\s+
template <int kDigits>
const char* llama_word(const char* text, const char* text_end) {
  const auto* p = reinterpret_cast<const Byte*>(text);
  const auto* end = reinterpret_cast<const Byte*>(text_end);
  const auto done = [](const Byte* q) { return reinterpret_cast<const char*>(q); };
  const auto others_and_newlines = [&](const Byte* q) {
    q = run_of<false>(Class::other, q, end);
    while (q != end && is_newline(*q)) ++q;
    return done(q);
  };
  const Char first = classify<false>(p, end);
  const Byte* next = p + first.length;
  if (first.cls == Class::letter) return done(run_of<false>(Class::letter, next, end));
  if (first.cls == Class::number) {
    for (int digits = 1; digits < kDigits && next != end; ++digits) {
      const Char c = classify<false>(next, end);
      if (c.cls != Class::number) break;
      next += c.length;
    }
    return done(next);
  }
  if (*p == '\'') {
    if (const Byte* q = contraction<true>(p, end)) return done(q);
  }
  if (next == end) return done(end);
  const Char second = classify<false>(next, end);
  if (second.cls == Class::letter && !is_newline(*p)) {
    return done(run_of<false>(Class::letter, next + second.length, end));
  }
  if (first.cls == Class::other) return others_and_newlines(next);
  if (*p == ' ' && second.cls == Class::other) return others_and_newlines(next + second.length);

  const Byte* stop = run_of<false>(Class::space, next, end);
  for (const Byte* q = stop; q != p; --q) {
    if (is_newline(q[-1])) return done(q);
  }
  return done(stop == end ? stop : leave_last_space(p, stop));
}

}  // namespace

WordEnd word_end_function(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::gpt2:
      return gpt2_word<false>;
    case PreTokenizer::smollm:
      return gpt2_word<true>;
    case PreTokenizer::llama3:
      return llama_word<3>;
    case PreTokenizer::qwen2:
      return llama_word<1>;
  }
  return nullptr;
}

std::string_view pattern_of(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::gpt2:
    case PreTokenizer::smollm:
      return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
    case PreTokenizer::llama3:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    case PreTokenizer::qwen2:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  }
  return {};
}

const char* pre_tokenizer_name(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::gpt2:
      return "gpt2";
    case PreTokenizer::smollm:
      return "smollm";
    case PreTokenizer::llama3:
      return "llama3";
    case PreTokenizer::qwen2:
      return "qwen2";
  }
  return "unknown";
}

}  // namespace sigma
