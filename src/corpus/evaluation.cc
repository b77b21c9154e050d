#include "corpus/evaluation.h"

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "corpus/json_view.h"
#include "corpus/text_util.h"
#include "corpus/words.h"

namespace sigma::corpus {

namespace {

void visit_texts(JsonView value, const std::function<void(std::string_view)>& f) {
  if (const std::string_view text = value.as_text(); !text.empty()) f(text);
  value.elements([&](JsonView element) { visit_texts(element, f); });  // no deeper than the parser goes
  value.members([&](std::string_view, JsonView member) { visit_texts(member, f); });
}

}  // namespace

EvaluationSets::EvaluationSets(const std::vector<std::string>& files, int ngram)
    : files_(files), counts_(files.size()), ngram_(ngram) {
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string text = to_utf8(read_file(files[i]));
    const auto add_text = [&](std::string_view part) { add(i, part); };
    JsonParser parser;
    if (files[i].ends_with(".jsonl")) {
      std::string_view rest = text;
      for (int line = 1; !rest.empty(); ++line) {
        const std::string_view one = take_line(rest);
        if (is_blank(one)) continue;
        const auto root = parser.parse(one);
        if (!root) throw Error(fmt::format("{}:{}", files[i], line), "JSON", parser.fault());
        visit_texts(*root, add_text);
      }
    } else if (files[i].ends_with(".json")) {
      const auto root = parser.parse(text);
      if (!root) throw Error(files[i], "JSON", parser.fault());
      visit_texts(*root, add_text);
    } else {
      add_text(text);
    }
  }
}

void EvaluationSets::add(size_t file, std::string_view text) {
  std::vector<uint64_t> words, ngrams;
  append_word_hashes(words, text);
  append_ngrams(ngrams, words, ngram_);
  for (const uint64_t h : ngrams) counts_[file] += ngrams_.emplace(h, static_cast<uint32_t>(file)).second ? 1 : 0;
}

size_t EvaluationSets::find(const std::vector<uint64_t>& words) const {
  if (ngrams_.empty()) return 0;
  std::vector<uint64_t> ngrams;
  append_ngrams(ngrams, words, ngram_);
  for (const uint64_t h : ngrams)
    if (const auto found = ngrams_.find(h); found != ngrams_.end()) return found->second + 1;
  return 0;
}

}  // namespace sigma::corpus
