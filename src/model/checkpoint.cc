#include "model/checkpoint.h"

#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/tokenizer_gguf.h"
#include "formats/tokenizer_json.h"
#include "model/gguf_config.h"

namespace sigma {

namespace fs = std::filesystem;

struct Checkpoint::Impl {
  std::string path;
  ModelConfig config;
  std::optional<GgufFile> gguf;  // one of the two
  std::optional<SafetensorsFolder> folder;
  std::map<std::string, SourceTensor> tensors;
  std::vector<int32_t> q_order, k_order;  // interleaved rows of architecture `llama`, put back in order
};

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

// Row r = (head, half, pair) of the half-split form stands at (head, pair, half) in the interleaved one.
std::vector<int32_t> interleaved_rows(int heads, int dim) {
  std::vector<int32_t> order;
  for (int head = 0; head < heads; ++head)
    for (int half = 0; half < 2; ++half)
      for (int pair = 0; pair < dim / 2; ++pair) order.push_back(head * dim + 2 * pair + half);
  return order;
}

bool is_gguf(const std::string& path) { return fs::is_regular_file(path); }

std::string config_path(const std::string& folder) { return folder + "/config.json"; }

}  // namespace

Checkpoint Checkpoint::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  std::error_code error;
  if (!fs::is_directory(path, error) && !fs::is_regular_file(path, error))
    throw Error(path, "a model folder or a .gguf file", fs::exists(path, error) ? "neither" : "nothing there");
  if (is_gguf(path)) {
    const GgufFile& file = impl->gguf.emplace(path);
    impl->config = config_from_gguf(file);
    for (const GgufTensor& t : file.tensors())
      impl->tensors.emplace(t.name, SourceTensor{t.format, t.shape, t.bytes, &file.file()});
    const AttentionShape& a = impl->config.attn;
    if (gguf_interleaves(impl->config)) {
      impl->q_order = interleaved_rows(a.q_heads, a.q_dim);
      impl->k_order = interleaved_rows(a.k_heads, a.k_dim);
    }
  } else {
    if (!fs::exists(config_path(path), error)) throw Error(path, "a config.json in the folder", "none");
    impl->config = config_from_hf(read_json(config_path(path)), config_path(path));
    const SafetensorsFolder& folder = impl->folder.emplace(path);
    for (const SafetensorsFile& file : folder.files())
      for (const SafetensorsEntry& entry : file.entries())
        if (entry.format)
          impl->tensors.emplace(entry.name, SourceTensor{*entry.format, entry.shape, entry.bytes, &file.file()});
  }
  return Checkpoint(std::move(impl));
}

const std::string& Checkpoint::path() const { return impl_->path; }
const char* Checkpoint::kind() const { return impl_->gguf ? "gguf" : "folder"; }
const ModelConfig& Checkpoint::config() const { return impl_->config; }
const std::map<std::string, SourceTensor>& Checkpoint::tensors() const { return impl_->tensors; }

const SourceTensor& Checkpoint::tensor(const WeightSpec& spec) const {
  const std::string& name = impl_->gguf ? spec.gguf_name : spec.name;
  const auto found = impl_->tensors.find(name);
  if (found == impl_->tensors.end()) throw Error(impl_->path, fmt::format("a tensor {}", name), "none of that name");
  const SourceTensor& t = found->second;
  if (t.shape != spec.shape())
    throw Error(impl_->path, fmt::format("{} of shape {}", name, shape_text(spec.shape())), shape_text(t.shape));
  if (spec.cols == 0 && format_info(t.format).block_elements != 1)
    throw Error(impl_->path, fmt::format("{} as plain numbers", name), std::string(format_info(t.format).name));
  return t;
}

MatrixSource Checkpoint::matrix(const WeightSpec& spec) const {
  const SourceTensor& t = tensor(spec);
  MatrixSource source{t.format, spec.rows, std::max<int64_t>(spec.cols, 1), t.bytes.data(), {}};
  if (spec.rotated_heads > 0) {
    // q_heads may equal k_heads; then the two orders are the same as well.
    const bool is_q = spec.rows == static_cast<int64_t>(impl_->q_order.size());
    source.row_order = is_q ? impl_->q_order : impl_->k_order;
  }
  return source;
}

std::vector<float> Checkpoint::values(const WeightSpec& spec) const {
  const MatrixSource source = matrix(spec);
  std::vector<float> result(static_cast<size_t>(spec.elements()));
  for (int64_t r = 0; r < source.rows; ++r)
    format_info(source.format).dequantise(source.row(r), result.data() + r * source.cols, source.cols);
  return result;
}

void Checkpoint::refuse_unknown_tensors() const {
  std::set<std::string> known = {kRopeDivisorsTensor};
  for (const WeightSpec& spec : weight_specs(impl_->config)) known.insert(impl_->gguf ? spec.gguf_name : spec.name);
  if (impl_->config.tied) known.insert("lm_head.weight");  // some files store it although it is the embedding
  for (const auto& [name, tensor] : impl_->tensors)
    if (!known.contains(name) && !name.ends_with(".rotary_emb.inv_freq"))
      throw Error(impl_->path, "only tensors that the configuration describes", printable(name));
}

void Checkpoint::release(const WeightSpec& spec) const {
  const SourceTensor& t = tensor(spec);
  t.file->release(t.bytes);
}

std::optional<TokenizerSpec> Checkpoint::tokenizer() const {
  const bool there = impl_->gguf ? has_gguf_tokenizer(*impl_->gguf) : fs::exists(impl_->path + "/tokenizer.json");
  if (!there) return std::nullopt;
  TokenizerSpec spec = impl_->gguf ? tokenizer_from_gguf(*impl_->gguf) : read_tokenizer_folder(impl_->path);
  if (std::cmp_greater(spec.tokens.size(), config().vocab))
    throw Error(impl_->path, fmt::format("a tokenizer of at most {} tokens, the model's vocabulary", config().vocab),
                fmt::format("{}", spec.tokens.size()));
  return spec;
}

TokenizerSpec load_tokenizer_spec(const std::string& path) {
  if (!fs::exists(path)) throw Error(path, "a folder with a tokenizer.json or a .gguf file", "nothing there");
  if (!is_gguf(path)) return read_tokenizer_folder(path);
  const GgufFile file(path);
  if (!has_gguf_tokenizer(file)) throw Error(path, "a tokenizer", "a model without one");
  return tokenizer_from_gguf(file);
}

}  // namespace sigma
