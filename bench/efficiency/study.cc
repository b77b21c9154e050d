#include "bench/efficiency/study.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "bench/model.h"
#include "engine/perplexity.h"
#include "model/export.h"
#include "model/hub.h"

namespace sigma::bench {

namespace {

constexpr const char* kBoth[] = {"std", "sigma"};  // the models that are also run as a whole

// --- The real model, to hold the sum of parts against ---

// Random weights without the time that good ones take: rows of the same noise, each from another place.
WeightReader quick_reader(Noise& noise) {
  return [&noise](const WeightSpec& spec) -> WeightRows {
    const int64_t cols = std::max<int64_t>(spec.cols, 1);
    if (spec.role == WeightRole::norm)
      return {Format::f32, [](int64_t, std::byte* out) { *reinterpret_cast<float*>(out) = 1.0f; }};
    const float* const values = noise.draw(1);  // the table goes on for 2^20 more
    return {Format::f32, [=](int64_t row, std::byte* out) {
              const float* from = values + row * 131 % (1 << 19);
              auto* to = reinterpret_cast<float*>(out);
              for (int64_t i = 0; i < cols; ++i) to[i] = 0.02f * from[i];
            }};
  };
}

// Through a file, as every model, which is gone from the folder as soon as it is mapped.
Model random_model(const Variant& v, const std::string& folder, const Kernels& kernels, ThreadPool& threads) {
  const std::string path = folder + "/" + v.name + ".gguf";
  Noise noise(23);
  export_model(v.config, quick_reader(noise), nullptr, path, {.type = Format::q8_0}, threads);
  Model model = load_model(path, kernels, threads);
  std::filesystem::remove(path);
  return model;
}

double forward_bytes(int64_t prefix) {
  double bytes = 1 << 30;  // scratch, the rest of the program
  for (const char* name : kBoth) {
    const Variant& v = variant(name);
    bytes += weight_bytes(v.config, Format::q8_0).total() +
             static_cast<double>(prefix + kPageTokens) * cache_bytes_per_token(v.config, Format::bf16, Format::bf16);
  }
  return bytes;
}

class Study {
 public:
  Study(const Kernels& kernels, ThreadPool& threads, const StudyOptions& options)
      : kernels_(kernels),
        threads_(threads),
        options_(options),
        file_(options.folder + "/efficiency.jsonl", request(), [&] { return header(); }),
        grid_(file_.results().grid),
        progress_("efficiency study", 0, "B") {}

  // Whether all was measured in time.
  bool run() {
    plan();
    measure_steps(1, grid_.samples, grid_.rounds);
    measure_cached();
    measure_steps(grid_.batch, grid_.batch_samples, grid_.batch_rounds);
    measure_memory();
    measure_whole();
    measure_forward();
    bench_.reset();
    measure_quality();
    return complete_;
  }
  const Results& results() const { return file_.results(); }

 private:
  Json request() const {
    const GridOptions& g = options_.grid;
    return {{"machine", options_.machine},
            {"kernels", kernels_.name},
            {"threads", threads_.size()},
            {"quick", g.quick},
            {"max_prefix", g.max_prefix},
            {"max_output", g.max_output},
            {"batch", g.batch}};
  }

  // Decided before anything is measured but the speed of memory.
  Json header() const {
    const Grid grid = make_grid(options_.grid);
    Machine machine(threads_);
    Rounds reads;
    for (int i = 0; i < 5; ++i) reads.push_back(machine.read_once());
    std::sort(reads.begin(), reads.end());
    return header_json(request(), grid, whole_output(grid, reads[2]));
  }

  // Asked before a cell that is missing is measured.
  bool time_left() {
    complete_ = complete_ && (options_.seconds == 0 || seconds() - begin_ < options_.seconds);
    return complete_;
  }
  Bench& bench() {
    if (!bench_) bench_ = std::make_unique<Bench>(kernels_, threads_, grid_);
    return *bench_;
  }

  // --- Progress: in bytes that are read, by the cost model ---

