// sigma bench: how fast a model, or each kernel, runs on this machine, and what share of the machine's limit that is.
#include <cstdio>
#include <iostream>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "bench/kernels.h"
#include "bench/model.h"

namespace sigma {

namespace {

using bench::Machine;
using bench::ModelBench;
using bench::ModelCase;
using bench::Peak;
using bench::Spread;

struct Options {
  std::string what;
  ModelOptions model;
  std::vector<std::string> cases;
  std::string filter;
  int repeats = 5;
  bool from_stdin = false, json = false;
};

struct Limit {
  const char* kind;
  double value;  // bytes or operations per second
};

// What bounds a case: memory for decoding, the arithmetic of the weights' kernel for prefill.
Limit limit_of(Machine& machine, const ModelCase& c, Format weights) {
  if (!c.prefill) return {"read", machine.read_bandwidth()};
  if (weights == Format::f32 || weights == Format::f16) return {"f32", machine.peak(Peak::f32)};
  if (weights == Format::bf16) return {"bf16", machine.peak(Peak::bf16)};
  return {"int8", machine.peak(Peak::int8)};
}

// One line a case, in the form of docs/schemas/bench.json.
Json measure(ModelBench& bench, Machine& machine, const Session& session, const Options& o, const std::string& name) {
  const ModelCase c = [&] {
    ModelCase parsed = bench::parse_model_case(name);
    parsed.v_top = o.model.v_top;
    return parsed;
  }();
  std::vector<double> seconds;
  bench.measure(c);  // warm: scratch, pages, threads
  for (int i = 0; i < o.repeats; ++i) {
    machine.read_once();
    seconds.push_back(bench.measure(c));
  }
  const Format weights = session.model.weights.layers[0].gate.source;
  const Limit limit = limit_of(machine, c, weights);
  const Spread s = bench::spread_of(seconds);
  const auto tokens = static_cast<double>(c.tokens * c.sequences);
  const double work = c.prefill ? bench.operations(c) : bench.bytes(c);
  return {{"case", name},
          {"model", session.name},
          {"weights", format_info(weights).name},
          {"k_cache", o.model.k_cache},
          {"v_cache", o.model.v_cache},
          {"context", c.context},
          {"batch", c.sequences},
          {"threads", session.threads.size()},
          {"unit", "tokens/s"},
          {"ours", {{"median", tokens / s.median}, {"low", tokens / s.high}, {"high", tokens / s.low}}},
          {"peer", nullptr},
          {"ratio", nullptr},
          {"bytes", bench.bytes(c)},
          {"flops", bench.operations(c)},
          {"limit", {{"kind", limit.kind}, {"value", limit.value}}},
          {"share", limit.value > 0 ? Json(work / s.median / limit.value) : Json(nullptr)}};
}

void print(const Json& j) {
  const bool read = j["limit"]["kind"] == "read";
  const Json& ours = j["ours"];
  const double rate = j["share"].is_null() ? 0 : j["share"].get<double>() * j["limit"]["value"].get<double>() * 1e-9;
  std::printf("%-20s %10.1f tokens/s (%.1f - %.1f)  %7.1f %s  %3.0f%% of %s %.0f\n",
              j["case"].get<std::string>().c_str(), ours["median"].get<double>(), ours["low"].get<double>(),
              ours["high"].get<double>(), rate, read ? "GB/s" : "GOP/s",
              j["share"].is_null() ? 0.0 : j["share"].get<double>() * 100,
              j["limit"]["kind"].get<std::string>().c_str(), j["limit"]["value"].get<double>() * 1e-9);
}

// Each line of standard input names a case (or "read"), measured once: {"seconds", "bytes", "operations"} or
// {"bytes_per_second"}; so that a driver can measure something else in between.
int serve(ModelBench& bench, Machine& machine, const Options& o) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line == "read") {
      print_json({{"bytes_per_second", machine.read_once()}});
    } else if (line == "peaks") {
      print_json(
          {{"f32", machine.peak(Peak::f32)}, {"bf16", machine.peak(Peak::bf16)}, {"int8", machine.peak(Peak::int8)}});
    } else {
      ModelCase c = bench::parse_model_case(line);
      c.v_top = o.model.v_top;
      print_json({{"seconds", bench.measure(c)}, {"bytes", bench.bytes(c)}, {"operations", bench.operations(c)}});
    }
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
  for (const std::string& name : cases) {
    const Json line = measure(bench, machine, session, o, name);
    if (o.json) {
      print_json(line);
    } else {
      print(line);
    }
    std::fflush(stdout);
  }
  return 0;
}

int run_kernels(const Options& o) {
  ThreadPool threads(o.model.threads);
  bench::bench_kernels(cpu_kernels(), threads, {.filter = o.filter, .rounds = o.repeats},
                       [&](const bench::KernelResult& result) {
                         std::puts((o.json ? bench::to_json(result) : bench::to_text(result)).c_str());
                         std::fflush(stdout);
                       });
  return 0;
}

}  // namespace

Run bench_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Measure speed and the share of this machine's limits, both in the same run");
  cli.example("sigma bench model -m smollm2");
  cli.example("sigma bench model -m sigma-1.5b.gguf --case decode:32@16384 --k-cache q8 --v-top 100 --json");
  cli.example("sigma bench kernels --filter matmul");
  cli.option("WHAT", o->what, "model or kernels", Cli::Need::required);
  o->model.declare(cli, Cli::Need::optional);
  cli.option("--case", o->cases, "prefill:N[@CONTEXT] or decode:N[@CONTEXT][xSEQUENCES]; may be repeated");
  cli.option("--filter", o->filter, "kernels: only those whose name holds this");
  cli.option("--repeats", o->repeats, "Measurements of each case");
  cli.flag("--stdin", o->from_stdin, "model: measure the cases that standard input names, once each");
  cli.json(o->json);
  return [o] {
    if (o->repeats < 1) throw UsageError("--repeats", "a whole number >= 1", fmt::format("{}", o->repeats));
    if (o->what == "kernels") return run_kernels(*o);
    if (o->what != "model") throw UsageError("sigma bench", "model or kernels", printable(o->what));
    if (o->model.model.empty()) throw UsageError("sigma bench model", "-m MODEL", "none");
    return run_model(*o);
  };
}

}  // namespace sigma
