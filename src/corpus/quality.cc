#include "corpus/quality.h"

#include <algorithm>
#include <array>
#include <bit>

#include "corpus/text_util.h"
#include "corpus/words.h"

namespace sigma::corpus {

// A set of hashes in a table that is cleared at its start.
class Measurer::Seen {
 public:
  Seen(std::vector<uint64_t>& table, size_t most) : table_(table) {
    const size_t size = std::bit_ceil(std::max<size_t>(16, most * 2));
    table_.assign(size, 0);
    mask_ = size - 1;
  }
  bool insert(uint64_t hash) {  // whether it is new
    hash |= 1;                  // 0 is an empty place
    size_t at = (hash >> 20) & mask_;
    while (table_[at] != 0) {
      if (table_[at] == hash) return false;
      at = (at + 1) & mask_;
    }
    table_[at] = hash;
    return true;
  }

 private:
  std::vector<uint64_t>& table_;
  size_t mask_;
};

namespace {

enum Kind : uint8_t { kOther, kSpace, kLetter, kForeign, kInside };
// By the byte a character begins with: signs, box drawings and the like (U+0080..U+00BF, U+2000..U+2FFF) are no
// letters; kInside are the bytes that follow.
constexpr std::array<uint8_t, 256> kKinds = [] {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool foreign = c >= 0xc3 && c != 0xe2;
    table[static_cast<size_t>(c)] = space                   ? kSpace
                                    : letter                ? kLetter
                                    : foreign               ? kForeign
                                    : c >= 0x80 && c < 0xc0 ? kInside
                                                            : kOther;
  }
  return table;
}();

// The hashes of words, sorted.
template <size_t N>
std::array<uint64_t, N> hashes_of(const std::array<std::string_view, N>& words) {
  std::array<uint64_t, N> out{};
  std::vector<uint64_t> one;
  for (size_t i = 0; i < N; ++i) {
    one.clear();
    append_word_hashes(one, words[i]);
    out[i] = one.at(0);
  }
  std::sort(out.begin(), out.end());
  return out;
}

constexpr std::array<std::string_view, 8> kFunctionWords = {"the", "be", "to", "of", "and", "that", "have", "with"};
constexpr std::array<std::string_view, 60> kCommonWords = {
    "the",  "of",   "and",   "to",   "in",    "is",   "that", "for",    "it",    "as",   "was", "with",
    "be",   "by",   "on",    "not",  "he",    "this", "are",  "or",     "his",   "from", "at",  "which",
    "but",  "have", "an",    "had",  "they",  "you",  "were", "their",  "one",   "all",  "we",  "can",
    "her",  "has",  "there", "been", "if",    "more", "when", "will",   "would", "who",  "so",  "no",
    "used", "use",  "only",  "each", "other", "any",  "must", "should", "these", "its",  "may", "then"};

// Membership of a word's hash in a few dozen: a table by its lower bits.
template <size_t N>
class SmallSet {
 public:
  explicit SmallSet(const std::array<uint64_t, N>& hashes) {
    for (const uint64_t h : hashes) {
      size_t at = h & (kSize - 1);
      while (table_[at] != 0) at = (at + 1) & (kSize - 1);
      table_[at] = h;
    }
  }
  // 0: not in it; else its place plus one.
  size_t find(uint64_t h) const {
    size_t at = h & (kSize - 1);
    while (table_[at] != 0) {
      if (table_[at] == h) return at + 1;
      at = (at + 1) & (kSize - 1);
    }
    return 0;
  }
  static constexpr size_t kSize = std::bit_ceil(N * 4);

 private:
  std::array<uint64_t, kSize> table_{};
};

bool is_bullet(std::string_view line) {
  if (line.size() < 2) return false;
  if (line.starts_with("\xe2\x80\xa2")) return true;  // U+2022
  return (line[0] == '-' || line[0] == '*' || line[0] == '+') && line[1] == ' ';
}

}  // namespace

void Measurer::measure_lines(Measures& m, std::string_view text) {
  const auto count = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  Seen lines(table_, count * 2);
  uint64_t duplicate_lines = 0, duplicate_paragraphs = 0, bullets = 0, ellipses = 0;
  uint64_t paragraph = 0, paragraph_bytes = 0;
  const auto end_paragraph = [&] {
    if (paragraph_bytes > 0 && !lines.insert(mix_bits(paragraph + 1))) duplicate_paragraphs += paragraph_bytes;
    paragraph = paragraph_bytes = 0;
  };
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view line = trim(take_line(rest));
    if (line.empty()) {
      end_paragraph();
      continue;
    }
    ++m.lines;
    const uint64_t h = hash_bytes(line);
    // Short lines (braces, table rules, one option) come twice in any technical text.
    if (!lines.insert(h) && line.size() >= 20) duplicate_lines += line.size();
    paragraph = mix_bits(paragraph ^ h);
    paragraph_bytes += line.size();
    bullets += is_bullet(line) ? 1 : 0;
    // "More..." is the link that Doxygen puts behind a summary.
    ellipses += (line.ends_with("...") && !line.ends_with("More...")) || line.ends_with("\xe2\x80\xa6") ? 1 : 0;
  }
  end_paragraph();
  if (m.lines == 0) return;
  const auto bytes = static_cast<double>(text.size()), all = static_cast<double>(m.lines);
  m.duplicate_lines = static_cast<double>(duplicate_lines) / bytes;
  m.duplicate_paragraphs = static_cast<double>(duplicate_paragraphs) / bytes;
  m.bullets = static_cast<double>(bullets) / all;
  m.ellipses = static_cast<double>(ellipses) / all;
}

