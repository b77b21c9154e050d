// CORPUS.toml: what goes into a corpus and by which rules; docs/corpus.md lists every key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus/quality.h"
#include "corpus/source.h"

namespace sigma::corpus {

// A label of every document, in its metadata under `name`: by a model that is given, or by one that the build trains on
// its own documents, whose labels are then their sources' categories (where these are topics) or the quality the rules
// are sure of.
struct ClassifierConfig {
  std::string name;
  std::string model;  // a file; empty: trained on `labels`, "category" or "quality"
  std::string labels;
  std::vector<std::string> keep;  // documents of any other label are left out; empty: all stay
  double sure = 0.5;              // when the label is at least as probable as this
};

struct CorpusConfig {
  std::string path;  // of the file, for errors
  std::string name;
  uint64_t seed = 0;
  std::vector<SourceConfig> sources;
  FilterConfig filters;
  std::vector<ClassifierConfig> classifiers;
  std::string judged;  // a file of documents with labels by a reader; empty: none
  bool mask_personal = true;
  double jaccard = 0.8;  // of near duplicates; above 1: none are looked for
  int64_t paragraph_repeats =
      8;  // a paragraph in more documents than this stays in the first only; 0: stays everywhere
  std::vector<std::string> evaluation_files;
  int64_t evaluation_ngram = 12;  // words
  std::string tokenizer;          // MODEL, as the other commands take it; empty: documents only
  double validation = 0.01;       // share of the documents
  int64_t shard_tokens = int64_t{1} << 27;
};

// Relative paths are taken from the folder of the file. Error: with the file's line.
CorpusConfig read_corpus_config(const std::string& path);

// Everything that decides the bytes of the result, in one form.
Json config_json(const CorpusConfig& config);

// The language model that a [[classifier]] may name, and where `sigma corpus fetch language` puts it.
inline constexpr std::string_view kLanguageModel = "lid.176.ftz";
std::string language_model();
// Where `sigma corpus fetch debian` puts packages.
std::string debian_cache();
// The package files of a set there. Error: one that was not fetched.
std::vector<std::string> debian_set_files(const std::string& set);

}  // namespace sigma::corpus
