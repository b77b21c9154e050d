// Stages 4 and 5: what documents are compared by, and which of them stay.
#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/file.h"
#include "corpus/evaluation.h"
#include "corpus/minhash.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/words.h"

namespace sigma::corpus {

namespace {

constexpr std::string_view kForm = "sign 1";

// What stage 4 writes of each document (.signs), beside its shingles (.shingles).
struct Sign {
  uint64_t text[2];            // of its words: 128 bits, equal for equal texts alone
  uint64_t shingles_end;       // in the part's file of shingles; they begin where those before end
  uint32_t words, evaluation;  // evaluation: the number of the file it repeats, plus one
  Bands bands;
};

std::string sign_path(const Build& build, const Part& part) { return build.options().work + "/4-signs/" + part.name; }

std::vector<std::string> evaluation_keys(const CorpusConfig& config) {
  std::vector<std::string> keys = {fmt::format("{}", config.evaluation_ngram)};
  for (const std::string& file : config.evaluation_files) keys.push_back(read_file(file));
  return keys;
}

// Which documents are one cluster; the root of each is its least number.
class Clusters {
 public:
  explicit Clusters(size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), uint32_t{0}); }
  uint32_t root(uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void unite(uint32_t a, uint32_t b) {
    a = root(a), b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<uint32_t> parent_;
};

struct TextAt {
  uint64_t text[2];
  uint32_t document;
  bool operator<(const TextAt& o) const {
    if (text[0] != o.text[0]) return text[0] < o.text[0];
    return text[1] != o.text[1] ? text[1] < o.text[1] : document < o.document;
  }
};
struct BandAt {
  uint64_t hash;
  uint32_t document;
  bool operator<(const BandAt& o) const { return hash != o.hash ? hash < o.hash : document < o.document; }
};
struct Pair {
  uint32_t a, b;
  bool operator<(const Pair& o) const { return a != o.a ? a < o.a : b < o.b; }
  bool operator==(const Pair& o) const = default;
};

// All signs and shingles of the corpus, mapped.
class Signs {
 public:
  Signs(const Build& build, const std::vector<Part>& parts) : parts_(parts) {
    for (const Part& part : parts) {
      signs_.emplace_back(sign_path(build, part) + ".signs");
      shingles_.emplace_back(sign_path(build, part) + ".shingles");
      if (signs_.back().all().size() != part.documents)
        throw Error(sign_path(build, part), "a sign of every document", "another number");
      count_ += part.documents;
    }
    if (count_ > UINT32_MAX) throw Error(build.options().work, "fewer than 2^32 documents", fmt::format("{}", count_));
  }
  size_t count() const { return count_; }
  template <class F>
  void each(const F& f) const {  // f(document, sign)
    for (size_t p = 0; p < parts_.size(); ++p) {
      uint64_t document = parts_[p].first;
      for (const Sign& sign : signs_[p].all()) f(static_cast<uint32_t>(document++), sign);
      signs_[p].release();
    }
  }
  void release() const {
    for (const auto& signs : signs_) signs.release();
    for (const auto& shingles : shingles_) shingles.release();
  }
  std::span<const uint64_t> shingles(uint32_t document) const {
    const auto after = std::upper_bound(parts_.begin(), parts_.end(), uint64_t{document},
                                        [](uint64_t d, const Part& part) { return d < part.first; });
    // The last part that begins at or before it; empty parts begin where the next one does.
    auto p = static_cast<size_t>(after - parts_.begin()) - 1;
    while (parts_[p].documents == 0) --p;
    const auto signs = signs_[p].all();
    const size_t i = document - parts_[p].first;
    const uint64_t begin = i == 0 ? 0 : signs[i - 1].shingles_end, end = signs[i].shingles_end;
    const auto all = shingles_[p].all();
    if (begin > end || end > all.size()) throw Error("4-signs/" + parts_[p].name, "shingles in order", "others");
    return all.subspan(begin, end - begin);
  }

 private:
  const std::vector<Part>& parts_;
  std::vector<Records<Sign>> signs_;
  std::vector<Records<uint64_t>> shingles_;
  size_t count_ = 0;
};

// A document and the one that stays instead.
struct Copy {
  uint32_t document, first;
};

std::string scratch_path(Build& build, const char* name, size_t number) {
  return build.folder("5-duplicates") + fmt::format("/{}{:05}", name, number);
}

void mark_same_texts(std::vector<Decision>& decisions, Build& build, const Signs& signs) {
  build.divide("same texts", std::vector<uint64_t>(build.workers()), [&](size_t range, int) {
    const std::string path = scratch_path(build, "texts", range);
    ExternalSorter<TextAt> sorter(path + ".run", build.memory_per_thread());
    signs.each([&](uint32_t document, const Sign& sign) {
      if (range_of(sign.text[0], build.workers()) == range && decisions[document].verdict == Verdict::kept)
        sorter.add({{sign.text[0], sign.text[1]}, document});
    });
    RecordWriter<Copy> copies(path);
    TextAt first{};
    bool any = false;
    sorter.finish([&](const TextAt& t) {
      if (any && t.text[0] == first.text[0] && t.text[1] == first.text[1]) {
        copies.add({t.document, first.document});
        return;
      }
      first = t;
      any = true;
    });
    copies.finish();
  });
  for (size_t range = 0; range < build.workers(); ++range) {
    const Records<Copy> copies(scratch_path(build, "texts", range));
    for (const Copy& copy : copies.all()) decisions.at(copy.document) = {Verdict::same_text, copy.first, 1};
  }
}

// Pairs that share a band, sorted: a file of each band, whose paths it returns. In a bucket of more than kAllPairs
// documents (one text with small changes, over and over) each is compared with the first kFirst only.
std::vector<std::string> find_candidates(Build& build, const Signs& signs, const std::vector<Decision>& decisions) {
  constexpr size_t kAllPairs = 64, kFirst = 4;
  std::vector<std::string> paths;
  for (size_t band = 0; band < kBands; ++band) paths.push_back(scratch_path(build, "band", band));
  build.divide("near duplicates", std::vector<uint64_t>(kBands), [&](size_t band, int) {
    ExternalSorter<BandAt> sorter(paths[band] + ".run", build.memory_per_thread() / 2);
    signs.each([&](uint32_t document, const Sign& sign) {
      if (decisions[document].verdict == Verdict::kept) sorter.add({sign.bands[band], document});
    });
    ExternalSorter<Pair> pairs(paths[band] + ".pairs", build.memory_per_thread() / 2);
    std::vector<uint32_t> bucket;
    uint64_t hash = 0;
    const auto end_bucket = [&] {
      for (size_t i = 1; i < bucket.size(); ++i) {
        const size_t most = bucket.size() <= kAllPairs ? i : std::min(i, kFirst);
        for (size_t j = 0; j < most; ++j) pairs.add({bucket[j], bucket[i]});
      }
    };
    sorter.finish([&](const BandAt& b) {
      if (b.hash != hash) {
        end_bucket();
        bucket.clear();
        hash = b.hash;
      }
      bucket.push_back(b.document);
    });
    end_bucket();
    RecordWriter<Pair> out(paths[band]);
    pairs.finish([&](const Pair& pair) { out.add(pair); });
    out.finish();
  });
  return paths;
}

// The real similarity of each pair, divided over processes and threads.
void compare(std::vector<double>& similar, Build& build, const Signs& signs, const std::vector<Pair>& pairs) {
  constexpr size_t kPairs = 64;  // of a task
  similar.assign(pairs.size(), 0);
  const auto first = static_cast<size_t>(build.rank()), processes = static_cast<size_t>(build.size());
  const size_t tasks = (pairs.size() + kPairs - 1) / kPairs, mine = (tasks + processes - 1 - first) / processes;
  std::mutex mutex;
  std::exception_ptr fault;
  build.pool().run(static_cast<int64_t>(mine), [&](int64_t task) {
    try {
      const size_t begin = (static_cast<size_t>(task) * processes + first) * kPairs;
      for (size_t i = begin; i < std::min(pairs.size(), begin + kPairs); ++i)
        similar[i] = jaccard(signs.shingles(pairs[i].a), signs.shingles(pairs[i].b));
    } catch (...) {
      const std::lock_guard lock(mutex);
      fault = std::current_exception();
    }
  });
  if (fault) std::rethrow_exception(fault);
  signs.release();
  build.sum(similar);  // each is one process's value and zeros
}

constexpr size_t kBatch = 1 << 14;  // pairs that are compared at once

struct Verified {
  uint64_t candidates = 0, compared = 0, near = 0;  // pairs; near: those that made a cluster grow
};

// Compares the candidates themselves, a batch at a time; which batch a pair is in depends on its place in the order
// alone.
Verified verify(Clusters& clusters, const std::vector<std::string>& candidates, Build& build, const Signs& signs) {
  Verified result;
  std::vector<Pair> batch;
  std::vector<double> similar;
  const auto run = [&] {
    compare(similar, build, signs, batch);
    result.compared += batch.size();
    for (size_t i = 0; i < batch.size(); ++i) {
      if (similar[i] < build.options().config.jaccard) continue;
      result.near += clusters.root(batch[i].a) != clusters.root(batch[i].b) ? 1 : 0;
      clusters.unite(batch[i].a, batch[i].b);
    }
    batch.clear();
  };
  Pair before{};
  merge_sorted<Pair>(candidates, build.options().memory / 2, [&](const Pair& pair) {
    if (result.candidates > 0 && pair == before) return;
    before = pair;
    ++result.candidates;
    if (clusters.root(pair.a) == clusters.root(pair.b)) return;
    batch.push_back(pair);
    if (batch.size() == kBatch) run();
  });
  run();
  return result;
}

void mark_near_duplicates(std::vector<Decision>& decisions, Build& build, const Signs& signs) {
  Clusters clusters(signs.count());
  const Verified verified = verify(clusters, find_candidates(build, signs, decisions), build, signs);
  // Of each cluster the longest document stays, of equally long ones the first.
  std::vector<uint32_t> words(signs.count()), keeper(signs.count());
  signs.each([&](uint32_t document, const Sign& sign) { words[document] = sign.words; });
  std::iota(keeper.begin(), keeper.end(), uint32_t{0});
  for (uint32_t d = 0; d < signs.count(); ++d) {
    uint32_t& best = keeper[clusters.root(d)];
    if (words[d] > words[best]) best = d;
  }
  std::vector<Pair> batch;
  std::vector<double> similar;
  const auto run = [&] {
    compare(similar, build, signs, batch);
    for (size_t i = 0; i < batch.size(); ++i)
      decisions[batch[i].a] = {Verdict::near_duplicate, batch[i].b, static_cast<float>(similar[i])};
    batch.clear();
  };
  for (uint32_t d = 0; d < signs.count(); ++d) {
    if (decisions[d].verdict != Verdict::kept) continue;
    const uint32_t kept = keeper[clusters.root(d)];
    if (kept != d) batch.push_back({d, kept});
    if (batch.size() == kBatch) run();
  }
  run();
  Tally& tally = build.tally("duplicates").at(0);
  tally.notes["candidate pairs"] += verified.candidates;
  tally.notes["pairs compared"] += verified.compared;
  tally.notes["pairs that are near duplicates"] += verified.near;
}

}  // namespace

void sign_stage(Build& build, std::vector<Part>& parts, const std::vector<RepeatedParagraph>& repeated) {
  build.folder("4-signs");
  const CorpusConfig& config = build.options().config;
  const EvaluationSets evaluation(config.evaluation_files, static_cast<int>(config.evaluation_ngram));
  std::string dropped;
  for (const RepeatedParagraph& p : repeated) dropped += fmt::format("{:x} {}\n", p.hash, p.first);
  std::vector<std::string> common = evaluation_keys(config);
  common.push_back(dropped);
  common.emplace_back(kForm);
  const std::string shared_key = Build::key_of(common);
  std::vector<Task> tasks;
  for (Part& part : parts) {
    const std::string clean_key = part.key;
    part.key = Build::key_of({clean_key, shared_key, fmt::format("{}", part.first)});
    const std::string path = sign_path(build, part);
    tasks.push_back({path + ".json", part.key, {path + ".signs", path + ".shingles"}});
  }
  const auto run = [&](size_t i, int) {
    const Part& part = parts[i];
    FileWriter signs(tasks[i].results[0]), shingle_file(tasks[i].results[1]);
    ParagraphFile paragraphs(build.options(), part);
    std::vector<uint64_t> words, shingles;
    uint64_t document = part.first, end = 0;
    read_documents(build.options().work + "/2-clean/" + part.name + ".jsonl.zst", [&](Document& d) {
      drop_paragraphs(d.text, paragraphs.next(), document++, repeated);
      words.clear();
      append_word_hashes(words, d.text);
      make_shingles(shingles, words);
      end += shingles.size();
      const Sign sign{{words_hash(words, 2), words_hash(words, 3)},
                      end,
                      static_cast<uint32_t>(std::min<size_t>(words.size(), UINT32_MAX)),
                      static_cast<uint32_t>(evaluation.find(words)),
                      band_hashes(shingles)};
      signs.write(std::as_bytes(std::span(&sign, 1)));
      shingle_file.write(std::as_bytes(std::span(shingles)));
    });
    shingle_file.commit();
    signs.commit();
    return Json::object();
  };
  build.perform("compare", tasks, run, [](size_t, const Json&) {});
}

std::vector<Decision> duplicate_stage(Build& build, const std::vector<Part>& parts) {
  const CorpusConfig& config = build.options().config;
  const Signs signs(build, parts);
  std::vector<Decision> decisions(signs.count());
  build.tally("duplicates");
  signs.each([&](uint32_t document, const Sign& sign) {
    if (sign.evaluation != 0)
      decisions[document] = {Verdict::contaminated, sign.evaluation - 1, 0};
    else if (sign.words < static_cast<uint64_t>(config.filters.min_words))
      decisions[document] = {Verdict::only_boilerplate, 0, 0};
  });
  mark_same_texts(decisions, build, signs);
  if (config.jaccard <= 1) mark_near_duplicates(decisions, build, signs);
  return decisions;
}

}  // namespace sigma::corpus