void Measurer::measure_words(Measures& m, std::string_view text) {
  std::array<uint64_t, 5> kinds{};
  uint64_t runs = 0, run = 0, longest = 0;
  for (const char c : text) {
    const uint8_t kind = kKinds[static_cast<unsigned char>(c)];
    ++kinds[kind];
    if (kind != kSpace) {
      ++run;
      continue;
    }
    longest = std::max(longest, run);
    runs += run > 0 ? 1 : 0;
    run = 0;
  }
  longest = std::max(longest, run);
  runs += run > 0 ? 1 : 0;
  m.words = runs;
  if (runs == 0) return;
  const auto characters = static_cast<double>(std::max<uint64_t>(1, kinds[kOther] + kinds[kLetter] + kinds[kForeign]));
  uint64_t bad = 0;
  for (size_t at = text.find("\xef\xbf\xbd"); at != std::string_view::npos; at = text.find("\xef\xbf\xbd", at + 3))
    ++bad;
  m.mean_word = characters / static_cast<double>(runs);
  m.letters = static_cast<double>(kinds[kLetter] + kinds[kForeign]) / characters;
  m.foreign = static_cast<double>(kinds[kForeign]) / characters;
  m.longest_run = static_cast<double>(longest) / static_cast<double>(text.size());
  m.replacement = static_cast<double>(bad) / static_cast<double>(text.size());
  m.line_words = static_cast<double>(runs) / static_cast<double>(std::max<uint64_t>(1, m.lines));

  static const SmallSet<8> function_words(hashes_of(kFunctionWords));
  static const SmallSet<60> common_words(hashes_of(kCommonWords));
  words_.clear();
  append_word_hashes(words_, text);
  uint64_t found = 0, common = 0;
  for (const uint64_t word : words_) {
    common += common_words.find(word) != 0 ? 1 : 0;
    if (const size_t at = function_words.find(word); at != 0) found |= uint64_t{1} << (at - 1);
  }
  m.function_words = std::popcount(found);
  if (!words_.empty()) m.english = static_cast<double>(common) / static_cast<double>(words_.size());

  constexpr int kLong = 10;
  ngrams_.clear();
  append_ngrams(ngrams_, words_, kLong);
  if (ngrams_.empty()) return;
  Seen seen(table_, ngrams_.size());
  uint64_t duplicate = 0;
  size_t counted = 0;  // words before this are counted
  for (size_t i = 0; i < ngrams_.size(); ++i) {
    if (seen.insert(ngrams_[i])) continue;
    duplicate += i + kLong - std::max(counted, i);
    counted = i + kLong;
  }
  m.duplicate_ngrams = static_cast<double>(duplicate) / static_cast<double>(words_.size());
}

Measures Measurer::measure(std::string_view text) {
  Measures m;
  m.bytes = text.size();
  measure_lines(m, text);
  measure_words(m, text);
  return m;
}

std::string_view refusal(const Measures& m, const FilterConfig& c) {
  const auto words = static_cast<int64_t>(m.words);
  if (words < c.min_words) return "too short";
  if (words > c.max_words) return "too long";
  if (m.replacement > c.max_replacement) return "unreadable characters";
  if (m.longest_run > c.max_longest_run) return "encoded data";
  if (m.english < c.min_english || m.function_words < c.min_function_words || m.foreign > c.max_foreign)
    return "not English prose";
  if (m.mean_word < c.min_mean_word || m.mean_word > c.max_mean_word) return "word length";
  if (m.letters < c.min_letters) return "few letters";
  if (m.bullets > c.max_bullets && m.line_words < 6) return "a list of links";
  if (m.ellipses > c.max_ellipses) return "lines cut short";
  if (m.duplicate_lines > c.max_duplicate_lines) return "repeated lines";
  if (m.duplicate_paragraphs > c.max_duplicate_paragraphs) return "repeated paragraphs";
  if (m.duplicate_ngrams > c.max_duplicate_ngrams) return "repeated phrases";
  return {};
}

std::string_view sure_quality(const Measures& m, const FilterConfig& c) {
  if (m.words < static_cast<uint64_t>(std::max<int64_t>(0, c.min_words))) return {};
  if (!refusal(m, c).empty() || m.english < 0.06 || m.letters < 0.5 || m.bullets > 0.7 || m.duplicate_lines > 0.3 ||
      m.duplicate_ngrams > 0.5)
    return "poor";
  const bool good = m.words >= 120 && m.english > 0.2 && m.letters > 0.7 && m.bullets < 0.3 &&
                    m.duplicate_lines < 0.1 && m.duplicate_ngrams < 0.2;
  return good ? "good" : "";
}

}  // namespace sigma::corpus
