// sigma bench: how fast a model, or each kernel, runs on this machine, and what share of the machine's limit that is.
#include <cstdio>
#include <iostream>

#include "apps/bench_efficiency.h"
#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/file.h"
#include "bench/attention.h"
#include "bench/kernels.h"
#include "bench/model.h"
#include "bench/tokenizer.h"
#include "bench/training.h"
#include "model/checkpoint.h"
#include "model/hub.h"
#include "train/gemm.h"

namespace sigma {

namespace {

using bench::Machine;
using bench::ModelBench;
using bench::ModelCase;
using bench::Result;

struct Options {
  std::string what;
  ModelOptions model;
  std::vector<std::string> cases;
  std::string filter;
  std::vector<std::string> files;
  int repeats = 5;
  EfficiencyOptions efficiency;
  bench::TrainCase train;
  std::string precision = "bf16";
  bool from_stdin = false, json = false;
};

void report(const Options& o, const Result& result) {
  std::puts((o.json ? bench::to_json(result) : bench::to_text(result)).c_str());
  std::fflush(stdout);
}

ModelCase parse_case(const Options& o, const std::string& name) {
  ModelCase c = bench::parse_model_case(name);
  c.v_top = o.model.v_top;
  return c;
}

// --repeats turns; the share is the median of theirs.
Result measure(ModelBench& bench, Machine& machine, const Session& session, const Options& o, const std::string& name) {
  const ModelCase c = parse_case(o, name);
  const auto tokens = static_cast<double>(c.tokens * c.sequences);
  std::vector<double> speeds, limits, shares;
  bench::Turn turn = bench.measure(machine, c);  // warm: scratch, pages, threads
  for (int i = 0; i < o.repeats; ++i) {
    turn = bench.measure(machine, c);
    speeds.push_back(tokens / turn.seconds);
    limits.push_back(turn.limit.value);
    shares.push_back(turn.share);
  }
  return {.name = name,
          .model = session.name,
          .weights = std::string(format_info(session.model.weights.layers[0].gate.source).name),
          .k_cache = std::string(format_info(cache_format(o.model.k_cache)).name),
          .v_cache = std::string(format_info(cache_format(o.model.v_cache)).name),
          .context = c.context,
          .batch = c.sequences,
          .threads = session.threads.size(),
          .unit = "tokens/s",
          .ours = bench::spread_of(speeds),
          .bytes = bench.bytes(c),
          .operations = bench.operations(c),
          .limit = {turn.limit.kind, bench::spread_of(limits).median},
          .share = bench::spread_of(shares).median};
}

// Each line of standard input names a case, measured once, beside its limit; so that a driver can measure something
// else in between. The answer: {"seconds", "bytes", "flops", "limit", "share"}.
int serve(ModelBench& bench, Machine& machine, const Options& o) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const ModelCase c = parse_case(o, line);
    const bench::Turn turn = bench.measure(machine, c);
    print_json({{"seconds", turn.seconds},
                {"bytes", bench.bytes(c)},
                {"flops", bench.operations(c)},
                {"limit", {{"kind", turn.limit.kind}, {"value", turn.limit.value}}},
                {"share", turn.share}});
    std::fflush(stdout);
  }
  return 0;
}

int run_model(const Options& o) {
  std::vector<std::string> cases = o.cases;
  if (cases.empty()) cases = {"prefill:512", "decode:128"};
  int64_t tokens = 0;
  for (const std::string& name : cases)
    tokens = std::max(tokens, ModelBench::tokens_needed(bench::parse_model_case(name), o.model.page_tokens));
  Session session(o.model);
  ModelBench bench(session.kernels, session.threads, session.model, session.engine_options(tokens).cache);
  Machine machine(session.threads);
  if (o.from_stdin) return serve(bench, machine, o);
  if (!o.json)
    std::printf("%s, %s kernels, %d threads, weights %.3f GB\n", session.name.c_str(), session.kernels.name,
                session.threads.size(), static_cast<double>(session.model.weight_bytes) * 1e-9);
  for (const std::string& name : cases) report(o, measure(bench, machine, session, o, name));
  return 0;
}

int run_kernels(const Options& o) {
  ThreadPool threads(o.model.threads);
  const bench::KernelOptions options{.filter = o.filter, .rounds = o.repeats};
  const auto tell = [&](const Result& result) { report(o, result); };
  bench::bench_kernels(cpu_kernels(), threads, options, tell);
  bench::bench_attention(cpu_kernels(), threads, options, tell);
  return 0;
}

// With --stdin, each line names a file, whose text is encoded once; the answer: {"seconds", "bytes"}.
int run_tokenizer(const Options& o) {
  const Tokenizer tokenizer(load_tokenizer_spec(resolve_model(o.model.model)));
  for (const std::string& file : o.files) {
    Result result = bench::bench_encode(tokenizer, MappedFile(file).text(), o.repeats);
    result.name += " " + file;
    result.model = o.model.model;
    report(o, result);
  }
  std::string file;
  while (o.from_stdin && std::getline(std::cin, file)) {
    const MappedFile text(file);
    print_json({{"seconds", bench::encode_once(tokenizer, text.text())}, {"bytes", text.bytes().size()}});
    std::fflush(stdout);
  }
  return 0;
}

