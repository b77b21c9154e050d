// Pulls a repository of the Hugging Face hub, or of a server that speaks its API:
// GET {endpoint}/api/models/{repo}/revision/{revision}?blobs=true lists the files with their sizes and checksums,
// GET {endpoint}/{repo}/resolve/{commit}/{file} is a file's content, by way of redirects.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "model/hub_cache.h"
#include "net/http.h"

namespace sigma {

namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 44;  // 16 TiB: larger than any file, small enough to add up

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

HttpRequest request_to(const HubSettings& settings, const std::string& path) {
  HttpRequest request;
  request.url = settings.endpoint + path;
  request.back_off = settings.back_off;
  if (!settings.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + settings.token);
  return request;
}

struct Listing {
  std::string commit;
  std::vector<PulledFile> files;  // digest empty when the server gives none
};

PulledFile parse_file(const Json& entry, const std::string& where) {
  PulledFile file;
  const Json& name = entry.at("rfilename");
  file.name = name.get<std::string>();
  if (!safe_file_name(file.name))
    throw Error(where, "file names inside the repository", "'" + printable(file.name) + "'");
  const bool large = entry.contains("lfs") && entry.at("lfs").is_object();
  const Json& content = large ? entry.at("lfs") : entry;
  if (content.contains("size")) {
    const Json& size = content.at("size");
    if (!size.is_number_unsigned() || size.get<uint64_t>() > kMaxFileBytes) {
      throw Error(where, "the size of " + file.name, printable(size.dump()));
    }
    file.bytes = size.get<uint64_t>();
  }
  const char* key = large ? "sha256" : "blobId";
  if (content.contains(key) && content.at(key).is_string()) file.digest = content.at(key).get<std::string>();
  if (!is_hex(file.digest, large ? 64 : 40)) file.digest.clear();
  return file;
}

Listing parse_listing(const std::string& text, const std::string& where) {
  const Json json = parse_json(text, where);
  Listing listing;
  try {
    listing.commit = json.at("sha").get<std::string>();
    if (!is_hex(listing.commit, 40)) throw Error(where, "the commit's 40 hex digits", printable(listing.commit));
    for (const Json& entry : json.at("siblings")) listing.files.push_back(parse_file(entry, where));
  } catch (const Json::exception& e) {
    throw Error(where, "the hub's description of a repository", printable(e.what(), 120));
  }
  return listing;
}

bool in_root(const std::string& name) { return name.find('/') == std::string::npos; }

bool is_description(const std::string& name) {
  static constexpr std::string_view kNames[] = {
      "config.json",         "generation_config.json", "special_tokens_map.json",
      "chat_template.jinja", "added_tokens.json",      "vocab.json",
      "merges.txt"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         (name.starts_with("tokenizer") && name.ends_with(".json"));
}

// The weights of a folder: model.safetensors, or its shards with their index; files of other names only where there is
// no such file (some repositories hold the same weights twice).
std::vector<PulledFile> folder_weights(const std::vector<PulledFile>& files) {
  std::vector<PulledFile> all, named;
  for (const PulledFile& file : files) {
    if (!in_root(file.name)) continue;
    if (!file.name.ends_with(".safetensors") && !file.name.ends_with(".safetensors.index.json")) continue;
    all.push_back(file);
    if (file.name.starts_with("model")) named.push_back(file);
  }
  return named.empty() ? all : named;
}

std::string names_of(const std::vector<PulledFile>& files) {
  std::string out;
  for (const PulledFile& file : files) {
    if (out.size() > 400) return out + ", ...";
    out += (out.empty() ? "" : ", ") + printable(file.name);
  }
  return out.empty() ? "none" : out;
}

std::vector<PulledFile> select(const std::vector<PulledFile>& files, const ModelName& name) {
  if (!name.file.empty()) {
    for (const PulledFile& file : files) {
      if (file.name == name.file) return {file};
    }
    throw Error(name.base(), "the file " + name.file, names_of(files));
  }
  std::vector<PulledFile> selected = folder_weights(files);
  if (!selected.empty()) {
    for (const PulledFile& file : files) {
      if (is_description(file.name)) selected.push_back(file);
    }
    return selected;
  }
  std::vector<PulledFile> ggufs;
  for (const PulledFile& file : files) {
    if (file.name.ends_with(".gguf")) ggufs.push_back(file);
  }
  if (ggufs.size() == 1) return ggufs;
  if (ggufs.empty()) throw Error(name.base(), "safetensors or GGUF weights", names_of(files));
  throw Error(name.base(), "the choice of one file: --file NAME", names_of(ggufs));
}

void fetch_file(const HubSettings& settings, const ModelName& name, const std::string& commit,
                const std::string& folder, const PulledFile& file) {
  const std::string path = folder + "/" + file.name;
  if (!in_root(file.name)) make_folders(path.substr(0, path.rfind('/')));
  if (file_is(path, file)) return;
  HttpRequest request = request_to(
      settings, fmt::format("/{}/{}/resolve/{}/{}", name.owner, name.repository, commit, percent_encode(file.name)));
  request.size = file.bytes;
  while (true) {
    PartialFile partial(path, file);
    const bool resumed = partial.bytes() > 0;
    request.offset = partial.bytes();
    if (request.offset < file.bytes) {
      Progress progress(file.name, file.bytes, "B");
      http_get(request, [&](std::string_view bytes) {
        partial.append(bytes);
        progress.update(partial.bytes());
      });
    }
    if (partial.finish()) return;
    // What an earlier run left may have been of another revision: once more, from the start.
    if (!resumed) throw Error(request.url, "the checksum " + file.digest, partial.found_digest());
  }
}

[[noreturn]] void explain(const HttpStatusError& e, const ModelName& name) {
  std::string expected = "a repository that may be read";
  if (e.status() == 401 || e.status() == 403) expected += " (private, gated or missing: HF_TOKEN gives access)";
  throw Error(name.base(), expected, e.found());
}

}  // namespace

Record pull_repository(const HubSettings& settings, const ModelName& name, const std::string& folder) {
  const std::string revision = name.revision.empty() ? "main" : name.revision;
  const std::string place = name.owner + "/" + name.repository;
  try {
    // A revision is one part of the path: its slashes are encoded too.
    std::string encoded = percent_encode(revision);
    for (size_t at = 0; (at = encoded.find('/', at)) != std::string::npos;) encoded.replace(at, 1, "%2F");
    const HttpRequest request =
        request_to(settings, fmt::format("/api/models/{}/revision/{}?blobs=true", place, encoded));
    const Listing listing = parse_listing(http_get(request), request.url);
    const std::vector<PulledFile> files = select(listing.files, name);
    uint64_t bytes = 0;
    for (const PulledFile& file : files) {
      if (file.digest.empty()) throw Error(request.url, "a checksum of " + file.name, "none");
      bytes += file.bytes;
    }
    require_room(folder, bytes);
    for (const PulledFile& file : files) fetch_file(settings, name, listing.commit, folder, file);
    return {.source = settings.endpoint + "/" + place,
            .revision = listing.commit,
            .whole = name.file.empty(),
            .files = files};
  } catch (const HttpStatusError& e) {
    explain(e, name);
  }
}

}  // namespace sigma
