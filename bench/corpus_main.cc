// bench_corpus: what bench/corpus_rows.py measures of the corpus pipeline, a line of JSON each.
//
//   bench_corpus build CORPUS.toml WORK THREADS    a whole build: seconds, its processor's and mandoc's, text, memory
//   bench_corpus rules WORK TURNS                  documents that a build read: processor seconds of each turn
//   bench_corpus texts WORK FILE                   the cleaned documents of a build as plain JSON lines
//   bench_corpus synthetic DOCUMENTS FILE          so many short documents, one in ten nearly the same as another
//   bench_corpus pairs WORK PAIRS                  so many pairs of its cleaned documents: candidates beside the curve,
//                                                  the verified ones beside what the build dropped
//   bench_corpus read KIND PATH SCRATCH            one input of a kind of source: what it gave, peak memory
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "corpus/clean.h"
#include "corpus/extract.h"
#include "corpus/minhash.h"
#include "corpus/quality.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/words.h"
#include "model/checkpoint.h"
#include "model/hub.h"

namespace {

using namespace sigma;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t number(const std::string& text) {
  int64_t value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  if (value <= 0) throw Error("bench_corpus", "a number", printable(text));
  return value;
}

rusage usage(int who) {
  rusage used{};
  ::getrusage(who, &used);
  return used;
}
double cpu_seconds(const rusage& used) {
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}
int64_t peak_bytes() { return static_cast<int64_t>(usage(RUSAGE_SELF).ru_maxrss) * 1024; }

// f(document) for the documents of a stage of a build, in order.
template <class F>
void each_document(const std::string& folder, const F& f) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().string().ends_with(".jsonl.zst")) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) corpus::read_documents(file, f);
}

Json build(const std::string& config, const std::string& work, int threads) {
  corpus::BuildOptions options{.config = corpus::read_corpus_config(config), .work = work, .version = "bench"};
  options.threads = threads;
  std::optional<Tokenizer> tokenizer;
  if (!options.config.tokenizer.empty()) {
    tokenizer.emplace(load_tokenizer_spec(resolve_model(options.config.tokenizer)));
    options.tokenizer = &*tokenizer;
  }
  const double before = cpu_seconds(usage(RUSAGE_CHILDREN)), own_before = cpu_seconds(usage(RUSAGE_SELF));
  const auto start = Clock::now();
  const Json manifest = corpus::build_corpus(options);
  const double seconds = seconds_since(start);
  const double own = cpu_seconds(usage(RUSAGE_SELF)) - own_before;
  const int64_t peak = peak_bytes();
  const double mandoc = cpu_seconds(usage(RUSAGE_CHILDREN)) - before;
  uint64_t documents = 0, bytes = 0, pages = 0, page_bytes = 0, cleaned = 0;
  each_document(work + "/1-extract", [&](corpus::Document& d) {
    ++documents, bytes += d.text.size();
    for (const auto& [key, value] : d.metadata)
      if (key == "form" && value == "man") ++pages, page_bytes += d.text.size();
  });
  each_document(work + "/2-clean", [&](corpus::Document&) { ++cleaned; });
  return {{"seconds", seconds},
          {"cpu_seconds", own},
          {"mandoc_seconds", mandoc},
          {"render_seconds", corpus::man_rendering_seconds()},
          {"documents", documents},
          {"text_bytes", bytes},
          {"pages", pages},
          {"page_bytes", page_bytes},
          {"cleaned", cleaned},
          {"peak_bytes", peak},
          {"result", manifest.at("result")}};
}

Json rules(const std::string& work, int64_t turns) {
  constexpr size_t kMostBytes = size_t{48} << 20;
  std::vector<std::string> texts;
  size_t bytes = 0;
  each_document(work + "/1-extract", [&](corpus::Document& d) {
    if (bytes >= kMostBytes) return;
    bytes += d.text.size();
    texts.push_back(std::move(d.text));
  });
  if (texts.empty()) throw Error(work, "the work folder of a corpus build", "no documents");
  const auto measure = [&](const auto& f) {
    Json seconds = Json::array();
    for (int64_t turn = 0; turn < turns; ++turn) {
      std::vector<std::string> copies = texts;
      const double start = cpu_seconds(usage(RUSAGE_SELF));
      for (std::string& text : copies) f(text);
      seconds.push_back(cpu_seconds(usage(RUSAGE_SELF)) - start);
    }
    return seconds;
  };
  corpus::Measurer measurer;
  std::vector<uint64_t> words, shingles;
  uint64_t sum = 0;  // keeps the work from being left out
  Json result = {{"bytes", bytes}, {"documents", texts.size()}};
  result["quality rules"] =
      measure([&](std::string& text) { sum += corpus::refusal(measurer.measure(text), {}).size(); });
  result["cleaning"] = measure([](std::string& text) { corpus::clean_text(text); });
  result["masking"] = measure([](std::string& text) { corpus::mask_personal(text); });
  result["signs"] = measure([&](std::string& text) {
    words.clear();
    corpus::append_word_hashes(words, text);
    corpus::make_shingles(shingles, words);
    sum += corpus::band_hashes(shingles)[0];
  });
  result["checksum"] = sum;
  return result;
}

