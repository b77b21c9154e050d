#include "corpus/config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/toml.h"
#include "corpus/debian_sets.h"

namespace sigma::corpus {

namespace fs = std::filesystem;

namespace {

// A path as the configuration has it, seen from the configuration's folder.
std::string resolve(const std::string& path, const fs::path& folder) {
  if (path.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr) return std::string(home) + path.substr(1);
  }
  return (fs::path(path).is_absolute() ? fs::path(path) : folder / path).lexically_normal().string();
}

SourceConfig read_source(TomlTable& t, const fs::path& folder) {
  SourceConfig source;
  source.kind = t.required_text("kind");
  const SourceKind& kind = source_kind(source.kind, t.where("kind"));
  source.name = t.text("name", source.kind);
  source.category = t.text("category", std::string(kind.category));
  if (!is_category(source.category)) {
    std::vector<std::string> names(std::begin(kCategories), std::end(kCategories));
    t.word("category", source.category, names);
  }
  source.licence = t.text("licence", std::string(kind.licence));
  source.url_prefix = t.text("url", "");
  if (t.has("metadata")) source.metadata = resolve(t.text("metadata", ""), folder);
  for (const std::string& path : t.texts("path")) source.paths.push_back(resolve(path, folder));
  if (source.kind == "debian" && t.has("set")) {
    const std::string set = t.word("set", "", {"small", "medium", "large"});
    const std::vector<std::string> files = debian_set_files(set);
    source.paths.insert(source.paths.end(), files.begin(), files.end());
  }
  if (source.paths.empty()) throw Error(t.where("path"), "a path of the source", "none");
  t.finish();
  return source;
}

FilterConfig read_filters(TomlTable t) {
  FilterConfig f;
  constexpr int64_t kMany = int64_t{1} << 40;
  f.min_words = t.integer("min_words", f.min_words, 0, kMany);
  f.max_words = t.integer("max_words", f.max_words, 1, kMany);
  f.min_mean_word = t.number("min_mean_word", f.min_mean_word, 0, 1000);
  f.max_mean_word = t.number("max_mean_word", f.max_mean_word, 0, 1e9);
  f.min_letters = t.number("min_letters", f.min_letters, 0, 1);
  f.max_duplicate_lines = t.number("max_duplicate_lines", f.max_duplicate_lines, 0, 1);
  f.max_duplicate_paragraphs = t.number("max_duplicate_paragraphs", f.max_duplicate_paragraphs, 0, 1);
  f.max_duplicate_ngrams = t.number("max_duplicate_ngrams", f.max_duplicate_ngrams, 0, 1);
  f.max_bullets = t.number("max_bullets", f.max_bullets, 0, 1);
  f.max_ellipses = t.number("max_ellipses", f.max_ellipses, 0, 1);
  f.max_longest_run = t.number("max_longest_run", f.max_longest_run, 0, 1);
  f.max_replacement = t.number("max_replacement", f.max_replacement, 0, 1);
  f.min_function_words = t.integer("min_function_words", f.min_function_words, 0, 8);
  f.max_foreign = t.number("max_foreign", f.max_foreign, 0, 1);
  f.min_english = t.number("min_english", f.min_english, 0, 1);
  t.finish();
  return f;
}

ClassifierConfig read_classifier(TomlTable& t, const fs::path& folder) {
  ClassifierConfig c;
  c.name = t.required_text("name");
  if (c.name.empty() ||
      !std::all_of(c.name.begin(), c.name.end(), [](char l) { return l == '_' || (l >= 'a' && l <= 'z'); }))
    throw Error(t.where("name"), "a name of small letters", '"' + printable(c.name) + '"');
  const std::string model = t.text("model", "");
  if (t.has("labels")) c.labels = t.word("labels", "", {"category", "quality"});
  if (model.empty() == c.labels.empty())
    throw Error(t.where("model"), "either model or labels", model.empty() ? "none" : "both");
  if (!model.empty()) c.model = model == kLanguageModel ? language_model() : resolve(model, folder);
  c.keep = t.texts("keep");
  c.sure = t.number("sure", c.sure, 0, 1);
  t.finish();
  return c;
}

}  // namespace

std::string language_model() { return cache_folder() + "/" + std::string(kLanguageModel); }
std::string debian_cache() { return cache_folder() + "/debian"; }

std::vector<std::string> debian_set_files(const std::string& set) {
  std::map<std::string, std::string> fetched;  // package -> file
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(debian_cache(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".deb")) fetched[name.substr(0, name.find('_'))] = entry.path().string();
  }
  std::vector<std::string> files;
  for (const std::string& package : debian_set(set)) {
    const auto found = fetched.find(package);
    if (found == fetched.end())
      throw Error(debian_cache(), fmt::format("the package {} (`sigma corpus fetch debian --set {}`)", package, set),
                  "no such file");
    files.push_back(found->second);
  }
  return files;
}

