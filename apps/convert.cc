// sigma convert: a model from one form to another. sigma new: a model from nothing but a configuration.
#include <cstdio>

#include "apps/commands.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parallel.h"
#include "model/export.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::string source, destination, type;
  uint64_t seed = 0;
  int threads = 0;
};

ExportOptions export_options(const Options& o) {
  ExportOptions result;
  if (o.type == "q8") result.type = Format::q8_0;
  if (o.type == "q4") result.type = Format::q4_0;
  if (o.type == "f32" || o.type == "bf16" || o.type == "f16" || o.type == "q4_1")
    result.type = format_from_name(o.type);
  return result;
}

void declare_output(Cli& cli, Options& o, const char* fallback) {
  cli.option("DST", o.destination, "A new folder, or a name that ends in .gguf", Cli::Need::required);
  o.type = fallback;
  cli.choice("--type", o.type, {"keep", "f32", "bf16", "f16", "q8", "q4", "q4_1"},
             "Format of the weights (q8, q4: GGUF only)");
  cli.threads(o.threads);
}

int convert(const Options& o) {
  ThreadPool threads(o.threads);
  const Checkpoint source = Checkpoint::open(resolve_model(o.source));
  source.refuse_unknown_tensors();
  export_model(source.config(), checkpoint_reader(source), &source, o.destination, export_options(o), threads);
  return 0;
}

int create(const Options& o) {
  ThreadPool threads(o.threads);
  const ModelConfig config = config_from_hf(read_json(o.source), o.source);
  export_model(config, random_reader(config, o.seed), nullptr, o.destination, export_options(o), threads);
  return 0;
}

}  // namespace

Run convert_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Convert a model between Hugging Face folders and GGUF, and between weight formats");
  cli.example("sigma convert smollm2 smollm2-f32.gguf --type f32");
  cli.example("sigma convert ./my-checkpoint my-model.gguf --type q4");
  cli.example("sigma convert model.gguf ./folder --type bf16");
  cli.option("SRC", o->source, "A folder, a .gguf file, or the name of a pulled model", Cli::Need::required);
  declare_output(cli, *o, "keep");
  return [o] { return convert(*o); };
}

Run new_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Make a randomly initialised model (without a tokenizer: run it with --tokens)");
  cli.example("sigma new configs/sigma-1.5b.json sigma-1.5b.gguf --type q8 --seed 1");
  cli.example("sigma new configs/std-1.5b.json ./std-1.5b --type bf16");
  cli.option("CONFIG", o->source, "A config.json", Cli::Need::required);
  declare_output(cli, *o, "f32");
  cli.option("--seed", o->seed, "The same seed gives the same weights");
  return [o] { return create(*o); };
}

}  // namespace sigma