// One step of training, each beside a measurement of what large products reach; the best of those is the limit.
int run_train(const Options& o) {
  ThreadPool threads(o.model.threads);
  bench::TrainCase c = o.train;
  c.precision = o.precision == "bf16" ? Precision::bf16() : Precision::f32();
  if (c.precision.mixed() && !gemm_has_bf16())
    throw Error("--precision", "f32 (this processor has no AVX-512 for bf16)", "bf16");
  bench::TrainBench bench(cpu_kernels(), threads, config_from_hf(read_json(o.model.model), o.model.model), c);
  std::vector<double> speeds;
  double limit = 0;
  bench.step();  // warm: scratch, pages, primitives
  for (int i = 0; i < o.repeats; ++i) {
    limit = std::max(limit, measure_gemm_rate(threads, c.precision.activations));
    speeds.push_back(static_cast<double>(c.tokens) / bench.step());
  }
  Result r{.name = fmt::format("train:{}@{}", c.tokens, c.context),
           .model = o.model.model,
           .weights = o.precision,
           .context = c.context,
           .batch = c.tokens / c.context,
           .threads = threads.size(),
           .unit = "tokens/s",
           .ours = bench::spread_of(speeds),
           .bytes = static_cast<double>(peak_resident_bytes()),
           .operations = bench.operations(),
           .limit = {c.precision.mixed() ? "bf16" : "f32", limit}};
  r.share = bench.operations() * r.ours.median / static_cast<double>(c.tokens) / limit;
  report(o, r);
  return 0;
}

}  // namespace

Run bench_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Measure speed and the share of this machine's limits, both in the same run");
  cli.example("sigma bench model -m smollm2");
  cli.example("sigma bench model -m sigma-1.5b.gguf --case decode:32@16384 --k-cache q8 --v-top 100 --json");
  cli.example("sigma bench kernels --filter attention");
  cli.example("sigma bench tokenizer -m smollm2 --file /usr/share/common-licenses/GPL-3");
  cli.example("sigma bench efficiency --quick");
  cli.example("sigma bench efficiency --out study -m smollm2 --text text.txt");
  cli.example("sigma bench train -m configs/sigma-30m.json --context 1024 --precision bf16");
  cli.option("WHAT", o->what, "model, kernels, tokenizer, train or efficiency", Cli::Need::required);
  o->model.declare(cli, Cli::Need::optional);
  cli.option("--case", o->cases, "prefill:N[@CONTEXT] or decode:N[@CONTEXT][xSEQUENCES]; may be repeated");
  cli.option("--filter", o->filter, "kernels: only those whose name holds this");
  cli.option("--file", o->files, "tokenizer: the texts, each encoded on one thread");
  cli.option("--repeats", o->repeats, "Measurements of each case");
  cli.flag("--stdin", o->from_stdin,
           "model, tokenizer: measure the cases or files that standard input names, once each");
  EfficiencyOptions& e = o->efficiency;
  cli.flag("--quick", e.quick, "efficiency: fewer contexts and rounds, in minutes");
  cli.option("--out", e.folder, "efficiency: where its results go; a study that was interrupted there goes on");
  cli.option("--text", e.text, "efficiency: a file whose perplexity under -m shows what each saving costs in quality");
  cli.option("--minutes", e.minutes,
             "efficiency: begin nothing that would end later, to go on another time; 0: until the end");
  cli.choice("--only", e.only, {"steps", "memory", "whole", "model", "quality"},
             "efficiency: measure this part now, the rest another time");
  cli.option("--whole", e.whole_minutes,
             "efficiency: minutes that the generation which is run whole may take; 0: 20, or 1 if quick");
  cli.option("--max-prefix", e.max_prefix, "efficiency: the longest context to begin with");
  cli.option("--max-output", e.max_output, "efficiency: the longest generation");
  cli.option("--batch", e.batch, "efficiency: sequences together, beside one alone");
  cli.option("--memory", e.memory_gib, "efficiency: GiB it may take; 0: what is there");
  cli.option("--context", o->train.context, "train: tokens of a row");
  cli.option("--tokens", o->train.tokens, "train: tokens of a step");
  cli.option("--micro", o->train.micro, "train: tokens of one pass");
  cli.choice("--precision", o->precision, {"bf16", "f32"}, "train: what activations are");
  cli.json(o->json);
  return [o] {
    if (o->repeats < 1) throw UsageError("--repeats", "a whole number >= 1", fmt::format("{}", o->repeats));
    if (o->what == "kernels") return run_kernels(*o);
    if (o->what == "efficiency") {
      if (!o->efficiency.text.empty() && o->model.model.empty())
        throw UsageError("--text", "-m MODEL to measure its perplexity under", "none");
      o->efficiency.model = o->model.model;
      o->efficiency.threads = o->model.threads;
      o->efficiency.json = o->json;
      return run_efficiency(o->efficiency);
    }
    if (o->what != "model" && o->what != "tokenizer" && o->what != "train")
      throw UsageError("sigma bench", "model, kernels, tokenizer, train or efficiency", printable(o->what));
    if (o->model.model.empty()) throw UsageError("sigma bench " + o->what, "-m MODEL", "none");
    if (o->what == "train") return run_train(*o);
    return o->what == "model" ? run_model(*o) : run_tokenizer(*o);
  };
}

}  // namespace sigma