CorpusConfig read_corpus_config(const std::string& path) {
  TomlTable t = TomlTable::read(path);
  const fs::path folder = fs::absolute(path).parent_path();
  CorpusConfig c;
  c.path = path;
  c.name = t.text("name", fs::path(path).stem().string());
  c.seed = static_cast<uint64_t>(t.integer("seed", 0, 0, INT64_MAX));
  std::set<std::string> names;
  for (TomlTable& source : t.tables("source")) {
    c.sources.push_back(read_source(source, folder));
    if (!names.insert(c.sources.back().name).second)
      throw Error(source.where("name"), "sources with names of their own", "two called " + c.sources.back().name);
  }
  if (c.sources.empty()) throw Error(path, "a [[source]]", "none");
  c.filters = read_filters(t.table("filters"));
  for (TomlTable& classifier : t.tables("classifier")) {
    c.classifiers.push_back(read_classifier(classifier, folder));
    for (size_t i = 0; i + 1 < c.classifiers.size(); ++i)
      if (c.classifiers[i].name == c.classifiers.back().name)
        throw Error(classifier.where("name"), "classifiers with names of their own",
                    "two called " + c.classifiers[i].name);
  }
  if (t.has("judged")) c.judged = resolve(t.text("judged", ""), folder);
  TomlTable cleaning = t.table("cleaning");
  c.mask_personal = cleaning.boolean("mask_personal", c.mask_personal);
  cleaning.finish();
  TomlTable duplicates = t.table("duplicates");
  c.jaccard = duplicates.number("jaccard", c.jaccard, 0.3, 1.1);
  c.paragraph_repeats = duplicates.integer("paragraph_repeats", c.paragraph_repeats, 0, INT64_MAX);
  duplicates.finish();
  TomlTable evaluation = t.table("evaluation");
  for (const std::string& file : evaluation.texts("files")) c.evaluation_files.push_back(resolve(file, folder));
  c.evaluation_ngram = evaluation.integer("ngram", c.evaluation_ngram, 4, 64);
  evaluation.finish();
  TomlTable shards = t.table("shards");
  c.tokenizer = shards.text("tokenizer", "");
  c.validation = shards.number("validation", c.validation, 0, 0.5);
  c.shard_tokens = shards.integer("tokens", c.shard_tokens, 1 << 16, int64_t{1} << 40);
  shards.finish();
  t.finish();
  return c;
}

Json config_json(const CorpusConfig& c) {
  Json sources = Json::array();
  for (const SourceConfig& s : c.sources) {
    Json files = Json::array();
    for (const std::string& path : s.paths) files.push_back(fs::path(path).filename().string());
    sources.push_back({{"name", s.name},
                       {"kind", s.kind},
                       {"category", s.category},
                       {"licence", s.licence},
                       {"url", s.url_prefix},
                       {"path", files}});
  }
  Json classifiers = Json::array();
  for (const ClassifierConfig& k : c.classifiers)
    classifiers.push_back({{"name", k.name},
                           {"model", fs::path(k.model).filename().string()},
                           {"labels", k.labels},
                           {"keep", k.keep},
                           {"sure", k.sure}});
  Json evaluation = Json::array();
  for (const std::string& file : c.evaluation_files) evaluation.push_back(fs::path(file).filename().string());
  const FilterConfig& f = c.filters;
  return {{"name", c.name},
          {"seed", c.seed},
          {"source", sources},
          {"filters",
           {{"min_words", f.min_words},
            {"max_words", f.max_words},
            {"min_mean_word", f.min_mean_word},
            {"max_mean_word", f.max_mean_word},
            {"min_letters", f.min_letters},
            {"max_duplicate_lines", f.max_duplicate_lines},
            {"max_duplicate_paragraphs", f.max_duplicate_paragraphs},
            {"max_duplicate_ngrams", f.max_duplicate_ngrams},
            {"max_bullets", f.max_bullets},
            {"max_ellipses", f.max_ellipses},
            {"max_longest_run", f.max_longest_run},
            {"max_replacement", f.max_replacement},
            {"min_function_words", f.min_function_words},
            {"max_foreign", f.max_foreign},
            {"min_english", f.min_english}}},
          {"classifier", classifiers},
          {"cleaning", {{"mask_personal", c.mask_personal}}},
          {"duplicates", {{"jaccard", c.jaccard}, {"paragraph_repeats", c.paragraph_repeats}}},
          {"evaluation", {{"files", evaluation}, {"ngram", c.evaluation_ngram}}},
          {"shards", {{"tokenizer", c.tokenizer}, {"validation", c.validation}, {"tokens", c.shard_tokens}}}};
}

}  // namespace sigma::corpus
