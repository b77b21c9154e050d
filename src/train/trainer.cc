#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/memory.h"
#include "train/checkpoint_store.h"
#include "train/gemm.h"
#include "train/gradient_share.h"
#include "train/metrics.h"
#include "train/sample.h"

namespace sigma {

namespace {

double seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// What a checkpoint says besides weights and moments.
struct RunState {
  int64_t step = 0, updates = 0;  // steps begun; of those, the optimiser's
  size_t phase = 0;
  int64_t row = 0;  // of the phase
  int64_t tokens = 0;
  std::vector<double> losses;  // of the last accepted steps, for the judgement of spikes
  int64_t skipped_in_a_row = 0;
  double seconds = 0;

  Json to_json() const {
    return {{"step", step},
            {"updates", updates},
            {"phase", phase},
            {"row", row},
            {"tokens", tokens},
            {"losses", losses},
            {"skipped_in_a_row", skipped_in_a_row},
            {"seconds", seconds}};
  }
  static RunState from_json(const Json& j, const std::string& where) {
    try {
      RunState s;
      j.at("step").get_to(s.step);
      j.at("updates").get_to(s.updates);
      j.at("phase").get_to(s.phase);
      j.at("row").get_to(s.row);
      j.at("tokens").get_to(s.tokens);
      j.at("losses").get_to(s.losses);
      j.at("skipped_in_a_row").get_to(s.skipped_in_a_row);
      j.at("seconds").get_to(s.seconds);
      return s;
    } catch (const Json::exception& error) {
      throw Error(where, "the state of a run", printable(error.what()));
    }
  }
};

// The first key in which two runs differ.
void require_same(const Json& began, const Json& now, const std::string& where) {
  for (const auto& [key, value] : began.items())
    if (!now.contains(key) || now[key] != value)
      throw Error(where, fmt::format("{} as the run began: {}", key, value.dump()),
                  now.contains(key) ? now[key].dump() : "none");
  for (const auto& [key, value] : now.items())
    if (!began.contains(key)) throw Error(where, fmt::format("no {}, as the run began", key), value.dump());
}

class Run {
 public:
  Run(const TrainSetup& setup, const Kernels& kernels, ThreadPool& threads, Collectives& processes)
      : setup_(setup),
        run_(setup.run),
        threads_(threads),
        processes_(processes),
        memory_(processes.size() > 1 && run_.zero == 2 ? GradientMemory::buckets : GradientMemory::whole),
        parameters_(setup.model, setup.run.precision, memory_),
        network_(setup.model, setup.run.precision, kernels, threads, setup.run.keep),
        store_(run_.out + "/checkpoints", run_.keep_checkpoints),
        shares_(share_bounds(parameters_.elements(), processes.size())),
        gradients_(parameters_, processes, threads, memory_),
        optimiser_(parameters_, run_.optimiser, shares_[static_cast<size_t>(processes.rank())],
                   shares_[static_cast<size_t>(processes.rank()) + 1]) {
    for (const TrainPhase& phase : setup.phases)
      if (phase.schedule.batch_rows % processes.size() != 0)
        throw Error(run_.path,
                    fmt::format("a number of processes that divides the batch of {} rows", phase.schedule.batch_rows),
                    fmt::format("{} processes", processes.size()));
    network_.on_layer_gradients = [this](int layer) { gradients_.layer_done(layer, last_pass_); };
  }

  TrainOutcome go() {
    begin();
    while (state_.phase < setup_.phases.size()) {
      while (state_.row < phase().schedule.total_rows) {
        step();
        const bool stop = stop_wanted();
        const bool due = run_.checkpoint_every > 0 && state_.step % run_.checkpoint_every == 0;
        if (run_.validation_every > 0 && state_.step % run_.validation_every == 0) validate();
        if (state_.row >= phase().schedule.total_rows) break;
        if (due || stop) save();
        if (stop) return {saved_, state_.step, false};
      }
      if (run_.validation_every > 0 && state_.step % run_.validation_every != 0) validate();
      ++state_.phase;
      state_.row = 0;
      save();
      if (stop_wanted() && state_.phase < setup_.phases.size()) return {saved_, state_.step, false};
    }
    report({{"event", "done"}, {"step", state_.step}, {"checkpoint", saved_}});
    return {saved_, state_.step, true};
  }

 private:
  const TrainPhase& phase() const { return setup_.phases[state_.phase]; }
  bool first() const { return processes_.rank() == 0; }
  Context context() { return network_.context(); }
  void report(const Json& event) const {
    if (first() && setup_.report) setup_.report(event);
  }

  bool stop_wanted() {
    double wanted[1] = {setup_.stop != nullptr && setup_.stop->load() ? 1.0 : 0.0};
    processes_.sum(wanted);
    return wanted[0] > 0;
  }

