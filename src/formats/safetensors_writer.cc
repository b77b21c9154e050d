#include "formats/safetensors_writer.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/json.h"

namespace sigma {
namespace {

constexpr uint64_t kHeaderAlignment = 8;

std::string_view dtype_name(Format format) {
  SIGMA_CHECK(format == Format::f32 || format == Format::f16 || format == Format::bf16);
  return format == Format::f32 ? "F32" : format == Format::f16 ? "F16" : "BF16";
}

// Positions in `tensors`, wider elements first.
void order_by_width(std::vector<size_t>& indices, std::span<const TensorSpec> tensors) {
  std::stable_sort(indices.begin(), indices.end(), [&](size_t a, size_t b) {
    return format_info(tensors[a].format).block_bytes > format_info(tensors[b].format).block_bytes;
  });
}

std::string header_text(std::span<const TensorSpec> tensors, std::span<const size_t> indices,
                        const SafetensorsMetadata& metadata) {
  std::string text = "{";
  const auto begin_entry = [&](std::string_view name) {
    if (text.size() > 1) text += ',';
    text += Json(name).dump() + ":";
  };
  if (!metadata.empty()) {
    begin_entry("__metadata__");
    Json values = Json::object();
    for (const auto& [key, value] : metadata) values[key] = value;
    text += values.dump();
  }
  uint64_t offset = 0;
  for (const size_t i : indices) {
    const uint64_t end = offset + tensor_bytes(tensors[i]);
    begin_entry(tensors[i].name);
    text += fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", dtype_name(tensors[i].format),
                        fmt::join(tensors[i].shape, ","), offset, end);
    offset = end;
  }
  text += '}';
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  return text;
}

// Everything but the commit. indices: the tensors of this file.
void write_file_of(FileWriter& file, std::span<const TensorSpec> tensors, std::vector<size_t> indices,
                   const TensorSource& source, const SafetensorsMetadata& metadata) {
  order_by_width(indices, tensors);
  const std::string header = header_text(tensors, indices, metadata);
  const uint64_t header_size = header.size();
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(header);
  for (const size_t i : indices) {
    const uint64_t begin = file.position();
    source(i, file);
    SIGMA_CHECK_EQ(file.position() - begin, tensor_bytes(tensors[i]));
  }
}

std::vector<size_t> all_of(std::span<const TensorSpec> tensors) {
  std::vector<size_t> indices(tensors.size());
  std::iota(indices.begin(), indices.end(), size_t{0});
  return indices;
}

// Which tensors go into which shard: in order, a new one when the next tensor would not fit.
std::vector<std::vector<size_t>> plan_shards(std::span<const TensorSpec> tensors, uint64_t max_shard_bytes) {
  std::vector<std::vector<size_t>> shards;
  uint64_t used = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = tensor_bytes(tensors[i]);
    if (shards.empty() || (used > 0 && used + bytes > max_shard_bytes)) {
      shards.emplace_back();
      used = 0;
    }
    shards.back().push_back(i);
    used += bytes;
  }
  return shards;
}

std::string index_text(const std::map<std::string, std::string>& weight_map, uint64_t total_bytes) {
  Json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = Json::object();
  for (const auto& [tensor, file] : weight_map) index["weight_map"][tensor] = file;
  return index.dump(2) + "\n";
}

void refuse_existing(const std::string& folder, const char* name, const char* to_write) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder + "/" + name, ignored)) return;
  throw Error(folder, fmt::format("a folder without {}, to write {}", name, to_write), "one with it");
}

// Removes what it was told of, unless told that all is well.
class Undo {
 public:
  ~Undo() {
    std::error_code ignored;
    for (const std::string& path : paths_) std::filesystem::remove(path, ignored);
  }
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  void add(const std::string& path) { paths_.push_back(path); }
  void dismiss() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

void write_shards(const std::string& folder, std::span<const TensorSpec> tensors, const TensorSource& source,
                  const std::vector<std::vector<size_t>>& shards) {
  std::vector<std::unique_ptr<FileWriter>> files;
  std::vector<std::string> paths;
  std::map<std::string, std::string> weight_map;
  uint64_t total_bytes = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    paths.push_back(fmt::format("{}/{}", folder, name));
    files.push_back(std::make_unique<FileWriter>(paths.back()));
    write_file_of(*files.back(), tensors, shards[s], source, {{"format", "pt"}});
    for (const size_t i : shards[s]) {
      weight_map[tensors[i].name] = name;
      total_bytes += tensor_bytes(tensors[i]);
    }
  }
  Undo undo;
  for (size_t s = 0; s < shards.size(); ++s) {
    files[s]->commit();
    undo.add(paths[s]);
  }
  write_file(folder + "/model.safetensors.index.json", index_text(weight_map, total_bytes));
  undo.dismiss();
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorSpec> tensors, const TensorSource& source,
                       const SafetensorsMetadata& metadata) {
  FileWriter file(path);
  write_file_of(file, tensors, all_of(tensors), source, metadata);
  file.commit();
}

void write_safetensors_folder(const std::string& folder, std::span<const TensorSpec> tensors,
                              const TensorSource& source, uint64_t max_shard_bytes) {
  const auto shards = plan_shards(tensors, max_shard_bytes);
  if (shards.size() <= 1) {
    refuse_existing(folder, "model.safetensors.index.json", "model.safetensors");
    write_safetensors(folder + "/model.safetensors", tensors, source);
  } else {
    refuse_existing(folder, "model.safetensors", "model.safetensors.index.json");
    write_shards(folder, tensors, source, shards);
  }
}

}  // namespace sigma
