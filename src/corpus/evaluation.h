// Evaluation sets that a corpus must not contain: their word n-grams, and where texts repeat them (as for GPT-3, arXiv
// 2005.14165, appendix C, by 12 words instead of 13).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace sigma::corpus {

class EvaluationSets {
 public:
  // Text files are taken whole; of .json and .jsonl files every text in them. A text shorter than n words cannot be
  // told from common speech and is not looked for.
  EvaluationSets(const std::vector<std::string>& files, int ngram);
  bool empty() const { return ngrams_.empty(); }
  // Of the files the text repeats an n-gram of, the first one's number plus one; 0: none. words: text as word hashes.
  size_t find(const std::vector<uint64_t>& words) const;
  const std::vector<std::string>& files() const { return files_; }
  uint64_t ngrams(size_t file) const { return counts_.at(file); }

 private:
  void add(size_t file, std::string_view text);
  std::vector<std::string> files_;
  std::vector<uint64_t> counts_;
  int ngram_;
  std::unordered_map<uint64_t, uint32_t> ngrams_;  // to the first file that has it
};

}  // namespace sigma::corpus
