#include "model/export.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"
#include "formats/tokenizer_gguf.h"
#include "formats/tokenizer_json.h"
#include "model/gguf_config.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

Format stored_format(const WeightSpec& spec, Format source, const ExportOptions& options, bool gguf) {
  const bool quantised = format_info(source).block_elements > 1;
  if (spec.role == WeightRole::norm || spec.role == WeightRole::bias || spec.role == WeightRole::expansion)
    return gguf || quantised ? Format::f32 : options.type.value_or(source);
  Format format = options.type.value_or(source);
  if (spec.role == WeightRole::embedding && format == Format::q4_0) format = Format::q8_0;
  const FormatInfo& info = format_info(format);
  const bool whole_blocks = spec.cols % info.block_elements == 0;
  const bool writable = format == source || info.quantise != nullptr;
  return whole_blocks && writable && (gguf || info.block_elements == 1) ? format : Format::f32;
}

// Streams one tensor: blocks of rows are read, converted on all threads and written.
class TensorWriter {
 public:
  TensorWriter(const WeightReader& reader, ThreadPool& threads, Progress& progress)
      : reader_(reader), threads_(threads), progress_(progress) {}

  // order: stored row r is row order[r] of the model (empty: the same).
  void write(const WeightSpec& spec, Format format, const std::vector<int32_t>& order, FileWriter& out) {
    const WeightRows rows = reader_(spec);
    const int64_t cols = std::max<int64_t>(spec.cols, 1), row_bytes = format_row_bytes(format, cols);
    // A vector is written in long rows too; kBlock rows at a time bound the memory.
    const int64_t block = std::max<int64_t>(1, (int64_t{8} << 20) / row_bytes);
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(block, spec.rows) * row_bytes));
    for (int64_t begin = 0; begin < spec.rows; begin += block) {
      const int64_t count = std::min(block, spec.rows - begin);
      threads_.run(count, [&](int64_t i) {
        const int64_t stored = begin + i;
        const int64_t row = order.empty() ? stored : order[static_cast<size_t>(stored)];
        convert_row(rows, row, cols, format, buffer.data() + i * row_bytes);
      });
      out.write(std::span(buffer.data(), static_cast<size_t>(count * row_bytes)));
      done_ += static_cast<uint64_t>(count * row_bytes);
      progress_.update(done_);
    }
  }

 private:
  static void convert_row(const WeightRows& rows, int64_t row, int64_t cols, Format format, std::byte* out) {
    if (rows.format == format) return rows.read(row, out);
    thread_local std::vector<std::byte> raw;
    thread_local std::vector<float> values;
    raw.resize(static_cast<size_t>(format_row_bytes(rows.format, cols)));
    values.resize(static_cast<size_t>(cols));
    rows.read(row, raw.data());
    format_info(rows.format).dequantise(raw.data(), values.data(), cols);
    format_info(format).quantise(values.data(), out, cols);
  }

  const WeightReader& reader_;
  ThreadPool& threads_;
  Progress& progress_;
  uint64_t done_ = 0;
};

// Where architecture `llama` stores a row of Q or K: pairs of dimensions interleaved. Entry: the model's row.
std::vector<int32_t> interleaving(const WeightSpec& spec) {
  std::vector<int32_t> order;
  const auto dim = static_cast<int32_t>(spec.rows / spec.rotated_heads);
  for (int32_t head = 0; head < spec.rotated_heads; ++head)
    for (int32_t i = 0; i < dim; ++i) order.push_back(head * dim + (i % 2) * (dim / 2) + i / 2);
  return order;
}

uint32_t gguf_file_type(const ExportOptions& options, Format first) {
  switch (options.type.value_or(first)) {
    case Format::f16:
      return 1;
    case Format::q4_0:
      return 2;
    case Format::q4_1:
      return 3;
    case Format::q8_0:
      return 7;
    case Format::bf16:
      return 32;
    default:
      return 0;
  }
}

void write_gguf(const ModelConfig& config, const WeightReader& reader, const Checkpoint* tokenizer_source,
                const std::string& destination, const ExportOptions& options, ThreadPool& threads) {
  const std::vector<WeightSpec> specs = weight_specs(config);
  std::vector<TensorSpec> tensors;
  uint64_t bytes = 0;
  for (const WeightSpec& spec : specs) {
    tensors.push_back({spec.gguf_name, stored_format(spec, reader(spec).format, options, true), spec.shape()});
    bytes += tensor_bytes(tensors.back());
  }
  const std::vector<float> divisors = rope_divisors(config);
  if (!divisors.empty()) tensors.push_back({kRopeDivisorsTensor, Format::f32, {static_cast<int64_t>(divisors.size())}});
  GgufWriter writer;
  config_to_gguf(config, writer);
  writer.set("general.file_type", gguf_file_type(options, reader(specs[1 + (specs.size() > 2)]).format));
  writer.set("general.quantization_version", uint32_t{2});
  const std::optional<TokenizerSpec> tokenizer =
      tokenizer_source != nullptr ? tokenizer_source->tokenizer() : std::nullopt;
  if (tokenizer) {
    tokenizer_to_gguf(*tokenizer, writer);
  } else {
    writer.set("tokenizer.ggml.model", std::string_view("none"));
  }
  Progress progress("writing " + destination, bytes, "B");
  TensorWriter tensor_writer(reader, threads, progress);
  writer.write(destination, tensors, [&](size_t index, FileWriter& out) {
    if (index >= specs.size()) return out.write(std::as_bytes(std::span(divisors)));
    const WeightSpec& spec = specs[index];
    const bool interleaved = spec.rotated_heads > 0 && gguf_interleaves(config);
    tensor_writer.write(spec, tensors[index].format, interleaved ? interleaving(spec) : std::vector<int32_t>(), out);
  });
}

