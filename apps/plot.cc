// sigma plot: the curves of training runs as a picture.
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/file.h"
#include "train/metrics.h"
#include "train/plot.h"

namespace sigma {

namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output = "plot.svg";
  bool json = false;
};

int run(const Options& o) {
  namespace fs = std::filesystem;
  std::vector<PlotRun> runs;
  for (const std::string& path : o.runs) {
    const bool folder = fs::is_directory(path);
    fs::path named = fs::path(path).lexically_normal();
    if (!named.has_filename()) named = named.parent_path();
    runs.push_back({named.filename().string(), read_metrics(folder ? path + "/metrics.jsonl" : path)});
  }
  write_file(o.output, plot_runs(runs));
  if (o.json) {
    print_json({{"path", o.output}});
  } else {
    std::printf("%s\n", o.output.c_str());
  }
  return 0;
}

}  // namespace

Run plot_command(Cli& cli) {
  const auto o = std::make_shared<Options>();
  cli.summary("Draw loss and learning rate of training runs, as SVG");
  cli.example("sigma plot runs/sigma-30m");
  cli.example("sigma plot runs/sigma-30m runs/gqa-30m -o compare.svg");
  cli.option("RUNS", o->runs, "folders of runs, or their metrics.jsonl");
  cli.option("-o,--output", o->output, "the picture to write");
  cli.json(o->json);
  return [o] { return run(*o); };
}

}  // namespace sigma
