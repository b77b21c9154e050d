// bench_corpus FOLDER: the speed of one core on the documents that a build read (FOLDER/1-extract): quality rules with
// cleaning and masking, and the signs of near duplicates. Prints the median of five turns and their spread.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "corpus/clean.h"
#include "corpus/minhash.h"
#include "corpus/quality.h"
#include "corpus/store.h"
#include "corpus/words.h"

namespace {

using namespace sigma;

constexpr size_t kMostBytes = size_t{64} << 20;
constexpr int kTurns = 5;

std::vector<std::string> read_texts(const std::string& folder) {
  std::vector<std::string> files, texts;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/1-extract"))
    if (entry.path().string().ends_with(".jsonl.zst")) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  size_t bytes = 0;
  for (const std::string& file : files) {
    if (bytes >= kMostBytes) break;
    corpus::read_documents(file, [&](corpus::Document& d) {
      bytes += d.text.size();
      texts.push_back(std::move(d.text));
    });
  }
  if (texts.empty()) throw Error(folder, "the work folder of a corpus build", "no documents");
  return texts;
}

template <class F>
void measure(const char* what, const std::vector<std::string>& texts, const F& f) {
  double bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<double>(text.size());
  std::vector<double> seconds;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::vector<std::string> copies = texts;
    const auto start = std::chrono::steady_clock::now();
    for (std::string& text : copies) f(text);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[kTurns / 2];
  std::printf("%-44s %8.1f MB/s %10.0f documents/s   (%zu documents, %.1f MB; best %.1f, worst %.1f MB/s)\n", what,
              bytes / 1e6 / median, static_cast<double>(texts.size()) / median, texts.size(), bytes / 1e6,
              bytes / 1e6 / seconds.front(), bytes / 1e6 / seconds.back());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_corpus WORK-FOLDER-OF-A-BUILD\n");
    return 2;
  }
  try {
    const std::vector<std::string> texts = read_texts(argv[1]);
    corpus::Measurer measurer;
    uint64_t refused = 0;
    measure("quality rules (measures and refusals)", texts,
            [&](std::string& text) { refused += corpus::refusal(measurer.measure(text), {}).empty() ? 0 : 1; });
    measure("cleaning (characters, lines)", texts, [](std::string& text) { corpus::clean_text(text); });
    measure("masking", texts, [](std::string& text) { corpus::mask_personal(text); });
    std::vector<uint64_t> words, shingles;
    uint64_t sum = 0;
    measure("words, shingles, 14 x 8 bands", texts, [&](std::string& text) {
      words.clear();
      corpus::append_word_hashes(words, text);
      corpus::make_shingles(shingles, words);
      sum += corpus::band_hashes(shingles)[0];
    });
    std::printf("(%llu refused; checksum %016llx)\n", static_cast<unsigned long long>(refused),
                static_cast<unsigned long long>(sum));
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_corpus: %s\n", e.what());
    return 1;
  }
  return 0;
}
