// sigma train and sigma sft: a run that a TOML file describes, from its last checkpoint if it has one.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/session.h"
#include "apps/train_report.h"
#include "base/error.h"
#include "model/hub.h"
#include "train/instructions.h"
#include "train/trainer.h"

namespace sigma {

namespace {

struct Options {
  std::string run;
  int threads = 0;
  bool json = false;
};

std::atomic<bool> stop_wanted{false};
extern "C" void want_stop(int) { stop_wanted = true; }

// The first signal ends the run after its step, with a checkpoint; the second ends it at once.
void handle_signals() {
  struct sigaction action = {};
  action.sa_handler = want_stop;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a failed write, told like a full disk
}

// Where a run's weights, configuration and tokenizer come from.
struct Source {
  explicit Source(const RunConfig& run) {
    const bool plain = run.model.ends_with(".json");
    if (plain) {
      config = config_from_hf(read_json(run.model), run.model);
      initial = random_reader(config, run.seed);
    } else {
      checkpoint.emplace(Checkpoint::open(resolve_model(run.model)));
      checkpoint->refuse_unknown_tensors();
      config = checkpoint->config();
      initial = checkpoint_reader(*checkpoint);
    }
    tokenizer_name = run.tokenizer.empty() ? run.model : run.tokenizer;
    if (!run.tokenizer.empty()) {
      tokenizer = load_tokenizer_spec(resolve_model(run.tokenizer));
    } else if (checkpoint) {
      tokenizer = checkpoint->tokenizer();
    }
    if (tokenizer && std::cmp_greater(tokenizer->tokens.size(), config.vocab))
      throw Error(tokenizer_name, fmt::format("a tokenizer of at most {} tokens, the model's vocabulary", config.vocab),
                  fmt::format("{}", tokenizer->tokens.size()));
  }
  ModelConfig config;
  WeightReader initial;
  std::optional<Checkpoint> checkpoint;
  std::optional<TokenizerSpec> tokenizer;
  std::string tokenizer_name;
};

RowSource phase_rows(const RunConfig& run, const PhaseConfig& phase, size_t number, const Source& source, Split split) {
  LoaderOptions options{.seed = run.seed + number * 0x9e3779b97f4a7c15ull,
                        .context = run.context,
                        .vocab = source.config.vocab,
                        .validation = run.validation_share,
                        .split = split};
  if (source.tokenizer) options.tokenizer = vocabulary_of(*source.tokenizer, source.tokenizer_name);
  for (const DataPart& part : phase.data) options.parts.push_back({part.path, part.weight});
  return loader_rows(std::make_shared<const Loader>(options),
                     run.document_masking ? Documents::apart : Documents::together);
}

std::vector<TrainPhase> pretraining_phases(const RunConfig& run, const Source& source) {
  std::vector<TrainPhase> phases;
  for (const PhaseConfig& phase : run.phases) {
    const int64_t batch = phase.batch_tokens / run.context, rows = phase.tokens / run.context / batch * batch;
    if (rows == 0)
      throw Error(run.path, fmt::format("tokens for a batch of {} in {}", phase.batch_tokens, phase.name),
                  fmt::format("{}", phase.tokens));
    TrainPhase p{
        phase.name, phase.schedule(run.context, rows), phase_rows(run, phase, phases.size(), source, Split::train), {}};
    if (run.validation_every > 0) p.validation = phase_rows(run, phase, phases.size(), source, Split::validation);
    phases.push_back(std::move(p));
  }
  return phases;
}

// Instruction tuning: a phase has as many rows as its conversations fill.
std::vector<TrainPhase> instruction_phases(const RunConfig& run, const Source& source, ThreadPool& threads,
                                           TrainReport& report) {
  if (!source.tokenizer) throw Error(run.path, "a model with a tokenizer, or a key tokenizer", "none");
  const Tokenizer tokenizer(*source.tokenizer);
  const ConversationEncoder encoder(tokenizer, source.tokenizer_name);
  std::vector<TrainPhase> phases;
  for (const PhaseConfig& phase : run.phases) {
    std::vector<std::string> paths;
    for (const DataPart& part : phase.data) paths.push_back(part.path);
    const int64_t batch = phase.batch_tokens / run.context;
    InstructionRows rows =
        pack_instructions(read_instructions(paths, encoder, threads), {.context = run.context,
                                                                       .batch_rows = batch,
                                                                       .seed = run.seed + phases.size(),
                                                                       .epochs = phase.epochs,
                                                                       .validation = run.validation_share});
    report({{"event", "data"},
            {"phase", phase.name},
            {"conversations", rows.conversations},
            {"cut", rows.cut},
            {"left_out", rows.left_out},
            {"rows", rows.train_rows},
            {"validation_rows", rows.validation_rows}});
    TrainPhase p{phase.name, phase.schedule(run.context, rows.train_rows), std::move(rows.train), {}};
    if (run.validation_every > 0 && rows.validation_rows > 0) p.validation = std::move(rows.validation);
    phases.push_back(std::move(p));
  }
  return phases;
}

int run_training(const Options& o, RunKind kind) {
  Collectives processes;
  ThreadPool threads(o.threads);
  TrainReport report(o.json ? TrainReport::Form::json : TrainReport::Form::text);
  try {
    const RunConfig run = read_run_config(o.run, kind);
    report.every(run.log_every);
    const Source source(run);
    handle_signals();
    const TrainSetup setup{.run = run,
                           .model = source.config,
                           .initial = source.initial,
                           .tokenizer = source.tokenizer ? &*source.tokenizer : nullptr,
                           .phases = kind == RunKind::pretraining ? pretraining_phases(run, source)
                                                                  : instruction_phases(run, source, threads, report),
                           .report = [&](const Json& event) { report(event); },
                           .stop = &stop_wanted};
    train(setup, cpu_kernels(), threads, processes);
  } catch (...) {
    if (processes.size() > 1) {  // the others wait for this one
      report.failed(std::current_exception());
      processes.abort(1);
    }
    throw;
  }
  return 0;
}

void declare(Cli& cli, const std::shared_ptr<Options>& o) {
  cli.option("RUN", o->run, "the run's TOML file (docs/training.md)", Cli::Need::required);
  cli.threads(o->threads);
  cli.json(o->json);
}

}  // namespace

Run train_command(Cli& cli) {
  const auto o = std::make_shared<Options>();
  cli.summary("Train a model as a TOML file says; goes on from the run's last checkpoint if there is one");
  declare(cli, o);
  cli.example("sigma train run.toml");
  cli.example("mpirun -n 4 sigma train run.toml --threads 8");
  return [o] { return run_training(*o, RunKind::pretraining); };
}

Run sft_command(Cli& cli) {
  const auto o = std::make_shared<Options>();
  cli.summary(
      "Tune a model on conversations (JSON lines of messages, or of prompt and answer), as a TOML file says; only "
      "answers are learnt");
  declare(cli, o);
  cli.example("sigma sft tune.toml");
  return [o] { return run_training(*o, RunKind::instruction_tuning); };
}

}  // namespace sigma
