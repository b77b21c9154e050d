// Between stages 1 and 2: classifiers are trained on documents whose labels are known, to label all.
#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "corpus/stages.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kForm = "classifier 6";
constexpr size_t kMostExamples = 2000;  // of a label

uint64_t rank_of(const Document& document) { return hash_bytes(document.id, hash_bytes(document.source)); }

// Whether a category says what a text is about; the others say what kind of source it is from.
bool is_topic(std::string_view category) {
  const auto* const first = std::find(std::begin(kCategories), std::end(kCategories), "commands");
  return std::find(first, std::end(kCategories), category) != std::end(kCategories);
}

struct Ranked {
  uint64_t rank;
  Example example;
};

// Of every label the documents of the least ranks, which depend on their ids alone.
class Examples {
 public:
  bool wants(const std::string& label, uint64_t rank) const {
    const auto found = labels_.find(label);
    return found == labels_.end() || found->second.size() < kMostExamples || rank < found->second.front().rank;
  }
  void add(uint64_t rank, Example example) {
    std::vector<Ranked>& heap = labels_[example.label];  // the greatest rank first
    heap.push_back({rank, std::move(example)});
    std::push_heap(heap.begin(), heap.end(), less);
    if (heap.size() <= kMostExamples) return;
    std::pop_heap(heap.begin(), heap.end(), less);
    heap.pop_back();
  }
  Json counts() const {
    Json out = Json::object();
    for (const auto& [label, heap] : labels_) out[label] = heap.size();
    return out;
  }
  // All of them, the labels mixed.
  std::vector<Example> take() {
    std::vector<Ranked> all;
    for (auto& [label, heap] : labels_) std::move(heap.begin(), heap.end(), std::back_inserter(all));
    std::sort(all.begin(), all.end(), less);
    std::vector<Example> out;
    out.reserve(all.size());
    for (Ranked& r : all) out.push_back(std::move(r.example));
    return out;
  }

 private:
  static bool less(const Ranked& a, const Ranked& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.example.words < b.example.words;
  }
  std::map<std::string, std::vector<Ranked>> labels_;
};

Json train(Build& build, const std::vector<Part>& parts, const Classifiers& before, const ClassifierConfig& config,
           const std::string& path) {
  Examples examples;
  const FilterConfig& filters = build.options().config.filters;
  for (const Part& part : parts)
    read_measured(build, part, kWords, [&](Document& d, const Measures& measures) {
      if (is_held_out(d)) return;
      const uint64_t rank = rank_of(d);
      std::string label = d.category;
      if (config.labels == "category" && (!is_topic(label) || !examples.wants(label, rank))) return;
      if (config.labels == "quality") {
        label = sure_quality(measures, filters);
        if (label.empty() || !examples.wants(label, rank)) return;
      } else if (!refusal(measures, filters).empty()) {
        return;
      }
      if (before.keep(d.text)) examples.add(rank, {label, std::string(cut_text(d.text, kTrainedBytes))});
    });
  Json counts = examples.counts();
  train_classifier(path, examples.take(), build.options().config.seed);
  return counts;
}

}  // namespace

bool is_held_out(const Document& document) { return mix_bits(rank_of(document)) % 10 == 0; }

namespace {
bool is_kept(const ClassifierConfig& config, const Classifier::Label& label) {
  return config.keep.empty() || label.probability < config.sure ||
         std::find(config.keep.begin(), config.keep.end(), label.name) != config.keep.end();
}
}  // namespace

bool Classifiers::keep(const std::string& words) const {
  for (size_t i = 0; i < models_.size(); ++i)
    if (!config_.classifiers[i].keep.empty() && !is_kept(config_.classifiers[i], models_[i].label(words))) return false;
  return true;
}

std::string Classifiers::apply(Document& document, std::string& note) const {
  std::string reason;
  const std::string words = classifier_words(document.text, kClassifierBytes);
  for (size_t i = 0; i < models_.size(); ++i) {
    const ClassifierConfig& config = config_.classifiers[i];
    Classifier::Label label = models_[i].label(words);
    if (!is_kept(config, label) && reason.empty()) {
      reason = config.name + ": " + label.name;
      note = fmt::format("{} {:.2f}", label.name, label.probability);
    }
    document.metadata.emplace_back(config.name, std::move(label.name));
    document.metadata.emplace_back(config.name + "_probability", fmt::format("{:.3f}", label.probability));
  }
  return reason;
}

std::string Classifiers::key() const {
  std::string key;
  for (size_t i = 0; i < models_.size(); ++i)
    key += config_json(config_).at("classifier").at(i).dump() + models_[i].sha256();
  return key;
}

Classifiers classifier_stage(Build& build, const std::vector<Part>& parts, Json& about) {
  const CorpusConfig& config = build.options().config;
  Classifiers classifiers(config);
  about = Json::array();
  for (const ClassifierConfig& c : config.classifiers) {
    std::string path = c.model;
    Json entry = {{"name", c.name}};
    if (c.model.empty()) {
      path = build.folder("classifiers") + "/" + c.name + ".bin";
      std::vector<std::string> made_from = {std::string(kForm), c.labels, classifiers.key(),
                                            std::to_string(config.seed), config_json(config).at("filters").dump()};
      for (const Part& part : parts) made_from.push_back(part.key + part.name);
      const Task task{path + ".made.json", Build::key_of(made_from), {path, path + ".json"}};
      build.perform(
          "train " + c.name, {task},
          [&](size_t, int) -> Json {
            return {{"examples", train(build, parts, classifiers, c, path)}};
          },
          [&](size_t, const Json& record) { entry["examples"] = record.at("examples"); });
      entry["labels"] =
          c.labels == "category" ? "the categories of the documents' sources" : "rules, where they are sure";
    } else {
      if (!std::filesystem::exists(path))
        throw Error(path,
                    path == language_model() ? "the language model (`sigma corpus fetch language`)" : "a classifier",
                    "no such file");
      entry["labels"] = "a model that was given";
    }
    classifiers.add(path);
    entry["sha256"] = classifiers.sha256();
    about.push_back(std::move(entry));
  }
  return classifiers;
}

}  // namespace sigma::corpus
