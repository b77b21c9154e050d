// sigma list: the models in the cache.
#include <algorithm>
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/fmt.h"
#include "model/hub.h"

namespace sigma {

namespace {

int run(bool json) {
  const HubSettings settings = hub_settings();
  const std::vector<CachedModel> models = list_models(settings);
  if (json) {
    print_json(to_json(models));
    return 0;
  }
  if (models.empty()) {
    std::printf("No models in %s; `sigma pull smollm2` fetches one.\n", settings.cache.c_str());
    return 0;
  }
  size_t width = 4;
  for (const CachedModel& model : models) width = std::max(width, model.name.size());
  std::string table = fmt::format("{:<{}}  {:<7}  {:>10}  path\n", "name", width, "kind", "MiB");
  for (const CachedModel& model : models) {
    table += fmt::format("{:<{}}  {:<7}  {:>10.1f}  {}\n", model.name, width, model.kind,
                         static_cast<double>(model.bytes) / (1 << 20), model.path);
  }
  std::fputs(table.c_str(), stdout);
  return 0;
}

}  // namespace

Run list_command(Cli& cli) {
  auto json = std::make_shared<bool>(false);
  cli.summary("List the models in the cache");
  cli.example("sigma list");
  cli.example("sigma list --json");
  cli.json(*json);
  return [json] { return run(*json); };
}

}  // namespace sigma
