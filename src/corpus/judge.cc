// How far the labels of classifiers, and what is left out, agree with a reader of the same documents.
#include <algorithm>
#include <array>
#include <map>

#include "base/file.h"
#include "corpus/stages.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

// A line of the file of judged documents: what it is a judgement of, and the labels by the names of classifiers.
struct Judgement {
  std::string hash;
  std::map<std::string, std::string> labels;
};

std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells;
  while (true) {
    const size_t tab = line.find('\t');
    cells.emplace_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return cells;
    line.remove_prefix(tab + 1);
  }
}

// By id. The first line names the columns: id, hash, and classifiers.
std::map<std::string, Judgement> read_judgements(const std::string& path) {
  const std::string text = read_file(path);
  std::string_view rest = text;
  const std::vector<std::string> names = cells_of(take_line(rest));
  if (names.size() < 3 || names[0] != "id" || names[1] != "hash")
    throw Error(path + ":1", "the columns id, hash and classifiers, with tabs between them", printable(names[0]));
  std::map<std::string, Judgement> out;
  for (int number = 2; !rest.empty(); ++number) {
    const std::vector<std::string> cells = cells_of(take_line(rest));
    if (cells.size() != names.size())
      throw Error(fmt::format("{}:{}", path, number), fmt::format("{} cells", names.size()),
                  std::to_string(cells.size()));
    Judgement& judgement = out[cells[0]];
    judgement.hash = cells[1];
    for (size_t i = 2; i < names.size(); ++i) judgement.labels[names[i]] = cells[i];
  }
  return out;
}

// Pairs of labels, the reader's and ours, counted.
class Agreement {
 public:
  void add(const std::string& reader, const std::string& ours) { ++pairs_[{reader, ours}], ++count_; }
  Json json() const {
    std::map<std::string, std::array<uint64_t, 3>> labels;  // both, the reader's, ours
    uint64_t right = 0;
    for (const auto& [pair, count] : pairs_) {
      labels[pair.first][1] += count;
      labels[pair.second][2] += count;
      if (pair.first != pair.second) continue;
      labels[pair.first][0] += count;
      right += count;
    }
    Json rows = Json::object();
    for (const auto& [label, n] : labels)
      rows[label] = {{"documents", n[1]},
                     {"labelled", n[2]},
                     {"right", n[0]},
                     {"precision", share(n[0], n[2])},
                     {"recall", share(n[0], n[1])}};
    return {{"documents", count_}, {"right", share(right, count_)}, {"labels", rows}};
  }

 private:
  static Json share(uint64_t part, uint64_t whole) {
    return whole == 0 ? Json(nullptr) : Json(static_cast<double>(part) / static_cast<double>(whole));
  }
  std::map<std::pair<std::string, std::string>, uint64_t> pairs_;
  uint64_t count_ = 0;
};

}  // namespace

Json judge(Build& build, const std::vector<Part>& parts, const Classifiers& classifiers) {
  const CorpusConfig& config = build.options().config;
  const std::map<std::string, Judgement> judgements = read_judgements(config.judged);
  std::map<std::string, Agreement> agreements;
  uint64_t changed = 0, found = 0;
  for (const Part& part : parts)
    read_measured(build, part, kWords, [&](Document& d, const Measures& measures) {
      const auto judged = judgements.find(d.id);
      if (judged == judgements.end()) return;
      ++found;
      if (judged->second.hash != d.metadata.at(0).second) {
        ++changed;
        return;
      }
      std::string note;
      const bool refused = !refusal(measures, config.filters).empty();
      const std::string reason = classifiers.apply(d, note);
      bool wanted = true;  // whether the reader would have kept it: by every classifier that leaves documents out
      for (const auto& [name, label] : judged->second.labels) {
        for (const ClassifierConfig& c : config.classifiers) {
          if (c.name != name) continue;
          if (c.labels == "quality") wanted = wanted && label == "good";
          if (!c.keep.empty()) wanted = wanted && std::find(c.keep.begin(), c.keep.end(), label) != c.keep.end();
        }
        for (const auto& [key, value] : d.metadata)
          if (key == name) agreements[name].add(label, value);
      }
      agreements["rules and classifiers"].add(wanted ? "kept" : "left out",
                                              refused || !reason.empty() ? "left out" : "kept");
    });
  Json out = {{"judged", judgements.size()}, {"not_there", judgements.size() - found}, {"changed", changed}};
  for (const auto& [name, agreement] : agreements) out["agreement"][name] = agreement.json();
  return out;
}

}  // namespace sigma::corpus
