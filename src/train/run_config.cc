#include "train/run_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <numeric>
#include <set>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "base/error.h"
#include "base/file.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

// Edits between two words (insertions, deletions, replacements).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replace});
    }
  }
  return row[b.size()];
}

// A table whose keys are taken one by one; finish() refuses what nobody took.
class Reader {
 public:
  Reader(const toml::table& table, std::string path, std::string section)
      : table_(table), path_(std::move(path)), section_(std::move(section)) {}

  const toml::node* find(const std::string& key) {
    known_.insert(key);
    return table_.get(key);
  }
  bool has(const std::string& key) const { return table_.contains(key); }

  std::string where(const toml::node* node) const {
    return node == nullptr ? path_ : fmt::format("{} line {}", path_, node->source().begin.line);
  }
  std::string full(const std::string& key) const { return section_.empty() ? key : section_ + "." + key; }

  void take(const std::string& key, std::string& out) {
    if (const toml::node* node = find(key)) out = text(*node, key);
  }
  void take(const std::string& key, bool& out) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_boolean()) refuse(*node, fmt::format("{} = true or false", full(key)));
    out = **node->as_boolean();
  }
  void take(const std::string& key, double& out, double least, double most) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string expected = fmt::format("{} = a number between {} and {}", full(key), least, most);
    if (!node->is_number()) refuse(*node, expected);
    out = node->is_integer() ? static_cast<double>(**node->as_integer()) : **node->as_floating_point();
    if (!(out >= least && out <= most)) refuse(*node, expected);
  }
  template <class Int>
  void take_count(const std::string& key, Int& out, int64_t least, int64_t most) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string expected = fmt::format("{} = a whole number between {} and {}", full(key), least, most);
    if (!node->is_integer()) refuse(*node, expected);
    const int64_t value = **node->as_integer();
    if (value < least || value > most) refuse(*node, expected);
    out = static_cast<Int>(value);
  }
  // The position of the word in the list.
  size_t take_word(const std::string& key, std::initializer_list<const char*> words, size_t otherwise) {
    const toml::node* node = find(key);
    if (node == nullptr) return otherwise;
    const std::string word = text(*node, key);
    std::string list;
    size_t index = 0;
    for (const char* w : words) {
      if (word == w) return index;
      list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", w);
      ++index;
    }
    refuse(*node, fmt::format("{} = one of {}", full(key), list));
  }
  void require(const std::string& key) const {
    if (!table_.contains(key)) throw Error(where(&table_), fmt::format("a key {}", full(key)), "none");
  }
  std::string text(const toml::node& node, const std::string& key) const {
    if (!node.is_string()) refuse(node, fmt::format("{} = a text in quotes", full(key)));
    return **node.as_string();
  }
  [[noreturn]] void refuse(const toml::node& node, const std::string& expected) const {
    std::ostringstream found;
    node.visit([&](const auto& value) {
      if constexpr (toml::is_value<decltype(value)>) {
        found << value;
      } else {
        found << node.type();
      }
    });
    throw Error(where(&node), expected, printable(found.str()));
  }
  void finish() const {
    for (const auto& [key, node] : table_) {
      const std::string name(key.str());
      if (known_.contains(name)) continue;
      std::string nearest;
      for (const std::string& known : known_)
        if (nearest.empty() || edit_distance(name, known) < edit_distance(name, nearest)) nearest = known;
      throw Error(where(&node), fmt::format("a known key (the nearest is {})", full(nearest)), printable(full(name)));
    }
  }

 private:
  const toml::table& table_;
  std::string path_, section_;
  std::set<std::string> known_;
};

constexpr int64_t kMany = int64_t{1} << 53;  // tokens, steps: beyond every run

// A section of the file, absent or not.
template <class F>
void section(Reader& reader, const std::string& path, const char* key, const F& read) {
  const toml::node* node = reader.find(key);
  if (node == nullptr) return;
  if (!node->is_table()) reader.refuse(*node, fmt::format("a section [{}]", key));
  Reader inside(*node->as_table(), path, key);
  read(inside);
  inside.finish();
}

std::string resolved(const std::string& base, const std::string& path) {
  if (path.empty() || fs::path(path).is_absolute()) return path;
  const fs::path beside = (fs::path(base).parent_path() / path).lexically_normal();
  return beside.string();
}

std::vector<DataPart> read_data(Reader& phase, const std::string& path, RunKind kind) {
  std::vector<DataPart> parts;
  const toml::node* node = phase.find("data");
  if (node == nullptr) throw Error(phase.where(nullptr), fmt::format("a key {}", phase.full("data")), "none");
  if (node->is_string()) {
    parts.push_back({resolved(path, **node->as_string()), 1});
    return parts;
  }
  if (!node->is_array()) phase.refuse(*node, "data = a path, or a list of { path, weight }");
  for (const toml::node& entry : *node->as_array()) {
    DataPart part;
    if (entry.is_string()) {
      part.path = **entry.as_string();
    } else if (entry.is_table()) {
      Reader inside(*entry.as_table(), path, phase.full("data"));
      inside.require("path");
      inside.take("path", part.path);
      if (kind == RunKind::pretraining) inside.take("weight", part.weight, 0, 1e9);
      inside.finish();
    } else {
      phase.refuse(entry, "data = a path, or a list of { path, weight }");
    }
    part.path = resolved(path, part.path);
    parts.push_back(part);
  }
  if (parts.empty()) phase.refuse(*node, "data = at least one path");
  return parts;
}

