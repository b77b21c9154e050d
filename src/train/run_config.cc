#include "train/run_config.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/toml.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMany = int64_t{1} << 53;  // tokens, steps: beyond every run

// After finish(): a misspelt key is told as such, not as one that is missing.
void require(TomlTable& table, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (!table.has(key)) throw Error(table.where(key), fmt::format("a key {}", key), "none");
}

std::string resolved(const std::string& base, const std::string& path) {
  if (path.empty() || fs::path(path).is_absolute()) return path;
  const fs::path beside = (fs::path(base).parent_path() / path).lexically_normal();
  return beside.string();
}

// A model or tokenizer may also be the name of a pulled one: a word that stands for nothing beside the file.
std::string resolved_model(const std::string& base, const std::string& name) {
  const std::string beside = resolved(base, name);
  std::error_code error;
  return name.find('/') == std::string::npos && !name.ends_with(".json") && !fs::exists(beside, error) ? name : beside;
}

std::vector<DataPart> read_data(TomlTable& phase, const std::string& file, RunKind kind) {
  std::vector<DataPart> parts;
  for (TomlTable& entry : phase.records("data", "path")) {
    DataPart part{resolved(file, entry.text("path", "")), 1};
    if (kind == RunKind::pretraining) part.weight = entry.number("weight", 1, 0, 1e9);
    entry.finish();
    require(entry, {"path"});
    parts.push_back(part);
  }
  return parts;
}

PhaseConfig read_phase(TomlTable& t, const std::string& file, RunKind kind, size_t number, int64_t context) {
  PhaseConfig p;
  p.name = t.text("name", fmt::format("phase {}", number + 1));
  p.data = read_data(t, file, kind);
  if (kind == RunKind::pretraining) {
    p.tokens = t.integer("tokens", 0, 1, kMany);
  } else {
    p.epochs = t.number("epochs", 1, 1e-3, 1e6);
  }
  p.learning_rate = t.number("learning_rate", 0, 0, 10);
  const bool ends_elsewhere = t.has("final_learning_rate");
  p.final_rate = t.number("final_learning_rate", 0, 0, 10);
  const std::string decay = t.word("schedule", "constant", {"constant", "cosine", "linear", "wsd"});
  p.decay = decay == "cosine" ? Decay::cosine : decay == "linear" ? Decay::linear : Decay::constant;
  if (decay == "wsd") p.decay = Decay::wsd;
  if (p.decay == Decay::constant && ends_elsewhere)
    throw Error(t.where("final_learning_rate"), "a schedule that ends at another rate", "constant");
  p.warmup_tokens = t.integer("warmup_tokens", 0, 0, kMany);
  if (p.decay == Decay::wsd) p.decay_tokens = t.integer("decay_tokens", 0, 1, kMany);
  p.batch_tokens = t.integer("batch_tokens", 0, 1, kMany);
  p.batch_tokens_end = t.integer("batch_tokens_end", 0, 1, kMany);
  p.ramp_tokens = t.integer("ramp_tokens", 0, 0, kMany);
  t.finish();
  if (p.data.empty()) throw Error(t.where("data"), "data = a path, or a list of paths or { path, weight }", "none");
  require(t, {"learning_rate", "batch_tokens"});
  if (kind == RunKind::pretraining) require(t, {"tokens"});
  if (p.decay == Decay::wsd) require(t, {"decay_tokens"});
  if (p.batch_tokens % context != 0)
    throw Error(t.where("batch_tokens"), fmt::format("batch_tokens that are whole rows of {} tokens", context),
                fmt::format("{}", p.batch_tokens));
  if (p.batch_tokens_end != 0 && p.batch_tokens_end % p.batch_tokens != 0)
    throw Error(t.where("batch_tokens_end"), fmt::format("a multiple of batch_tokens, {}", p.batch_tokens),
                fmt::format("{}", p.batch_tokens_end));
  return p;
}

