// Text as a row of words for everything that compares texts: runs of letters and digits in lower case (ASCII; other
// characters count as letters as they are), each as 64 bits. Layout, punctuation and case make no difference.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sigma::corpus {

void append_word_hashes(std::vector<uint64_t>& out, std::string_view text);

// The n-grams of words: one hash for each place where n words follow; none for fewer words than n.
void append_ngrams(std::vector<uint64_t>& out, const std::vector<uint64_t>& words, int n);

// Of the whole text: its words in their order.
uint64_t words_hash(const std::vector<uint64_t>& words, uint64_t seed);

}  // namespace sigma::corpus