  // --- beginning ---

  Json identity() const {
    Json j = run_.identity();
    j["model"] = config_to_hf(setup_.model);
    for (size_t i = 0; i < setup_.phases.size(); ++i)
      j[fmt::format("data of phase {}", i + 1)] = setup_.phases[i].rows.fingerprint;
    return j;
  }

  void begin() {
    std::vector<std::string> damaged;
    const std::optional<CheckpointStore::Found> found = store_.newest(damaged);
    for (const std::string& what : damaged) report({{"event", "damaged"}, {"what", what}});
    if (found) {
      resume(*found);
    } else {
      if (!damaged.empty())
        throw Error(run_.out + "/checkpoints", "a checkpoint that is whole", "damaged ones only: " + damaged.front());
      parameters_.load(threads_, setup_.initial);
    }
    parameters_.refresh(context());
    rate_of_products_ = measure_gemm_rate(threads_, run_.precision.activations);
    if (first()) {
      log_ = std::make_unique<MetricsLog>(run_.out + "/metrics.jsonl", state_.step);
      events_ = std::make_unique<EventFile>(run_.out + "/tensorboard", state_.step, wall_time());
    }
    int64_t left = 0;
    for (size_t i = state_.phase; i < setup_.phases.size(); ++i)
      left += setup_.phases[i].schedule.steps_from(i == state_.phase ? state_.row : 0);
    last_step_ = state_.step + left;
    begun_ = std::chrono::steady_clock::now();
    report({{"event", found ? "resume" : "start"},
            {"step", state_.step},
            {"steps", last_step_},
            {"parameters", count_parameters(setup_.model).total()},
            {"precision", run_.precision.mixed() ? "bf16" : "f32"},
            {"processes", processes_.size()},
            {"products_per_second", rate_of_products_},
            {"products", gemm_library()},
            {"from", found ? found->path : run_.model}});
  }

  void resume(const CheckpointStore::Found& found) {
    const std::string where = found.path + "/state.json";
    state_ = RunState::from_json(found.state, where);
    if (!found.state.contains("run")) throw Error(where, "the run it belongs to", "none");
    require_same(found.state["run"], identity(), run_.path);
    if (state_.phase > setup_.phases.size()) throw Error(where, "a phase of the run", fmt::format("{}", state_.phase));
    std::vector<float> mean(static_cast<size_t>(parameters_.elements())), square = mean;
    CheckpointStore::load(found.path, parameters_, mean, square, threads_);
    const auto own = [&](const std::vector<float>& all, std::span<float> to) {
      std::copy(all.begin() + optimiser_.begin(), all.begin() + optimiser_.end(), to.begin());
    };
    own(mean, optimiser_.mean());
    own(square, optimiser_.square());
    optimiser_.set_updates(state_.updates);
    saved_ = found.path;
  }

  // --- a step ---

  struct StepResult {
    double loss = 0, norm = 0, rate = 0;
    int64_t rows = 0, targets = 0;
  };

  void step() {
    const auto start = std::chrono::steady_clock::now();
    StepResult r;
    r.rows = phase().schedule.batch(state_.row);
    r.rate = phase().schedule.learning_rate(state_.row, r.rows);
    const int64_t mine = r.rows / processes_.size();
    phase().rows.read(rows_, static_cast<uint64_t>(state_.row + mine * processes_.rank()), mine);
    double targets[1] = {static_cast<double>(
        std::count_if(rows_.targets.begin(), rows_.targets.end(), [](int32_t t) { return t >= 0; }))};
    processes_.sum(targets);
    r.targets = static_cast<int64_t>(targets[0]);
    forward_and_backward(mine, r);
    const ConstTensorView gradients = gradients_.finish();
    double squares[1] = {optimiser_.gradient_squares(context(), gradients)};
    processes_.sum(squares);
    r.norm = std::sqrt(squares[0]);
    state_.row += r.rows;
    state_.tokens += r.rows * run_.context;
    ++state_.step;
    const std::string fault = fault_of(r);
    if (fault.empty()) {
      optimiser_.step(context(), parameters_, gradients, r.rate, r.norm);
      gather_weights();
      state_.updates = optimiser_.updates();
    }
    judge(r, fault);
    const double took = seconds(start);
    state_.seconds += took;
    log_step(r, took, fault);
  }

  void forward_and_backward(int64_t mine, StepResult& r) {
    gradients_.begin_batch();
    const LossOptions options{.scale = 1.0 / static_cast<double>(std::max<int64_t>(1, r.targets)),
                              .z_weight = run_.z_weight};
    double loss[1] = {0};
    const int64_t micro = run_.micro_rows();
    for (int64_t row = 0; row < mine; row += micro) {
      const int64_t count = std::min(micro, mine - row);
      last_pass_ = row + count == mine;
      loss[0] += network_.train(parameters_, slice(row, count), options);
    }
    processes_.sum(loss);
    r.loss = loss[0] / static_cast<double>(std::max<int64_t>(1, r.targets));
  }

