#include "train/checkpoint_store.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "formats/tokenizer_json.h"
#include "model/export.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMoments = "optimiser.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kPrefix = "step-";

// Against damage, not against malice: four chains over words, so that memory is the limit.
uint64_t checksum(std::span<const std::byte> bytes) {
  constexpr uint64_t kFactor = 0x9e3779b97f4a7c15ull;
  uint64_t h[4] = {bytes.size(), 1, 2, 3};
  size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32)
    for (size_t i = 0; i < 4; ++i) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + at + 8 * i, 8);
      h[i] = (h[i] ^ word) * kFactor;
      h[i] ^= h[i] >> 32;
    }
  for (; at < bytes.size(); ++at) h[0] = (h[0] ^ static_cast<uint64_t>(bytes[at])) * kFactor;
  for (size_t i = 1; i < 4; ++i) h[0] = ((h[0] ^ h[i]) * kFactor) ^ (h[0] >> 29);
  return h[0];
}

std::string checksum_text(std::span<const std::byte> bytes) { return fmt::format("{:016x}", checksum(bytes)); }

Json checksums(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  Json sums = Json::object();
  for (const std::string& name : names)
    if (name != kState) sums[name] = checksum_text(MappedFile(fmt::format("{}/{}", folder, name)).bytes());
  return sums;
}

std::string own_checksum(const Json& state) {
  const std::string text = state.dump();
  return checksum_text(std::as_bytes(std::span(text.data(), text.size())));
}

// The state of a whole checkpoint; Error says what is wrong with it.
Json checked_state(const std::string& folder) {
  const std::string path = folder + "/" + kState;
  Json state = read_json(path);
  if (!state.is_object() || !state.contains("checksum") || !state.contains("files") || !state["files"].is_object())
    throw Error(path, "the state of a run", "something else");
  const Json found = state["checksum"];
  state.erase("checksum");
  if (found != own_checksum(state)) throw Error(path, "the checksum it was written with", "another one");
  for (const auto& [name, sum] : state["files"].items()) {
    const std::string file = fmt::format("{}/{}", folder, name);
    if (sum != checksum_text(MappedFile(file).bytes()))
      throw Error(file, "the bytes it was written with", "other ones (damaged or cut short)");
  }
  return state;
}

}  // namespace

CheckpointStore::CheckpointStore(std::string folder, int keep) : folder_(std::move(folder)), keep_(std::max(1, keep)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw Error(folder_, "a place that can be written", error.message());
}

std::vector<std::string> CheckpointStore::names() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(kPrefix) && name.find('.') == std::string::npos) found.push_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string CheckpointStore::save(int64_t step, const Parameters& parameters, std::span<const float> mean,
                                  std::span<const float> square, const Json& state, const TokenizerSpec* tokenizer,
                                  ThreadPool& threads) {
  std::string path = fmt::format("{}/{}{:08}", folder_, kPrefix, step);
  const std::string beside = path + ".partial";
  std::error_code error;
  fs::remove_all(beside, error);
  try {
    export_model(parameters.config(), parameters.reader(), nullptr, beside, {}, threads);
    if (tokenizer != nullptr) write_tokenizer_folder(*tokenizer, beside);
    const auto elements = static_cast<int64_t>(mean.size());
    const TensorSpec specs[] = {{"mean", Format::f32, {elements}}, {"square", Format::f32, {elements}}};
    write_safetensors(beside + "/" + kMoments, specs,
                      [&](size_t index, FileWriter& out) { out.write(std::as_bytes(index == 0 ? mean : square)); });
    Json whole = state;
    whole["files"] = checksums(beside);
    whole["checksum"] = own_checksum(whole);
    write_file(beside + "/" + kState, whole.dump(1) + "\n");
  } catch (...) {
    fs::remove_all(beside, error);
    throw;
  }
  fs::remove_all(path, error);  // a damaged one that this run has come past
  fs::rename(beside, path, error);
  if (error) throw Error(path, "a place that can be written", error.message());
  remove_old();
  return path;
}

void CheckpointStore::remove_old() const {
  const std::vector<std::string> all = names();
  for (size_t i = 0; i + static_cast<size_t>(keep_) < all.size(); ++i) {
    // Renamed first: a checkpoint that is half removed is none.
    const std::string path = folder_ + "/" + all[i], old = path + ".old";
    std::error_code error;
    fs::rename(path, old, error);
    fs::remove_all(error ? path : old, error);
  }
  for (const auto& entry : fs::directory_iterator(folder_)) {
    std::error_code error;
    if (entry.path().extension() == ".old") fs::remove_all(entry.path(), error);
  }
}

std::optional<CheckpointStore::Found> CheckpointStore::newest(std::vector<std::string>& damaged) const {
  std::vector<std::string> all = names();
  std::reverse(all.begin(), all.end());
  for (const std::string& name : all) {
    const std::string path = folder_ + "/" + name;
    try {
      return Found{path, checked_state(path)};
    } catch (const Error& error) {
      damaged.emplace_back(error.what());
    }
  }
  return std::nullopt;
}

void CheckpointStore::load(const std::string& path, Parameters& parameters, std::span<float> mean,
                           std::span<float> square, ThreadPool& threads) {
  const Checkpoint source = Checkpoint::open(path);
  parameters.load(threads, checkpoint_reader(source));
  const SafetensorsFile moments(path + "/" + kMoments);
  const auto copy = [&](const char* name, std::span<float> to) {
    const SafetensorsEntry* entry = moments.find(name);
    if (entry == nullptr || entry->bytes.size() != to.size_bytes())
      throw Error(path + "/" + kMoments, fmt::format("{} numbers named {}", to.size(), name),
                  entry == nullptr ? "none" : fmt::format("{}", entry->bytes.size() / sizeof(float)));
    std::memcpy(to.data(), entry->bytes.data(), to.size_bytes());
  };
  copy("mean", mean);
  copy("square", square);
}

}  // namespace sigma
