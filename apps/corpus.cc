// sigma corpus: fetch sources, build a corpus, report on it, look into it.
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "corpus/fetch.h"
#include "corpus/report.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "model/checkpoint.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::string action, what, work, set = "small", out, category;
  int threads = 0;
  int64_t count = 3;
  uint64_t seed = 0;
  bool json = false;
};

std::string work_folder(const Options& o) {
  if (!o.work.empty()) return o.work;
  return std::filesystem::path(o.what).stem().string() + ".corpus";
}

int fetch(const Options& o) {
  if (o.what == "language") {
    const std::string path = corpus::fetch_language_model();
    if (o.json)
      print_json({{"file", path}});
    else
      std::printf("%s\n", path.c_str());
    return 0;
  }
  if (o.what != "debian") throw UsageError("sigma corpus fetch", "debian or language", printable(o.what));
  const corpus::Fetched fetched = corpus::fetch_debian(o.set);
  if (o.json) {
    print_json({{"folder", fetched.folder},
                {"packages", fetched.packages},
                {"new", fetched.new_packages},
                {"bytes", fetched.bytes}});
  } else {
    std::printf("%s: %llu packages, %.1f MB (%llu new)\n", fetched.folder.c_str(),
                static_cast<unsigned long long>(fetched.packages), static_cast<double>(fetched.bytes) / 1e6,
                static_cast<unsigned long long>(fetched.new_packages));
  }
  return 0;
}

// What gave less than it should have, on standard error: the rest of the manifest's reasons are rules at work.
void tell_of_losses(const Json& manifest) {
  for (const auto& [source, funnel] : manifest.at("stages").at(0).at("sources").items())
    for (const auto& [reason, drop] : funnel.at("drops").items())
      if (reason == "a damaged input" || reason == "an input without documents" || reason == "a source without inputs")
        std::fprintf(stderr, "sigma: %s: %s: %llu, such as %s\n", source.c_str(), reason.c_str(),
                     static_cast<unsigned long long>(drop.at("documents").get<uint64_t>()),
                     drop.at("example").get_ref<const std::string&>().c_str());
}

int build(const Options& o, Collectives& processes) {
  corpus::BuildOptions options;
  options.processes = &processes;
  options.config = corpus::read_corpus_config(o.what);
  options.work = work_folder(o);
  options.version = SIGMA_VERSION;
  options.threads = o.threads;
  std::optional<Tokenizer> tokenizer;
  if (!options.config.tokenizer.empty()) {
    tokenizer.emplace(load_tokenizer_spec(resolve_model(options.config.tokenizer)));
    options.tokenizer = &*tokenizer;
  }
  const Json manifest = corpus::build_corpus(options);
  if (processes.rank() > 0) return 0;  // the first one speaks for all
  write_file(options.work + "/report.html", corpus::report_html(options.work));
  const Json& result = manifest.at("result");
  tell_of_losses(manifest);
  if (o.json) {
    print_json(result);
    return 0;
  }
  std::printf("%s: %llu documents, %.1f MB of text", options.work.c_str(),
              static_cast<unsigned long long>(result.at("documents").get<uint64_t>()),
              result.at("text_bytes").get<double>() / 1e6);
  if (result.contains("tokens")) std::printf(", %.2f million tokens", result.at("tokens").get<double>() / 1e6);
  std::printf("\nmanifest.json says what became of everything; report.html shows it\n");
  return 0;
}

int build(const Options& o) {
  Collectives processes;
  try {
    return build(o, processes);
  } catch (const std::exception& e) {
    if (processes.size() == 1) throw;
    std::fprintf(stderr, "sigma: process %d: %s\n", processes.rank(), e.what());
    processes.abort(1);  // the others wait for this one
  }
}

int report(const Options& o) {
  const std::string out = o.out.empty() ? o.what + "/report.html" : o.out;
  write_file(out, corpus::report_html(o.what));
  if (o.json) {
    print_json({{"file", out}});
  } else {
    std::printf("%s\n", out.c_str());
  }
  return 0;
}

// A fair sample of the documents that stayed: reservoir sampling over all of them.
int sample(const Options& o) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(o.what + "/documents"))
    if (entry.path().string().ends_with(".jsonl.zst")) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  std::vector<corpus::Document> chosen;
  Rng rng(o.seed);
  uint64_t seen = 0;
  for (const std::string& file : files) {
    corpus::read_documents(file, [&](corpus::Document& d) {
      if (!o.category.empty() && d.category != o.category) return;
      const uint64_t place = rng.below(++seen);
      if (chosen.size() < static_cast<size_t>(o.count)) {
        chosen.push_back(d);
      } else if (place < chosen.size()) {
        chosen[place] = d;
      }
    });
  }
  for (const corpus::Document& d : chosen) {
    if (o.json) {
      std::string line;
      corpus::append_json_line(line, d);
      std::printf("%s\n", line.c_str());
    } else {
      std::printf("=== %s | %s | %s | %s\n%s\n", d.id.c_str(), d.category.c_str(), d.licence.c_str(), d.title.c_str(),
                  d.text.c_str());
    }
  }
  return 0;
}

int run(const Options& o) {
  if (o.action == "fetch") return fetch(o);
  if (o.action == "build") return build(o);
  return o.action == "report" ? report(o) : sample(o);
}

}  // namespace

Run corpus_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Build a corpus of system-domain text: sources to documents to token shards, every drop accounted for");
  cli.example("sigma corpus fetch debian --set small       # packages into the cache, nothing is installed");
  cli.example("sigma corpus fetch language                 # the model that tells languages apart");
  cli.example("sigma corpus build configs/corpus-small.toml --work small.corpus");
  cli.example("mpirun -n 4 sigma corpus build big.toml --work /shared/big.corpus  # together, to the same bytes");
  cli.example("sigma corpus report small.corpus            # report.html again");
  cli.example("sigma corpus sample small.corpus --count 3 --category kernel");
  cli.choice("ACTION", o->action, {"fetch", "build", "report", "sample"}, "fetch, build, report or sample");
  cli.option("WHAT", o->what,
             "fetch: debian or language; build: a CORPUS.toml; report, sample: the work folder of a build",
             Cli::Need::required);
  cli.option("--work", o->work,
             "build: the folder for everything that is written; named after the configuration without it");
  cli.choice("--set", o->set, {"small", "medium", "large"}, "fetch: how many packages (29, 300, 630 MB)");
  cli.option("--out", o->out, "report: the file to write");
  cli.option("--count", o->count, "sample: how many documents");
  cli.option("--category", o->category, "sample: of this category only");
  cli.option("--seed", o->seed, "sample: another seed, other documents");
  cli.threads(o->threads);
  cli.json(o->json);
  return [o] { return run(*o); };
}

}  // namespace sigma