  TokenRows slice(int64_t row, int64_t count) const {
    const auto begin = static_cast<size_t>(row * run_.context), size = static_cast<size_t>(count * run_.context);
    return {count, run_.context, std::span(rows_.tokens).subspan(begin, size),
            std::span(rows_.targets).subspan(begin, size), std::span(rows_.starts).subspan(begin, size)};
  }

  static std::span<float> floats(TensorView flat, int64_t begin, int64_t end) {
    return {flat.row<float>(0) + begin, static_cast<size_t>(end - begin)};
  }

  void gather_weights() {
    if (processes_.size() == 1) return;
    for (int owner = 0; owner < processes_.size(); ++owner)
      processes_.start_broadcast(floats(parameters_.flat_weights(), shares_[static_cast<size_t>(owner)],
                                        shares_[static_cast<size_t>(owner) + 1]),
                                 owner);
    processes_.wait();
    parameters_.refresh(context());
  }

  // Why the step must not change the weights; empty: it may.
  std::string fault_of(const StepResult& r) const {
    if (!std::isfinite(r.loss)) return fmt::format("the loss is {}", r.loss);
    if (!std::isfinite(r.norm)) return fmt::format("the norm of the gradient is {}", r.norm);
    const auto count = static_cast<int64_t>(state_.losses.size());
    if (run_.spike_deviations <= 0 || count < run_.spike_window) return "";
    double sum = 0, squares = 0;
    for (const double loss : state_.losses) {
      sum += loss;
      squares += loss * loss;
    }
    const double mean = sum / static_cast<double>(count);
    const double deviation = std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean * mean));
    const double most = mean + run_.spike_deviations * deviation;
    return r.loss > most ? fmt::format("the loss {:.4f} is beyond {:.4f}", r.loss, most) : "";
  }

  void judge(const StepResult& r, const std::string& fault) {
    if (fault.empty()) {
      state_.skipped_in_a_row = 0;
      state_.losses.push_back(r.loss);
      if (static_cast<int64_t>(state_.losses.size()) > run_.spike_window) state_.losses.erase(state_.losses.begin());
      return;
    }
    ++state_.skipped_in_a_row;
    if (state_.skipped_in_a_row >= run_.spike_limit)
      throw Error(fmt::format("{} step {}", run_.path, state_.step), "losses to learn from",
                  fmt::format("{} skipped steps in a row; in the last one {}. {}", state_.skipped_in_a_row, fault,
                              saved_.empty() ? "No checkpoint was written" : "The last checkpoint is " + saved_));
  }

  void log_step(const StepResult& r, double took, const std::string& fault) {
    const double rate = static_cast<double>(r.rows * run_.context) / took;
    const double mfu = share_of_products(rate);
    const double left =
        seconds(begun_) / static_cast<double>(++steps_here_) * static_cast<double>(last_step_ - state_.step);
    Json line = {{"event", fault.empty() ? "step" : "skipped"},
                 {"step", state_.step},
                 {"tokens", state_.tokens},
                 {"phase", phase().name},
                 {"loss", r.loss},
                 {"learning_rate", r.rate},
                 {"gradient_norm", r.norm},
                 {"tokens_per_second", rate},
                 {"mfu", mfu},
                 {"seconds", state_.seconds},
                 {"seconds_left", left},
                 {"peak_bytes", peak_resident_bytes()}};
    if (!fault.empty()) line["why"] = fault;
    tell_of_processes(line);
    write(line, {{"loss/train", r.loss},
                 {"learning_rate", r.rate},
                 {"gradient_norm", r.norm},
                 {"tokens_per_second", rate},
                 {"mfu", mfu}});
  }

  // Model FLOPs utilisation. Faster than the products alone: those were measured while something else ran, so again.
  double share_of_products(double tokens_per_second) {
    const double done = tokens_per_second * train_operations_per_token(setup_.model, run_.context) / processes_.size();
    if (done > rate_of_products_)
      rate_of_products_ = std::max(rate_of_products_, measure_gemm_rate(threads_, run_.precision.activations));
    return done / rate_of_products_;
  }

