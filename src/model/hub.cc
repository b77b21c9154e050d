#include "model/hub.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "model/hub_cache.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

constexpr const char* kEndpoint = "https://huggingface.co";

bool is_gguf(const std::string& file) { return file.ends_with(".gguf"); }

// What the complete pull of a name holds: a folder to load, GGUF files, or both.
std::vector<CachedModel> models_of(const std::string& base, const std::string& folder, const Record& record) {
  CachedModel whole{.name = base, .kind = "folder", .path = folder};
  bool loadable = false;
  std::vector<CachedModel> files;
  for (const PulledFile& file : record.files) {
    loadable = loadable || file.name == "config.json";
    if (is_gguf(file.name)) {
      files.push_back(
          {.name = base + ":" + file.name, .kind = "gguf", .bytes = file.bytes, .path = folder + "/" + file.name});
    } else {
      whole.bytes += file.bytes;
    }
  }
  if (files.size() == 1 && !loadable) files[0].name = base;
  if (loadable) files.insert(files.begin(), whole);
  return files;
}

uint64_t bytes_below(const std::string& folder) {
  uint64_t bytes = 0;
  std::error_code unreadable;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, unreadable)) {
    if (entry.is_regular_file(unreadable)) bytes += entry.file_size(unreadable);
  }
  return bytes;
}

// What is at a folder of the cache, complete or not.
std::vector<CachedModel> models_at(const std::string& base, const std::string& folder) {
  Record record;
  if (read_record(folder, record)) return models_of(base, folder, record);
  return {{.name = base, .kind = "partial", .bytes = bytes_below(folder), .path = folder}};
}

