// Whether a text is worth training on: measures of one pass over it, and rules over the measures. They follow Gopher
// (arXiv 2112.11446, A1), C4 and FineWeb, with bounds for technical text: options, tables, code and addresses are its
// content, not noise.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sigma::corpus {

struct Measures {
  uint64_t bytes = 0, words = 0, lines = 0;
  double mean_word = 0;             // characters
  double letters = 0;               // share of letters in what is not white space
  double foreign = 0;               // share of letters beyond ASCII in the same
  double duplicate_lines = 0;       // share of bytes in lines that came before
  double duplicate_paragraphs = 0;  // the same of paragraphs
  double duplicate_ngrams = 0;      // share of words that lie in a 10-gram of words that came before
  double bullets = 0;               // share of lines that are list items
  double line_words = 0;            // words of a line
  double ellipses = 0;              // share of lines that end in "..."
  double longest_run = 0;           // share of bytes in the longest run without white space
  double replacement = 0;           // share of U+FFFD in the characters
  int64_t function_words = 0;       // how many of eight common English words occur
  double english = 0;               // share of the words that are among the 60 most common of English text
};

// Bounds of the rules; the names are the keys of [filters].
struct FilterConfig {
  int64_t min_words = 40, max_words = 3'000'000;
  double min_mean_word = 2.0, max_mean_word = 14;
  double min_letters = 0.3;
  double max_duplicate_lines = 0.5, max_duplicate_paragraphs = 0.5, max_duplicate_ngrams = 0.75;
  double max_bullets = 0.9;  // with fewer than 6 words a line: a list of links
  double max_ellipses = 0.3;
  double max_longest_run = 0.2;
  double max_replacement = 0.002;
  int64_t min_function_words = 1;
  double max_foreign = 0.2;
  double min_english = 0.06;  // share of the most common English words; 0: any language
};

// Scratch memory that one thread reuses from text to text.
class Measurer {
 public:
  Measures measure(std::string_view text);

 private:
  class Seen;
  void measure_lines(Measures& m, std::string_view text);
  void measure_words(Measures& m, std::string_view text);
  std::vector<uint64_t> words_, ngrams_, table_;
};

// "good" or "poor" for a text of which the rules leave no doubt, for a classifier to learn from; empty in between.
std::string_view sure_quality(const Measures& measures, const FilterConfig& config);

// The rule that refuses the text, in a few words; empty: none does.
std::string_view refusal(const Measures& measures, const FilterConfig& config);

}  // namespace sigma::corpus