  static double step_work(int64_t prefix, int64_t batch, int rounds) {
    double bytes = 0;
    for (const Variant& v : variants())
      bytes += step_cost(v.config, {}, v.cost_case(prefix + kTokens, batch)).cache_bytes_read();
    for (const Format format : {Format::q4_0, Format::q8_0, Format::bf16})
      bytes += weight_bytes(variant("sigma").config, format).total();
    return (rounds + 1) * (bytes + 3.0 * (256 << 20));
  }
  void plan() {
    for (const int64_t prefix : grid_.samples) total_ += step_work(prefix, 1, grid_.rounds);
    for (const int64_t prefix : grid_.batch_samples) total_ += step_work(prefix, grid_.batch, grid_.batch_rounds);
    total_ += kQualityWork;
    progress_.set_total(static_cast<uint64_t>(total_));
  }
  void done(double work) { progress_.update(static_cast<uint64_t>(done_ += work)); }

  // --- Cells ---

  void measure_steps(int64_t batch, const std::vector<int64_t>& prefixes, int rounds) {
    for (const int64_t prefix : prefixes) {
      if (results().find(prefix, batch) == nullptr) {
        if (!time_left()) return;
        file_.add(to_json(bench().step(prefix, batch, rounds)));
      }
      done(step_work(prefix, batch, rounds));
    }
  }

  void measure_cached() {
    if (!results().cached && time_left())
      file_.add(to_json(bench().step(kCachedPrefix, 1, grid_.rounds, Where::caches), Where::caches));
  }

  static double resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    double pages = 0, resident = 0;
    statm >> pages >> resident;
    return resident * 4096;
  }

  void measure_memory() {
    const int64_t tokens = grid_.quick ? 4096 : 16384;
    for (const char* name : kBoth) {
      const auto& cells = results().memory;
      if (std::any_of(cells.begin(), cells.end(), [&](const MemoryCell& c) { return c.variant == name; })) continue;
      const Variant& v = variant(name);
      const double before = resident_bytes();
      KvCache cache(kernels_, v.config, {.tokens = tokens});
      for (int layer = 0; layer < v.config.layers; ++layer)
        for (const PagedView* pool : {&cache.k(layer), &cache.v(layer)})
          for (int64_t page = 0; page < cache.total_pages(); ++page)
            std::fill_n(pool->page(static_cast<PageId>(page)), pool->page_stride, std::byte{1});
      file_.add(to_json(MemoryCell{name, tokens, resident_bytes() - before}));
    }
  }

  void measure_whole() {
    if (results().whole || !time_left()) return;
    const double before = done_;
    file_.add(to_json(
        bench().whole(results().whole_output, [&](int64_t) { progress_.update(static_cast<uint64_t>(before)); })));
  }

  void measure_forward() {
    std::vector<int64_t> prefixes;
    const auto memory = static_cast<double>(available_memory());
    for (const int64_t prefix : grid_.quick ? std::vector<int64_t>{4096} : std::vector<int64_t>{4096, 16384, 32768}) {
      const auto& cells = results().forward;
      if (std::any_of(cells.begin(), cells.end(), [&](const ForwardCell& c) { return c.prefix == prefix; })) continue;
      if (prefix <= options_.grid.max_prefix && forward_bytes(prefix) <= memory) prefixes.push_back(prefix);
    }
    if (prefixes.empty() || !time_left()) return;
    std::vector<Model> models;
    std::vector<std::unique_ptr<ModelBench>> benches;
    for (const char* name : kBoth) models.push_back(random_model(variant(name), options_.folder, kernels_, threads_));
    for (const Model& model : models)
      benches.push_back(std::make_unique<ModelBench>(kernels_, threads_, model,
                                                     CacheOptions{.tokens = prefixes.back() + kPageTokens}));
    for (const int64_t prefix : prefixes) {
      if (!time_left()) return;
      ForwardCell cell{.prefix = prefix};
      const ModelCase step{.tokens = 1, .context = prefix};
      for (int round = -1; round < grid_.batch_rounds; ++round)
        for (size_t i = 0; i < models.size(); ++i) {
          const double seconds = benches[i]->measure(bench().machine(), step).seconds;
          if (round >= 0) cell.seconds[kBoth[i]].push_back(seconds);
        }
      file_.add(to_json(cell));
    }
  }

  // --- Quality ---

