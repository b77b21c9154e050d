// The stages of a corpus build, in their order. Each cuts its work into tasks whose results are files, written whole or
// not at all, beside a record of what they were made from; a task whose record still holds is not done again. So a run
// that was killed goes on where it was, and changing one rule repeats what depends on it only. Tasks depend on their
// number alone, never on threads: the same inputs give the same bytes.
//
// Several processes that see one work folder build one corpus: each does its share of the tasks of a stage, waits for
// the others, and reads what all of them left there. What they do together is what one alone would do.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "corpus/classifier.h"
#include "corpus/config.h"
#include "corpus/external_sort.h"
#include "corpus/quality.h"
#include "corpus/tally.h"
#include "net/collectives.h"
#include "text/tokenizer.h"

namespace sigma::corpus {

struct BuildOptions {
  CorpusConfig config;
  std::string work;     // everything that is written lies below it
  std::string version;  // of the program, for the manifest
  int threads = 0;
  uint64_t memory = uint64_t{512} << 20;  // for sorting
  const Tokenizer* tokenizer = nullptr;   // nullptr: no shards
  Collectives* processes = nullptr;       // that build together; nullptr: this one alone
};

// A piece of a stage: the record that tells that it is done, and what must be there for it to hold.
struct Task {
  std::string record, key;                // the record's path; what the results were made from
  std::vector<std::string> results = {};  // their paths
  uint64_t bytes = 0;                     // about how much work it is: the largest come first
};

// One file of documents of the first stages.
struct Part {
  size_t source = 0;   // of the configuration
  std::string name;    // "00012-0003": unit and part
  uint64_t first = 0;  // the number of its first document among all that were cleaned
  uint64_t documents = 0;
  std::string key;  // what it was made from
};

// What the stages share.
class Build {
 public:
  explicit Build(const BuildOptions& options);

  const BuildOptions& options() const { return options_; }
  ThreadPool& pool() { return pool_; }
  // WORK/stage, made when it is not there.
  std::string folder(const std::string& stage);
  // Does the tasks that are not done, divided over processes and threads: run(task, thread) makes the results and
  // returns what the record says of them. Then, in every process, take(task, record) for all of them, in order.
  void perform(const std::string& label, const std::vector<Task>& tasks, const std::function<Json(size_t, int)>& run,
               const std::function<void(size_t, const Json&)>& take);
  // f(task, thread) for tasks of these sizes, divided likewise; returns when all processes are done. The first fault
  // (by task) is thrown when all threads have stopped.
  void divide(const std::string& label, const std::vector<uint64_t>& bytes, const std::function<void(size_t, int)>& f);
  // Threads of all processes together: into how many pieces to cut what has no tasks by itself.
  size_t workers() const { return workers_; }
  bool first() const { return rank() == 0; }  // of the processes
  int rank() const { return processes_ == nullptr ? 0 : processes_->rank(); }
  int size() const { return processes_ == nullptr ? 1 : processes_->size(); }
  void barrier();                      // returns when all processes are here
  void sum(std::span<double> values);  // over all processes
  uint64_t memory_per_thread() const { return options_.memory / static_cast<uint64_t>(pool_.size()); }
  // Sixteen hexadecimal digits of all the texts.
  static std::string key_of(const std::vector<std::string>& texts);

  // By stage and source: the funnel.
  std::vector<std::pair<std::string, std::vector<Tally>>> tallies;
  std::vector<Tally>& tally(const std::string& stage);

 private:
  BuildOptions options_;
  Collectives* processes_;
  ThreadPool pool_;
  size_t workers_ = 1;
};

// Paragraphs that stay in one document only: hashes and the number of that document, sorted.
struct RepeatedParagraph {
  uint64_t hash, first;
  bool operator<(const RepeatedParagraph& o) const { return hash != o.hash ? hash < o.hash : first < o.first; }
};

enum class Verdict : uint8_t { kept, same_text, near_duplicate, contaminated, only_boilerplate };
struct Decision {
  Verdict verdict = Verdict::kept;
  uint64_t other = 0;  // the document that stays instead
  float similarity = 0;
};

// The classifiers of the configuration, those that have labels instead of a model trained.
class Classifiers {
 public:
  explicit Classifiers(const CorpusConfig& config) : config_(config) {}
  void add(const std::string& path) { models_.emplace_back(path); }
  // Labels a clean document: pairs of NAME and NAME_probability behind its metadata. The reason why it is left out,
  // with a note; empty: it stays.
  std::string apply(Document& document, std::string& note) const;
  bool keep(const std::string& words) const;  // whether apply() gives no reason for a document of these words
  std::string key() const;                    // what the labels depend on
  const std::string& sha256() const { return models_.back().sha256(); }

 private:
  const CorpusConfig& config_;
  std::vector<Classifier> models_;  // the first of the configuration's
};
// Documents of which one in ten is never trained on, so that labels can be judged by them.
bool is_held_out(const Document& document);

std::vector<Part> extract_stage(Build& build);
// f(document, its measures) for every document of a part, as stage 1 wrote it: kDocuments, or kWords, whose text is
// what classifiers see of it, with the fingerprint of the text that its source gave.
inline constexpr const char *kDocuments = ".jsonl.zst", *kWords = ".words.zst";
void read_measured(const Build& build, const Part& part, const char* suffix,
                   const std::function<void(Document&, const Measures&)>& f);
std::string text_fingerprint(std::string_view text);

// `about`: what the manifest says of each.
Classifiers classifier_stage(Build& build, const std::vector<Part>& parts, Json& about);
// Precision and recall of every label on the documents that a reader has labelled (config.judged). Error: not such a
// file.
Json judge(Build& build, const std::vector<Part>& parts, const Classifiers& classifiers);
void clean_stage(Build& build, std::vector<Part>& parts, const Classifiers& classifiers);
std::vector<RepeatedParagraph> paragraph_stage(Build& build, const std::vector<Part>& parts);
void sign_stage(Build& build, std::vector<Part>& parts, const std::vector<RepeatedParagraph>& repeated);
std::vector<Decision> duplicate_stage(Build& build, const std::vector<Part>& parts);
// Documents and shards; returns what the manifest says of them.
Json pack_stage(Build& build, const std::vector<Part>& parts, const std::vector<RepeatedParagraph>& repeated,
                const std::vector<Decision>& decisions);

// The hashes of the paragraphs of a part's documents, as stage 2 wrote them.
class ParagraphFile {
 public:
  ParagraphFile(const BuildOptions& options, const Part& part);
  std::span<const uint64_t> next();  // of the next document; the last one is followed by an Error

 private:
  Records<uint64_t> records_;
  std::string path_;
  size_t at_ = 0;
};

// Takes the paragraphs out of a text that stay in other documents; returns how many. `hashes`: of all its paragraphs.
uint64_t drop_paragraphs(std::string& text, std::span<const uint64_t> hashes, uint64_t document,
                         const std::vector<RepeatedParagraph>& repeated);
// Of every paragraph of 100 bytes or more, each once.
void paragraph_hashes(std::vector<uint64_t>& out, std::string_view text);

// All of it; the manifest, which is also written to WORK/manifest.json.
Json build_corpus(const BuildOptions& options);

}  // namespace sigma::corpus
