#include "corpus/classifier.h"

#include <fasttext/fasttext.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "corpus/text_util.h"
#include "net/digest.h"
#include "text/unicode.h"

namespace sigma::corpus {

namespace {

constexpr size_t kBytesRead = 20'000'000;  // in all: few examples are read more often
constexpr std::string_view kPrefix = "__label__";
constexpr std::string_view kLanguagesSha256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83";

}  // namespace

std::string classifier_words(std::string_view text, size_t most) {
  std::string out;
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  bool word = false;
  while (p < end && out.size() < most) {
    const unicode::CodePoint c = unicode::decode(p, end);
    const bool letter = unicode::class_of(c.value) == unicode::Class::letter;
    if (letter) {
      if (!word && !out.empty()) out += ' ';
      out.append(reinterpret_cast<const char*>(p), static_cast<size_t>(c.length));
    }
    word = letter;
    p += c.length;
  }
  return out;
}

struct Classifier::Impl {
  fasttext::FastText model;
};

Classifier::Classifier(const std::string& path) : impl_(std::make_unique<Impl>()), sha256_(sha256_of_file(path)) {
  const std::string record = path + ".json";
  const bool trained_here = std::filesystem::exists(record);
  bytes_ = trained_here ? kTrainedBytes : kClassifierBytes;
  const std::string expected = trained_here ? read_json(record).value("sha256", "") : std::string(kLanguagesSha256);
  if (sha256_ != expected)
    throw Error(path, "a classifier with the SHA-256 " + printable(expected), "one with " + sha256_);
  try {
    impl_->model.loadModel(path);
  } catch (const std::exception& e) {
    throw Error(path, "a model of fastText", e.what());
  }
}

Classifier::~Classifier() = default;
Classifier::Classifier(Classifier&&) noexcept = default;

Classifier::Label Classifier::label(std::string_view words) const {
  if (words.empty()) return {};
  std::istringstream in(std::string(cut_text(words, bytes_)) + "\n");
  std::vector<std::pair<fasttext::real, std::string>> found;
  impl_->model.predictLine(in, found, 1, 0);
  if (found.empty()) return {};
  return {found[0].second.substr(kPrefix.size()), std::min(1.0f, found[0].first)};
}

void train_classifier(const std::string& path, std::span<const Example> examples, uint64_t seed) {
  std::set<std::string> labels;
  size_t bytes = 1;
  for (const Example& example : examples) labels.insert(example.label), bytes += example.words.size();
  if (labels.size() < 2)
    throw Error(path, "examples of two labels or more to train on",
                labels.empty() ? "none" : "only \"" + *labels.begin() + '"');
  const std::string texts = path + ".scratch.examples", partial = path + ".partial";
  {
    FileWriter out(texts);
    for (const Example& example : examples) out.write(fmt::format("{}{} {}\n", kPrefix, example.label, example.words));
    out.commit();
  }
  fasttext::Args args;
  args.input = texts;
  args.output = path;
  args.model = fasttext::model_name::sup;
  args.loss = fasttext::loss_name::softmax;
  args.lr = 0.5;
  args.dim = 16;
  args.epoch = static_cast<int>(std::clamp<size_t>(kBytesRead / bytes, 5, 50));
  args.minCount = 3;
  args.minn = args.maxn = 0;
  args.wordNgrams = 2;
  args.bucket = 200'000;
  args.thread = 1;
  args.seed = static_cast<int>(seed & 0x7fffffff);
  args.verbose = 0;
  try {
    fasttext::FastText model;
    model.train(args);
    model.saveModel(partial);  // which does not say when there is no room
    const auto input = model.getInputMatrix();
    const auto least =
        sizeof(fasttext::real) * static_cast<uint64_t>(input->size(0)) * static_cast<uint64_t>(input->size(1));
    if (std::filesystem::file_size(partial) < least) throw std::runtime_error("no room");
  } catch (const std::exception& e) {
    throw Error(path, "a classifier that can be trained and written", e.what());
  }
  std::filesystem::remove(texts);
  write_file(path + ".json", Json{{"sha256", sha256_of_file(partial)}}.dump() + "\n");
  std::filesystem::rename(partial, path);
}

}  // namespace sigma::corpus