  struct QualityCase {
    std::string name;
    int64_t v_top;
    VWeights v_weights;
    Format k, v;
  };
  static std::vector<QualityCase> quality_cases() {
    using enum VWeights;
    std::vector<QualityCase> cases = {{"f32 caches", 0, all, Format::f32, Format::f32},
                                      {"bf16 caches", 0, all, Format::bf16, Format::bf16},
                                      {"q8 K, bf16 V", 0, all, Format::q8_0, Format::bf16},
                                      {"q8 K, q8 V", 0, all, Format::q8_0, Format::q8_0}};
    for (const int64_t top : {400, 200, 100, 50, 25})
      cases.push_back({fmt::format("v-top {}", top), top, all, Format::bf16, Format::bf16});
    for (const int64_t top : {100, 25})
      cases.push_back({fmt::format("v-top {}, renormalised", top), top, kept, Format::bf16, Format::bf16});
    cases.push_back({"q8 K, v-top 100", 100, all, Format::q8_0, Format::bf16});
    return cases;
  }

  void measure_quality() {
    if (options_.text.empty()) return;
    std::vector<QualityCase> wanted;
    for (const QualityCase& c : quality_cases()) {
      const auto& cells = results().quality;
      if (std::none_of(cells.begin(), cells.end(), [&](const QualityCell& q) { return q.name == c.name; }))
        wanted.push_back(c);
    }
    if (wanted.empty() || !time_left()) return;
    const Model model = load_model(resolve_model(options_.model), kernels_, threads_);
    std::optional<TokenizerSpec> spec = model.source.tokenizer();
    if (!spec) throw Error(options_.model, "a model with a tokenizer", "none");
    const Tokenizer tokenizer(std::move(*spec));
    const std::vector<TokenId> tokens = tokenizer.encode_prompt(read_file(options_.text), Specials::as_text);
    const int64_t window = std::min<int64_t>(2048, model.config.max_tokens);
    const int64_t windows = std::min<int64_t>(std::ssize(tokens) / window, grid_.quick ? 4 : 30);
    if (windows < 1)
      throw Error(options_.text, fmt::format("at least {} tokens", window), fmt::format("{}", tokens.size()));
    const auto losses = [&](const QualityCase& c) {
      PerplexityScorer scorer(
          kernels_, threads_, model,
          {.cache = {.k_format = c.k, .v_format = c.v, .tokens = window}, .v_top = c.v_top, .v_weights = c.v_weights});
      std::vector<double> all;
      for (int64_t w = 0; w < windows; ++w)
        scorer.score(
            std::span(tokens).subspan(static_cast<size_t>(w * window), static_cast<size_t>(window)), window / 2,
            [&](std::span<const double> nll, ConstTensorView) { all.insert(all.end(), nll.begin(), nll.end()); });
      done(kQualityWork / static_cast<double>(wanted.size() + 1));
      return all;
    };
    const std::vector<double> reference = losses(quality_cases()[0]);
    for (const QualityCase& c : wanted) {
      if (!time_left()) return;
      const std::vector<double> own = losses(c);
      Likelihood all, difference;
      for (size_t i = 0; i < own.size(); ++i) {
        all.add(own[i]);
        difference.add(own[i] - reference[i]);
      }
      file_.add(to_json(QualityCell{.name = c.name,
                                    .v_top = c.v_top,
                                    .renormalised = c.v_weights == VWeights::kept,
                                    .k_cache = std::string(format_info(c.k).name),
                                    .v_cache = std::string(format_info(c.v).name),
                                    .tokens = all.count,
                                    .perplexity = all.perplexity(),
                                    .change = 100 * std::expm1(difference.mean()),
                                    .error = 100 * difference.standard_error()}));
    }
  }

  static constexpr double kQualityWork = 1e12;
  static constexpr int64_t kCachedPrefix = 1014;  // with what is generated, 1,024 tokens: 7 MiB of all caches together

  const Kernels& kernels_;
  ThreadPool& threads_;
  const StudyOptions& options_;
  ResultsFile file_;
  Grid grid_;
  Progress progress_;
  std::unique_ptr<Bench> bench_;
  double total_ = 0, done_ = 0;
  double begin_ = seconds();
  bool complete_ = true;
};

}  // namespace

Results run_study(bool& complete, const Kernels& kernels, ThreadPool& threads, const StudyOptions& options) {
  std::error_code failed;
  std::filesystem::create_directories(options.folder, failed);
  if (failed) throw Error(options.folder, "a folder that can be made", failed.message());
  Study study(kernels, threads, options);
  complete = study.run();
  return study.results();
}

}  // namespace sigma::bench
