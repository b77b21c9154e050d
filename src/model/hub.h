// Models by name: what MODEL arguments mean, the cache of pulled models, and pulling itself, either of a few models
// known by name or of any repository of the Hugging Face hub.
//
// NAME is a known model's ("smollm2") or OWNER/REPO[@REVISION][:FILE] on the hub.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace sigma {

struct HubSettings {
  std::string cache;     // folder: models/NAME and hub/OWNER/REPO[@REVISION] below it
  std::string endpoint;  // of the hub, without a slash at its end
  std::string token;     // sent to the endpoint as a bearer token, when not empty
  std::chrono::milliseconds back_off{500};
};

// cache_folder(), and HF_ENDPOINT and HF_TOKEN from the environment.
HubSettings hub_settings();

struct CachedModel {
  std::string name;
  std::string kind;  // folder, gguf, or partial: a pull that has not ended
  uint64_t bytes = 0;
  std::string path;
};
// [{name, kind, bytes, path}]
Json to_json(const std::vector<CachedModel>& models);

// Fetches what is missing, verifies it, and returns what the name stands for now; what is there already costs no
// network. Safe to interrupt (the next pull goes on where this one stopped) and to run twice at once.
std::vector<CachedModel> pull_model(const HubSettings& settings, const std::string& name);

// What is in the cache, by name.
std::vector<CachedModel> list_models(const HubSettings& settings);

// Removes a pulled model (with :FILE, that file only) and returns what was removed. Error: nothing of that name.
std::vector<CachedModel> remove_model(const HubSettings& settings, const std::string& name);

// The path of a MODEL argument: a folder or file as it is, else a pulled model's. Error, with the nearest name known.
std::string resolve_model(const std::string& model);
std::string resolve_model(const std::string& model, const HubSettings& settings);

}  // namespace sigma
