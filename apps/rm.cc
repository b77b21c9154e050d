// sigma rm: removes a model from the cache.
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::string name;
  bool json = false;
};

int run(const Options& o) {
  const std::vector<CachedModel> models = remove_model(hub_settings(), o.name);
  if (o.json) {
    print_json(to_json(models));
    return 0;
  }
  for (const CachedModel& model : models) std::printf("removed %s\n", model.path.c_str());
  return 0;
}

}  // namespace

Run rm_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Remove a pulled model from the cache, without asking; nothing outside of it is ever touched");
  cli.example("sigma rm smollm2");
  cli.example("sigma rm owner/repo");
  cli.example("sigma rm owner/repo:model-q8_0.gguf");
  cli.option("NAME", o->name, "A name that `sigma list` shows", Cli::Need::required);
  cli.json(o->json);
  return [o] { return run(*o); };
}

}  // namespace sigma