void read_sections(TomlTable& file, RunConfig& run) {
  TomlTable optimiser = file.table("optimiser");
  OptimiserOptions& o = run.optimiser;
  o.beta1 = optimiser.number("beta1", o.beta1, 0, 1);
  o.beta2 = optimiser.number("beta2", o.beta2, 0, 1);
  o.eps = optimiser.number("epsilon", o.eps, 0, 1);
  o.weight_decay = optimiser.number("weight_decay", o.weight_decay, 0, 10);
  o.clip = optimiser.number("clip", o.clip, 0, 1e9);
  optimiser.finish();
  TomlTable checkpoint = file.table("checkpoint");
  run.checkpoint_every = checkpoint.integer("every_steps", run.checkpoint_every, 0, kMany);
  run.keep_checkpoints = static_cast<int>(checkpoint.integer("keep", run.keep_checkpoints, 1, 1'000'000));
  checkpoint.finish();
  TomlTable validation = file.table("validation");
  run.validation_every = validation.integer("every_steps", run.validation_every, 1, kMany);
  run.validation_rows = validation.integer("rows", run.validation_rows, 1, 1 << 24);
  run.validation_share = validation.number("share", run.validation_share, 0, 0.5);
  validation.finish();
  TomlTable samples = file.table("samples");
  run.sample_tokens = samples.integer("tokens", run.sample_tokens, 1, 1 << 20);
  run.sample_prompts = samples.texts("prompts");
  samples.finish();
  TomlTable spikes = file.table("spikes");
  run.spike_window = spikes.integer("window", run.spike_window, 4, 1 << 20);
  run.spike_deviations = spikes.number("deviations", run.spike_deviations, 0, 1e6);
  run.spike_limit = spikes.integer("limit", run.spike_limit, 1, kMany);
  spikes.finish();
}

}  // namespace

Schedule PhaseConfig::schedule(int64_t context, int64_t total_rows) const {
  const auto rows = [context](int64_t count) { return ceil_div(count, context); };
  return {.total_rows = total_rows,
          .warmup_rows = std::min(rows(warmup_tokens), total_rows),
          .rate = learning_rate,
          .final_rate = final_rate,
          .decay = decay,
          .decay_rows = rows(decay_tokens),
          .batch_rows = batch_tokens / context,
          .batch_rows_end = batch_tokens_end / context,
          .ramp_rows = rows(ramp_tokens)};
}

int64_t RunConfig::micro_rows() const {
  constexpr int64_t kTokens = 2048;
  return micro_batch > 0 ? micro_batch : std::max<int64_t>(1, kTokens / context);
}

Json RunConfig::identity() const {
  Json j = {{"seed", seed},
            {"precision", precision.mixed() ? "bf16" : "f32"},
            {"context", context},
            {"micro_batch", micro_rows()},
            {"document_masking", document_masking},
            {"z_loss", z_weight},
            {"optimiser", {optimiser.beta1, optimiser.beta2, optimiser.eps, optimiser.weight_decay, optimiser.clip}},
            {"validation_share", validation_share},
            {"spikes", {spike_window, spike_deviations, spike_limit}}};
  for (size_t i = 0; i < phases.size(); ++i) {
    const PhaseConfig& p = phases[i];
    Json weights = Json::array();
    for (const DataPart& part : p.data) weights.push_back(part.weight);
    j[fmt::format("phase {}", i + 1)] = {
        p.tokens,        p.epochs,       p.learning_rate, p.final_rate,       static_cast<int>(p.decay),
        p.warmup_tokens, p.decay_tokens, p.batch_tokens,  p.batch_tokens_end, p.ramp_tokens,
        weights};
  }
  return j;
}

RunConfig parse_run_config(const std::string& text, const std::string& path, RunKind kind) {
  TomlTable t = TomlTable::parse(text, path);
  RunConfig run;
  run.path = path;
  run.model = resolved_model(path, t.text("model", ""));
  run.out = resolved(path, t.text("out", ""));
  run.tokenizer = resolved_model(path, t.text("tokenizer", ""));
  run.seed = static_cast<uint64_t>(t.integer("seed", 0, 0, kMany));
  run.precision = t.word("precision", "bf16", {"bf16", "f32"}) == "bf16" ? Precision::bf16() : Precision::f32();
  run.context = t.integer("context", run.context, 1, 1 << 24);
  run.micro_batch = t.integer("micro_batch", run.micro_batch, 1, 1 << 24);
  run.keep = t.word("activations", "keep", {"keep", "recompute"}) == "keep" ? Network::Keep::everything
                                                                            : Network::Keep::residuals;
  run.document_masking = t.boolean("document_masking", run.document_masking);
  run.z_weight = t.number("z_loss", run.z_weight, 0, 1);
  run.log_every = t.integer("log_every", run.log_every, 1, kMany);
  run.zero = static_cast<int>(t.integer("zero", run.zero, 1, 2));
  read_sections(t, run);
  std::vector<TomlTable> phases = t.tables("phase");
  for (TomlTable& phase : phases) run.phases.push_back(read_phase(phase, path, kind, run.phases.size(), run.context));
  t.finish();
  require(t, {"model", "out"});
  if (phases.empty()) throw Error(t.where("phase"), "at least one [[phase]]", "none");
  if (run.validation_every > 0 && run.validation_share <= 0)
    throw Error(path, "validation.share above 0 (of the documents, to be held back)", "0");
  return run;
}

RunConfig read_run_config(const std::string& path, RunKind kind) {
  return parse_run_config(read_file(path), path, kind);
}

}  // namespace sigma
