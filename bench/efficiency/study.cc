#include "bench/efficiency/study.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
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
    if (asked_for("steps")) {
      measure_steps(1, grid_.samples, grid_.passes);
      measure_steps(grid_.batch, grid_.batch_samples, grid_.batch_passes);
    }
    if (asked_for("memory")) measure_memory();
    if (asked_for("whole")) measure_whole();
    if (asked_for("model")) measure_forward();
    bench_.reset();
    if (asked_for("quality")) measure_quality();
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
            {"batch", g.batch},
            {"whole_seconds", g.whole_seconds}};
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

  bool asked_for(const std::string& part) const { return options_.only.empty() || options_.only == part; }

  // Asked before a cell that is missing is measured. work: what it will take, as progress counts it; the first of a run
  // is begun in any case, or there would be no end.
  bool time_left(double work) {
    const double now = seconds() - begin_;
    const bool fits = options_.seconds == 0 || !begun_ || now + work * slowness_ < options_.seconds;
    begun_ = true;
    work_ = work;
    work_begin_ = seconds();
    return complete_ = complete_ && fits;
  }
  void add(const Json& line) {
    file_.add(line);
    if (work_ > 0) slowness_ = (seconds() - work_begin_) / work_;
    done(work_);
  }
  Bench& bench() {
    if (!bench_) bench_ = std::make_unique<Bench>(kernels_, threads_, grid_);
    return *bench_;
  }

  // --- Progress: in bytes that are read, by the cost model ---

  double step_work(int64_t prefix, int64_t batch) const {
    double bytes = 0;
    for (const Variant& v : variants())
      bytes += step_cost(v.config, {}, v.cost_case(prefix + kTokens, batch)).cache_bytes_read();
    for (const Format format : {Format::q4_0, Format::q8_0, Format::bf16})
      bytes += weight_bytes(variant("sigma").config, format).total();
    const double limits = (prefix < 16384 ? 2 : 7) * 6.0 * (256 << 20),
                 rings = 6.0 * static_cast<double>(grid_.ring_bytes);
    return (grid_.rounds + 1) * (bytes + limits) + rings + 2 * bytes;
  }
  // Of one part of the whole generation, with the samples beside.
  double whole_work() const {
    double bytes = 0;
    for (const char* name : kBoth) {
      const Variant& v = variant(name);
      bytes += 1.3 * step_cost(v.config, {}, v.cost_case(results().whole_output / 2, 1)).cache_bytes_read() +
               weight_bytes(v.config, Format::q8_0).augmented_q;
    }
    return bytes * static_cast<double>(results().whole_output) / kWholeParts;
  }
  static double forward_work() { return 8e10; }  // most of it is the making of models

  void plan() {
    double total = 0;
    if (asked_for("steps")) {
      for (const int64_t prefix : grid_.samples) total += grid_.passes * step_work(prefix, 1);
      for (const int64_t prefix : grid_.batch_samples) total += grid_.batch_passes * step_work(prefix, grid_.batch);
    }
    if (asked_for("whole")) total += kWholeParts * whole_work();
    if (asked_for("model")) total += forward_work();
    if (asked_for("quality") && !options_.text.empty()) total += kQualityWork;
    progress_.set_total(static_cast<uint64_t>(total));
  }
  void done(double work) { progress_.update(static_cast<uint64_t>(done_ += work)); }

  // --- Cells ---

  void measure_steps(int64_t batch, const std::vector<int64_t>& prefixes, int passes) {
    for (int pass = 1; pass <= passes; ++pass) {
      const WorkCell& work = results().work;
      if (batch == 1 && (work.empty() || std::ssize(work.begin()->second.seconds[0]) < pass * grid_.rounds)) {
        if (!time_left(0)) return;
        add(to_json(bench().work(variants(), grid_.rounds)));
      }
      for (const int64_t prefix : prefixes) {
        const StepCell* const cell = results().find(prefix, batch);
        const auto there = cell == nullptr ? 0 : std::ssize(cell->read);
        if (there >= pass * grid_.rounds) {
          done(step_work(prefix, batch));
          continue;
        }
        if (!time_left(step_work(prefix, batch))) return;
        add(to_json(bench().step(prefix, batch, grid_.rounds)));
      }
    }
  }

  static double resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    double pages = 0, resident = 0;
    statm >> pages >> resident;
    return resident * 4096;
  }

  void measure_memory() {
    const int64_t tokens = grid_.quick ? 4096 : 16384;
    time_left(0);
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
      add(to_json(MemoryCell{name, tokens, resident_bytes() - before}));
    }
  }

  void measure_whole() {
    const auto first = static_cast<int>(results().whole.size());
    done(first * whole_work());
    if (results().whole_done() || !time_left(whole_work())) return;
    bench().whole(results().whole_output, first, [&](const WholePart& part) {
      add(to_json(part));
      return results().whole_done() || time_left(whole_work());
    });
  }

  void measure_forward() {
    std::vector<int64_t> prefixes;
    const auto memory = static_cast<double>(available_memory());
    for (const int64_t prefix : grid_.quick ? std::vector<int64_t>{4096} : std::vector<int64_t>{4096, 16384, 32768}) {
      const auto& cells = results().forward;
      if (std::any_of(cells.begin(), cells.end(), [&](const ForwardCell& c) { return c.prefix == prefix; })) continue;
      if (prefix <= options_.grid.max_prefix && forward_bytes(prefix) <= memory) prefixes.push_back(prefix);
    }
    if (prefixes.empty() || !time_left(forward_work())) return;
    std::vector<Model> models;
    std::vector<std::unique_ptr<ModelBench>> benches;
    for (const char* name : kBoth) models.push_back(random_model(variant(name), options_.folder, kernels_, threads_));
    for (const Model& model : models)
      benches.push_back(std::make_unique<ModelBench>(kernels_, threads_, model,
                                                     CacheOptions{.tokens = prefixes.back() + kPageTokens}));
    for (const int64_t prefix : prefixes) {
      if (prefix != prefixes.front() && !time_left(0)) return;
      ForwardCell cell{.prefix = prefix};
      const ModelCase step{.tokens = 1, .context = prefix};
      for (int round = -1; round < grid_.rounds; ++round)
        for (size_t i = 0; i < models.size(); ++i) {
          const Turn turn = benches[i]->measure(bench().machine(), step);
          if (round < 0) continue;
          cell.seconds[kBoth[i]].push_back(turn.seconds);
          cell.read.push_back(turn.limit.value);
        }
      add(to_json(cell));
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
    if (wanted.empty() || !time_left(0)) return;
    const Model model = load_model(resolve_model(options_.model), kernels_, threads_);
    std::optional<TokenizerSpec> spec = model.source.tokenizer();
    if (!spec) throw Error(options_.model, "a model with a tokenizer", "none");
    const Tokenizer tokenizer(std::move(*spec));
    const std::vector<TokenId> tokens = tokenizer.encode_prompt(read_file(options_.text), Specials::as_text);
    const int64_t window = std::min<int64_t>(2048, model.config.max_tokens);
    const int64_t windows = std::min<int64_t>(std::ssize(tokens) / window, grid_.quick ? 4 : 10);
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
      if (!time_left(0)) return;
      const std::vector<double> own = c.name == quality_cases()[0].name ? reference : losses(c);
      Likelihood all, difference;
      for (size_t i = 0; i < own.size(); ++i) {
        all.add(own[i]);
        difference.add(own[i] - reference[i]);
      }
      add(to_json(QualityCell{.name = c.name,
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

  const Kernels& kernels_;
  ThreadPool& threads_;
  const StudyOptions& options_;
  ResultsFile file_;
  Grid grid_;
  Progress progress_;
  std::unique_ptr<Bench> bench_;
  double done_ = 0, begin_ = seconds();
  // Of the cell that is measured; seconds that work has taken at most, to begin with at half of the limit's speed.
  double work_ = 0, work_begin_ = 0, slowness_ = 2 / 3e10;
  bool begun_ = false, complete_ = true;
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