Json texts(const std::string& work, const std::string& path) {
  FileWriter out(path);
  uint64_t documents = 0, bytes = 0;
  each_document(work + "/2-clean", [&](corpus::Document& d) {
    out.write(Json({{"id", d.id}, {"text", d.text}}).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    ++documents, bytes += d.text.size();
  });
  out.commit();
  return {{"documents", documents}, {"text_bytes", bytes}};
}

Json synthetic(int64_t documents, const std::string& path) {
  static const char* const kCommon[] = {"the", "of", "and", "to", "in", "is", "that", "for", "it", "with", "be", "are"};
  FileWriter out(path);
  Rng rng(1);
  std::vector<std::string> before, words;
  for (int64_t i = 0; i < documents; ++i) {
    if (i % 10 == 9) {
      words = before;
      words[rng.below(words.size())] = "changed";
    } else {
      words.clear();
      for (int w = 0; w < 60; ++w)
        words.push_back(w % 2 == 0 ? kCommon[rng.below(std::size(kCommon))] : fmt::format("word{}", rng.below(50000)));
      before = words;
    }
    std::string text;
    for (size_t w = 0; w < words.size(); ++w) text.append(words[w]).append(w % 12 == 11 ? ".\\n" : " ");
    out.write(fmt::format("{{\"id\":\"{}\",\"text\":\"{}\"}}\n", i, text));
  }
  out.commit();
  return {{"documents", documents}};
}

// The word 5-grams of a text as texts, by code of its own.
std::set<std::string> shingle_texts(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || u >= 0x80) {
      word += static_cast<char>(u < 0x80 ? std::tolower(u) : u);
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  std::set<std::string> shingles;
  for (size_t i = 0; i + corpus::kShingleWords <= words.size(); ++i) {
    std::string shingle;
    for (size_t j = i; j < i + corpus::kShingleWords; ++j) shingle.append(words[j]) += ' ';
    shingles.insert(shingle);
  }
  return shingles;
}

double jaccard_of_texts(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::vector<std::string> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return static_cast<double>(both.size()) / static_cast<double>(a.size() + b.size() - both.size());
}

// Pairs of documents that have something in common: a rare shingle of those whose hash ends in zeros, whatever bands
// they are in. Of a build without [duplicates] paragraph_repeats, so that texts are those that were compared.
Json pairs(const std::string& work, int64_t wanted) {
  std::vector<std::string> ids, texts;
  std::vector<std::vector<uint64_t>> shingles;
  std::vector<corpus::Bands> bands;
  std::map<uint64_t, std::vector<uint32_t>> rare;
  std::map<std::pair<size_t, uint64_t>, std::vector<uint32_t>> buckets;
  std::vector<uint64_t> words;
  each_document(work + "/2-clean", [&](corpus::Document& d) {
    const auto self = static_cast<uint32_t>(ids.size());
    words.clear();
    corpus::append_word_hashes(words, d.text);
    corpus::make_shingles(shingles.emplace_back(), words);
    bands.push_back(corpus::band_hashes(shingles.back()));
    for (const uint64_t s : shingles.back())
      if (s % 32 == 0) rare[s].push_back(self);
    for (size_t band = 0; band < corpus::kBands; ++band) buckets[{band, bands.back()[band]}].push_back(self);
    ids.push_back(d.id);
    texts.push_back(std::move(d.text));
  });
  std::set<std::pair<uint32_t, uint32_t>> found;
  for (const auto& [shingle, documents] : rare)
    for (size_t i = 0; documents.size() <= 40 && i < documents.size(); ++i)
      for (size_t j = 0; j < i; ++j) found.insert({documents[j], documents[i]});
  std::vector<std::pair<uint32_t, uint32_t>> sample(found.begin(), found.end());
  Rng rng(1);
  for (size_t i = 0; i + 1 < sample.size(); ++i) std::swap(sample[i], sample[i + rng.below(sample.size() - i)]);
  if (sample.size() > static_cast<size_t>(wanted)) sample.resize(static_cast<size_t>(wanted));

  struct Bin {
    int pairs = 0, candidates = 0;
    double curve = 0;
  };
  std::array<Bin, 11> bins{};
  std::set<std::string> kept;
  each_document(work + "/documents", [&](corpus::Document& d) { kept.insert(d.id); });
  double largest_difference = 0;
  int verified = 0, both_kept = 0, both_kept_below = 0;
  for (const auto& [a, b] : sample) {
    const double j = corpus::jaccard(shingles[a], shingles[b]);
    largest_difference =
        std::max(largest_difference, std::abs(j - jaccard_of_texts(shingle_texts(texts[a]), shingle_texts(texts[b]))));
    bool candidate = false;
    for (size_t band = 0; band < corpus::kBands; ++band) candidate = candidate || bands[a][band] == bands[b][band];
    Bin& bin = bins[static_cast<size_t>(j * 10)];
    ++bin.pairs, bin.candidates += candidate ? 1 : 0;
    bin.curve += 1 - std::pow(1 - std::pow(j, corpus::kRows), corpus::kBands);
    if (candidate && j >= 0.8) {
      ++verified;
      both_kept += kept.contains(ids[a]) && kept.contains(ids[b]) ? 1 : 0;
    } else {
      both_kept_below += kept.contains(ids[a]) && kept.contains(ids[b]) ? 1 : 0;
    }
  }
  Json table = Json::array();
  for (size_t i = 0; i < bins.size(); ++i)
    if (bins[i].pairs > 0)
      table.push_back({{"from", static_cast<double>(i) / 10},
                       {"pairs", bins[i].pairs},
                       {"candidates", bins[i].candidates},
                       {"curve", bins[i].curve}});

  // Clusters by the plainest way: every pair of every bucket, compared as sets.
  std::vector<uint32_t> root(ids.size());
  std::iota(root.begin(), root.end(), 0u);
  const auto find = [&](uint32_t i) {
    while (root[i] != i) i = root[i];
    return i;
  };
  for (const auto& [key, documents] : buckets)
    for (size_t i = 0; i < documents.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        if (find(documents[i]) != find(documents[j]) &&
            corpus::jaccard(shingles[documents[i]], shingles[documents[j]]) >= 0.8)
          root[std::max(find(documents[i]), find(documents[j]))] = std::min(find(documents[i]), find(documents[j]));
  std::map<uint32_t, int> left;
  int clusters = 0, without_one = 0, with_more = 0;
  for (uint32_t i = 0; i < ids.size(); ++i) left[find(i)] += kept.contains(ids[i]) ? 1 : 0;
  for (const auto& [cluster, count] : left)
    ++clusters, without_one += count == 0 ? 1 : 0, with_more += count > 1 ? 1 : 0;
  return {{"documents", ids.size()},
          {"pairs", sample.size()},
          {"bins", table},
          {"largest_difference_of_jaccard", largest_difference},
          {"verified", verified},
          {"verified_of_which_both_stayed", both_kept},
          {"others_of_which_both_stayed", both_kept_below},
          {"clusters", clusters},
          {"clusters_of_which_none_stayed", without_one},
          {"clusters_of_which_several_stayed", with_more}};
}

class Counter : public corpus::Sink {
 public:
  void document(corpus::Document& d) override { ++documents, bytes += d.text.size(); }
  void skip(const std::string& reason, const std::string& what) override {
    skips[reason] = skips.value(reason, 0) + 1;
    if (what.empty()) ++unnamed;
  }
  uint64_t documents = 0, bytes = 0, unnamed = 0;
  Json skips = Json::object();
};

Json read(const std::string& kind, const std::string& path, const std::string& scratch) {
  const corpus::SourceConfig config{.name = "bench", .kind = kind, .paths = {path}};
  Counter sink;
  const auto start = Clock::now();
  for (corpus::Unit& unit : corpus::list_units(config)) {
    unit.scratch = scratch;
    try {
      corpus::source_kind(kind, "bench").read(config, unit, sink);
    } catch (const corpus::Stop&) {
      throw;
    } catch (const Error& e) {
      sink.skip("a damaged input", e.what());
    }
  }
  return {{"seconds", seconds_since(start)},
          {"documents", sink.documents},
          {"text_bytes", sink.bytes},
          {"skips", sink.skips},
          {"peak_bytes", peak_bytes()}};
}

Json run(const std::vector<std::string>& words) {
  const std::string& what = words.at(0);
  if (what == "build" && words.size() == 4) return build(words[1], words[2], static_cast<int>(number(words[3])));
  if (what == "rules" && words.size() == 3) return rules(words[1], number(words[2]));
  if (what == "texts" && words.size() == 3) return texts(words[1], words[2]);
  if (what == "synthetic" && words.size() == 3) return synthetic(number(words[1]), words[2]);
  if (what == "pairs" && words.size() == 3) return pairs(words[1], number(words[2]));
  if (what == "read" && words.size() == 4) return read(words[1], words[2], words[3]);
  throw Error("bench_corpus", "what its first lines say", printable(what));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_corpus build|rules|texts|synthetic|pairs|read ... (bench/corpus_main.cc)\n");
    return 2;
  }
  try {
    std::printf("%s\n", run({argv + 1, argv + argc}).dump().c_str());
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_corpus: %s\n", e.what());
    return 1;
  }
  return 0;
}
