// Labels for texts by linear classifiers over words and parts of words (fastText): what language, which category, how
// good. This is the one place that knows fastText.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sigma::corpus {

constexpr size_t kClassifierBytes = 500;  // of a text: what any of them sees
constexpr size_t kTrainedBytes = 300;     // what those of train_classifier() see, at training and after

// What a classifier sees of a text: its words of letters, one after another, at most so many bytes of them.
std::string classifier_words(std::string_view text, size_t most);

// A model file is read only when its SHA-256 is known: that of `lid.176.ftz` is (176 languages, by the authors of
// fastText), and train_classifier() writes MODEL.json beside each of its own. A file that is cut or changed is refused.
class Classifier {
 public:
  explicit Classifier(const std::string& path);  // Error: no such file, or of another SHA-256
  ~Classifier();
  Classifier(Classifier&&) noexcept;

  struct Label {
    std::string name;  // empty: the text has no word
    float probability = 0;
  };
  // Of classifier_words(), of which one of our training reads kTrainedBytes; any number of threads at the same time.
  Label label(std::string_view words) const;
  const std::string& sha256() const { return sha256_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string sha256_;
  size_t bytes_;  // that it reads
};

struct Example {
  std::string label;  // without white space
  std::string words;  // of classifier_words()
};

// Trains on one thread: the same examples in the same order give the same file. Error: fewer than two labels, or no
// room.
void train_classifier(const std::string& path, std::span<const Example> examples, uint64_t seed);

}  // namespace sigma::corpus