  // Of several processes: what each sent in this step, and the most memory each has had.
  void tell_of_processes(Json& line) {
    if (processes_.size() == 1) return;
    const double own[] = {static_cast<double>(processes_.bytes_sent() - bytes_before_),
                          static_cast<double>(peak_resident_bytes())};
    bytes_before_ = processes_.bytes_sent();
    const std::vector<double> all = processes_.gather(own);
    std::vector<uint64_t> sent, peaks;
    for (size_t i = 0; i < all.size(); i += 2) {
      sent.push_back(static_cast<uint64_t>(all[i]));
      peaks.push_back(static_cast<uint64_t>(all[i + 1]));
    }
    line["bytes_sent"] = sent;
    line["peak_bytes"] = peaks;
  }

  void write(const Json& line, const std::vector<std::pair<std::string, double>>& scalars) {
    if (!first()) return;
    log_->write(line);
    events_->write(state_.step, wall_time(), scalars);
    report(line);
  }

  // --- on the way ---

  void validate() {
    if (!phase().validation) return;
    double sums[2] = {0, 0};
    const int64_t micro = run_.micro_rows(), share = ceil_div(run_.validation_rows, processes_.size());
    const int64_t from = share * processes_.rank(), to = std::min(run_.validation_rows, from + share);
    for (int64_t row = from; row < to; row += micro) {
      const int64_t count = std::min(micro, to - row);
      phase().validation->read(rows_, static_cast<uint64_t>(row), count);
      sums[0] += network_.evaluate(parameters_, slice(0, count));
      sums[1] += static_cast<double>(
          std::count_if(rows_.targets.begin(), rows_.targets.end(), [](int32_t t) { return t >= 0; }));
    }
    processes_.sum(sums);
    const double loss = sums[0] / std::max(1.0, sums[1]);
    write({{"event", "validation"}, {"step", state_.step}, {"tokens", state_.tokens}, {"validation_loss", loss}},
          {{"loss/validation", loss}});
  }

  void save() {
    std::vector<float> mean_of_all, square_of_all;
    const std::span<const float> mean = collect(mean_of_all, optimiser_.mean());
    const std::span<const float> square = collect(square_of_all, optimiser_.square());
    if (first()) {
      Json state = state_.to_json();
      state["run"] = identity();
      saved_ = store_.save(state_.step, parameters_, mean, square, state, setup_.tokenizer, threads_);
      report({{"event", "checkpoint"}, {"step", state_.step}, {"path", saved_}});
      if (setup_.tokenizer != nullptr)
        for (const std::string& prompt : run_.sample_prompts) {
          const Json line = {{"event", "sample"},
                             {"step", state_.step},
                             {"prompt", prompt},
                             {"text", sample_text(saved_, prompt, run_.sample_tokens, run_.seed, threads_)}};
          log_->write(line);
          report(line);
        }
    }
    processes_.share(saved_);
  }

  // Moments of the whole model, on the first process.
  std::span<const float> collect(std::vector<float>& all, std::span<float> own) {
    if (processes_.size() == 1) return own;
    if (first()) {
      all.resize(static_cast<size_t>(parameters_.elements()));
      std::copy(own.begin(), own.end(), all.begin() + optimiser_.begin());
    }
    for (int owner = 1; owner < processes_.size(); ++owner) {
      const auto begin = static_cast<size_t>(shares_[static_cast<size_t>(owner)]);
      const auto end = static_cast<size_t>(shares_[static_cast<size_t>(owner) + 1]);
      if (processes_.rank() == owner) processes_.start_collect(own, owner);
      if (first()) processes_.start_collect(std::span(all).subspan(begin, end - begin), owner);
    }
    processes_.wait();
    return all;
  }

  const TrainSetup& setup_;
  const RunConfig& run_;
  ThreadPool& threads_;
  Collectives& processes_;
  const GradientMemory memory_;
  Parameters parameters_;
  Network network_;
  CheckpointStore store_;
  const std::vector<int64_t> shares_;  // share_bounds
  GradientShare gradients_;
  Optimiser optimiser_;
  RunState state_;
  TrainRows rows_;
  bool last_pass_ = false;
  std::string saved_;
  std::unique_ptr<MetricsLog> log_;
  std::unique_ptr<EventFile> events_;
  double rate_of_products_ = 0;
  uint64_t bytes_before_ = 0;
  int64_t last_step_ = 0, steps_here_ = 0;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace

TrainOutcome train(const TrainSetup& setup, const Kernels& kernels, ThreadPool& threads, Collectives& processes) {
  if (setup.run.context > setup.model.max_tokens)
    throw Error(setup.run.path, fmt::format("a context of at most {} tokens, the model's", setup.model.max_tokens),
                fmt::format("{}", setup.run.context));
  if (setup.run.precision.mixed() && !gemm_has_bf16())
    throw Error(setup.run.path, "precision = \"f32\" (this processor has no AVX-512 for bf16)", "\"bf16\"");
  return Run(setup, kernels, threads, processes).go();
}

}  // namespace sigma