PhaseConfig read_phase(const toml::table& table, const std::string& path, RunKind kind, size_t number,
                       int64_t context) {
  PhaseConfig p;
  Reader r(table, path, "phase");
  p.name = fmt::format("phase {}", number + 1);
  r.take("name", p.name);
  p.data = read_data(r, path, kind);
  if (kind == RunKind::pretraining) {
    r.require("tokens");
    r.take_count("tokens", p.tokens, 1, kMany);
  } else {
    p.epochs = 1;
    r.take("epochs", p.epochs, 1e-3, 1e6);
  }
  r.require("learning_rate");
  r.take("learning_rate", p.learning_rate, 0, 10);
  r.take("final_learning_rate", p.final_rate, 0, 10);
  constexpr Decay kDecays[] = {Decay::constant, Decay::cosine, Decay::linear, Decay::wsd};
  p.decay = kDecays[r.take_word("schedule", {"constant", "cosine", "linear", "wsd"}, 0)];
  if (p.decay == Decay::constant && r.has("final_learning_rate"))
    throw Error(r.where(r.find("final_learning_rate")), "a schedule that ends at another rate", "constant");
  r.take_count("warmup_tokens", p.warmup_tokens, 0, kMany);
  if (p.decay == Decay::wsd) r.require("decay_tokens");
  if (p.decay == Decay::wsd) r.take_count("decay_tokens", p.decay_tokens, 1, kMany);
  r.require("batch_tokens");
  r.take_count("batch_tokens", p.batch_tokens, 1, kMany);
  r.take_count("batch_tokens_end", p.batch_tokens_end, 1, kMany);
  r.take_count("ramp_tokens", p.ramp_tokens, 0, kMany);
  r.finish();
  if (p.batch_tokens % context != 0)
    throw Error(r.where(r.find("batch_tokens")), fmt::format("batch_tokens that are whole rows of {} tokens", context),
                fmt::format("{}", p.batch_tokens));
  if (p.batch_tokens_end != 0 && p.batch_tokens_end % p.batch_tokens != 0)
    throw Error(r.where(r.find("batch_tokens_end")), fmt::format("a multiple of batch_tokens, {}", p.batch_tokens),
                fmt::format("{}", p.batch_tokens_end));
  return p;
}

void read_sections(Reader& r, const std::string& path, RunConfig& run) {
  section(r, path, "optimiser", [&](Reader& s) {
    s.take("beta1", run.optimiser.beta1, 0, 1);
    s.take("beta2", run.optimiser.beta2, 0, 1);
    s.take("epsilon", run.optimiser.eps, 0, 1);
    s.take("weight_decay", run.optimiser.weight_decay, 0, 10);
    s.take("clip", run.optimiser.clip, 0, 1e9);
  });
  section(r, path, "checkpoint", [&](Reader& s) {
    s.take_count("every_steps", run.checkpoint_every, 0, kMany);
    s.take_count("keep", run.keep_checkpoints, 1, 1'000'000);
  });
  section(r, path, "validation", [&](Reader& s) {
    s.take_count("every_steps", run.validation_every, 1, kMany);
    s.take_count("rows", run.validation_rows, 1, 1 << 24);
    s.take("share", run.validation_share, 0, 0.5);
  });
  section(r, path, "samples", [&](Reader& s) {
    s.take_count("tokens", run.sample_tokens, 1, 1 << 20);
    const toml::node* prompts = s.find("prompts");
    if (prompts == nullptr) return;
    if (!prompts->is_array()) s.refuse(*prompts, "prompts = a list of texts");
    for (const toml::node& prompt : *prompts->as_array()) run.sample_prompts.push_back(s.text(prompt, "prompts"));
  });
  section(r, path, "spikes", [&](Reader& s) {
    s.take_count("window", run.spike_window, 4, 1 << 20);
    s.take("deviations", run.spike_deviations, 0, 1e6);
    s.take_count("limit", run.spike_limit, 1, kMany);
  });
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
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{} line {}", path, error.source().begin.line), "valid TOML",
                printable(error.description()));
  }
  RunConfig run;
  run.path = path;
  Reader r(table, path, "");
  for (const char* key : {"model", "out"}) r.require(key);
  r.take("model", run.model);
  r.take("out", run.out);
  r.take("tokenizer", run.tokenizer);
  for (std::string* p : {&run.model, &run.out, &run.tokenizer}) *p = resolved(path, *p);
  r.take_count("seed", run.seed, 0, kMany);
  run.precision = r.take_word("precision", {"bf16", "f32"}, 0) == 0 ? Precision::bf16() : Precision::f32();
  r.take_count("context", run.context, 1, 1 << 24);
  r.take_count("micro_batch", run.micro_batch, 1, 1 << 24);
  run.keep =
      r.take_word("activations", {"keep", "recompute"}, 0) == 0 ? Network::Keep::everything : Network::Keep::residuals;
  r.take("document_masking", run.document_masking);
  r.take("z_loss", run.z_weight, 0, 1);
  r.take_count("log_every", run.log_every, 1, kMany);
  r.take_count("zero", run.zero, 1, 2);
  read_sections(r, path, run);
  const toml::node* phases = r.find("phase");
  if (phases == nullptr || !phases->is_array_of_tables())
    throw Error(r.where(phases), "at least one [[phase]]", phases == nullptr ? "none" : "something else");
  for (const toml::node& phase : *phases->as_array())
    run.phases.push_back(read_phase(*phase.as_table(), path, kind, run.phases.size(), run.context));
  r.finish();
  if (run.validation_every > 0 && run.validation_share <= 0)
    throw Error(path, "validation.share above 0 (of the documents, to be held back)", "0");
  return run;
}

RunConfig read_run_config(const std::string& path, RunKind kind) {
  return parse_run_config(read_file(path), path, kind);
}

}  // namespace sigma