std::vector<std::string> folders_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, none)) {
    if (entry.is_directory(none)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Edits (insert, remove, replace a letter) from one name to the other.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// " (did you mean X?)" for the nearest name known, if one is near.
std::string suggestion(const HubSettings& settings, const std::string& wanted) {
  std::string best;
  size_t distance = std::max<size_t>(2, wanted.size() / 3) + 1;
  const auto consider = [&](const std::string& name) {
    if (name.size() > 300 || wanted.size() > 300) return;
    const size_t d = edit_distance(wanted, name);
    if (d < distance) {
      distance = d;
      best = name;
    }
  };
  for (const CachedModel& model : list_models(settings)) consider(model.name);
  for (const KnownModel& known : known_models()) consider(known.name);
  return best.empty() ? "" : ": did you mean " + best + "?";
}

std::string joined(const std::vector<CachedModel>& models) {
  std::string out;
  for (const CachedModel& model : models) out += (out.empty() ? "" : ", ") + model.name;
  return out;
}

// The models that a name stands for: all of its folder's, or the one of its file.
std::vector<CachedModel> matching(const ModelName& name, const std::string& folder) {
  std::error_code none;
  if (!fs::is_directory(folder, none)) return {};
  std::vector<CachedModel> models = models_at(name.base(), folder);
  if (!name.file.empty()) {
    std::erase_if(models, [&](const CachedModel& model) { return model.path != folder + "/" + name.file; });
  }
  return models;
}

// Removes the folder of a name, and its owner's, if they are empty.
void remove_empty(const HubSettings& settings, const ModelName& name) {
  std::error_code not_empty;
  fs::remove(settings.cache + "/" + name.folder(), not_empty);
  if (name.known == nullptr) fs::remove(settings.cache + "/hub/" + name.owner, not_empty);
}

}  // namespace

Json to_json(const std::vector<CachedModel>& models) {
  Json list = Json::array();
  for (const CachedModel& model : models) {
    list.push_back({{"name", model.name}, {"kind", model.kind}, {"bytes", model.bytes}, {"path", model.path}});
  }
  return list;
}

HubSettings hub_settings() {
  HubSettings settings{.cache = cache_folder(), .endpoint = kEndpoint, .token = {}};
  if (const char* endpoint = std::getenv("HF_ENDPOINT"); endpoint != nullptr && *endpoint != '\0') {
    settings.endpoint = endpoint;
    while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  }
  if (const char* token = std::getenv("HF_TOKEN"); token != nullptr) settings.token = token;
  return settings;
}

std::vector<CachedModel> pull_model(const HubSettings& settings, const std::string& name) {
  const ModelName parsed = parse_model_name(name);
  const std::string folder = settings.cache + "/" + parsed.folder();
  const CacheLock lock(settings, parsed);
  Record record;
  if (read_record(folder, record)) {
    std::vector<CachedModel> there = matching(parsed, folder);
    const bool sound = std::all_of(record.files.begin(), record.files.end(), [&](const PulledFile& file) {
      std::error_code none;
      return fs::file_size(folder + "/" + file.name, none) == file.bytes && !none;
    });
    if (sound && !there.empty() && (record.whole || !parsed.file.empty())) return there;
  }
  make_folders(folder);
  Record pulled;
  try {
    pulled = parsed.known != nullptr ? pull_known(*parsed.known, folder) : pull_repository(settings, parsed, folder);
  } catch (const std::exception&) {
    remove_empty(settings, parsed);  // what was fetched stays, for the next pull
    throw;
  }
  pulled.whole = record.whole || parsed.file.empty();
  // Another file of a repository joins those that are there.
  for (const PulledFile& file : record.files) {
    const bool again = std::any_of(pulled.files.begin(), pulled.files.end(),
                                   [&](const PulledFile& other) { return other.name == file.name; });
    if (!again && file_is(folder + "/" + file.name, file)) pulled.files.push_back(file);
  }
  write_record(folder, pulled);
  return matching(parsed, folder);
}

std::vector<CachedModel> list_models(const HubSettings& settings) {
  std::vector<CachedModel> models;
  const auto add = [&](const std::string& base, const std::string& folder) {
    const std::vector<CachedModel> here = models_at(base, folder);
    models.insert(models.end(), here.begin(), here.end());
  };
  for (const std::string& name : folders_in(settings.cache + "/models")) add(name, settings.cache + "/models/" + name);
  const std::string hub = settings.cache + "/hub";
  for (const std::string& owner : folders_in(hub)) {
    for (const std::string& repository : folders_in(fmt::format("{}/{}", hub, owner))) {
      std::string base = fmt::format("{}/{}", owner, repository);
      const std::string folder = fmt::format("{}/{}", hub, base);
      for (size_t at = 0; (at = base.find("%2F", at)) != std::string::npos;) base.replace(at, 3, "/");
      add(base, folder);
    }
  }
  return models;
}

std::vector<CachedModel> remove_model(const HubSettings& settings, const std::string& name) {
  const ModelName parsed = parse_model_name(name);
  const std::string folder = settings.cache + "/" + parsed.folder();
  const CacheLock lock(settings, parsed);
  std::vector<CachedModel> models = matching(parsed, folder);
  if (models.empty())
    throw Error(name, "a model that `sigma list` shows", "none of that name" + suggestion(settings, name));
  Record record;
  std::error_code failed;
  if (!parsed.file.empty() && read_record(folder, record) && record.files.size() > 1) {
    std::erase_if(record.files, [&](const PulledFile& file) { return file.name == parsed.file; });
    write_record(folder, record);
    fs::remove(folder + "/" + parsed.file, failed);
  } else {
    fs::remove_all(folder, failed);
    remove_empty(settings, parsed);
  }
  if (failed) throw Error(folder, "files that can be removed", failed.message());
  return models;
}

std::string resolve_model(const std::string& model) {
  std::error_code none;
  return fs::exists(model, none) ? model : resolve_model(model, hub_settings());
}

std::string resolve_model(const std::string& model, const HubSettings& settings) {
  std::error_code none;
  if (fs::exists(model, none)) return model;
  const std::string shown = printable(model, 200);
  std::optional<ModelName> name;
  try {
    name = parse_model_name(model);
  } catch (const Error&) {
    throw Error(shown, "a folder, a .gguf file or a pulled model", "none of them" + suggestion(settings, model));
  }
  const std::vector<CachedModel> models = matching(*name, settings.cache + "/" + name->folder());
  if (models.size() == 1 && models[0].kind != "partial") return models[0].path;
  if (models.size() > 1) {
    const bool whole = models[0].kind == "folder";
    if (whole) return models[0].path;
    throw Error(shown, "the name of one file", joined(models));
  }
  if (!models.empty()) {
    throw Error(shown, "a complete model", "a pull that has not ended: `sigma pull " + shown + "` goes on with it");
  }
  const std::string near = name->known != nullptr ? "" : suggestion(settings, model);
  throw Error(shown, "a folder, a .gguf file or a pulled model",
              "none of them" + (near.empty() ? ": `sigma pull " + shown + "` may fetch it" : near));
}

}  // namespace sigma