// The tokenizer's files as they are, or written from what a GGUF file says.
void write_tokenizer_files(const Checkpoint& source, const std::string& folder) {
  constexpr const char* kFiles[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                    "chat_template.jinja", "generation_config.json"};
  if (std::string_view(source.kind()) == "folder") {
    for (const char* name : kFiles)
      if (fs::exists(source.path() + "/" + name))
        write_file(folder + "/" + name, read_file(source.path() + "/" + name));
  } else if (const std::optional<TokenizerSpec> tokenizer = source.tokenizer()) {
    write_tokenizer_folder(*tokenizer, folder);
  }
}

void write_folder(const ModelConfig& config, const WeightReader& reader, const Checkpoint* tokenizer_source,
                  const std::string& folder, const ExportOptions& options, ThreadPool& threads) {
  const std::vector<WeightSpec> specs = weight_specs(config);
  std::vector<TensorSpec> tensors;
  uint64_t bytes = 0;
  for (const WeightSpec& spec : specs) {
    tensors.push_back({spec.name, stored_format(spec, reader(spec).format, options, false), spec.shape()});
    bytes += tensor_bytes(tensors.back());
  }
  write_file(folder + "/config.json", config_to_hf(config).dump(2) + "\n");
  if (tokenizer_source != nullptr) write_tokenizer_files(*tokenizer_source, folder);
  Progress progress("writing " + folder, bytes, "B");
  TensorWriter tensor_writer(reader, threads, progress);
  write_safetensors_folder(
      folder, tensors,
      [&](size_t index, FileWriter& out) { tensor_writer.write(specs[index], tensors[index].format, {}, out); },
      options.max_shard_bytes);
}

// Fills a folder beside the destination and renames it; removed again when anything fails.
class FolderBeside {
 public:
  explicit FolderBeside(const std::string& destination)
      : destination_(fs::path(destination).lexically_normal()), beside_(destination_) {
    if (!destination_.has_filename()) destination_ = destination_.parent_path();
    std::error_code error;
    if (fs::exists(destination_, error) && !fs::is_empty(destination_, error))
      throw Error(destination, "a folder that does not exist yet or is empty", "one with files in it");
    beside_ = destination_.string() + fmt::format(".{}.partial", ::getpid());
    fs::create_directories(beside_, error);
    if (error) throw Error(destination, "a place that can be written", error.message());
  }
  ~FolderBeside() {
    std::error_code ignored;
    if (!committed_) fs::remove_all(beside_, ignored);
  }
  FolderBeside(const FolderBeside&) = delete;
  FolderBeside& operator=(const FolderBeside&) = delete;
  std::string path() const { return beside_.string(); }
  void commit() {
    std::error_code error;
    fs::rename(beside_, destination_, error);  // replaces an empty folder
    if (error) throw Error(destination_.string(), "a place that can be written", error.message());
    committed_ = true;
  }

 private:
  fs::path destination_, beside_;
  bool committed_ = false;
};

}  // namespace

WeightReader checkpoint_reader(const Checkpoint& source) {
  return [&source](const WeightSpec& spec) -> WeightRows {
    const MatrixSource matrix = source.matrix(spec);
    return {matrix.format, [matrix](int64_t row, std::byte* out) {
              std::memcpy(out, matrix.row(row), static_cast<size_t>(format_row_bytes(matrix.format, matrix.cols)));
            }};
  };
}

void export_model(const ModelConfig& config, const WeightReader& reader, const Checkpoint* tokenizer_source,
                  const std::string& destination, const ExportOptions& options, ThreadPool& threads) {
  if (destination.ends_with(".gguf"))
    return write_gguf(config, reader, tokenizer_source, destination, options, threads);
  if (options.type && format_info(*options.type).block_elements > 1)
    throw Error(destination, "a name that ends in .gguf (folders hold f32, bf16 and f16)",
                fmt::format("a folder for {}", format_info(*options.type).name));
  FolderBeside folder(destination);
  write_folder(config, reader, tokenizer_source, folder.path(), options, threads);
  folder.commit();
}

}  // namespace sigma
