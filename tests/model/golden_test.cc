// The whole model against golden files made by an independent PyTorch implementation (tests/golden/README.md).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/json.h"
#include "formats/safetensors.h"
#include "model/export.h"
#include "model/forward.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = std::string(SIGMA_TEST_DATA) + "/golden";

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden))
    if (fs::exists(entry.path() / "golden.safetensors")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

struct Golden {
  explicit Golden(const std::string& name) : file(kGolden + "/" + name + "/golden.safetensors") {
    const auto bytes = file.find("tokens")->bytes;
    std::vector<int64_t> ids(bytes.size() / 8);
    std::memcpy(ids.data(), bytes.data(), bytes.size());
    tokens.assign(ids.begin(), ids.end());
  }
  std::vector<float> floats(const char* name) const {
    const auto bytes = file.find(name)->bytes;
    std::vector<float> values(bytes.size() / 4);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  SafetensorsFile file;
  std::vector<TokenId> tokens;
};

struct Runner {
  Runner(const std::string& folder, const Kernels& set, Format cache_format, int page_tokens = 5)
      : kernels(set),
        model(load_model(folder, set, threads)),
        cache(set, model.config,
              {.k_format = cache_format, .v_format = cache_format, .page_tokens = page_tokens, .tokens = 64}) {
    while (const auto page = cache.allocate()) pages.push_back(*page);
  }
  // Logits of tokens [begin, end), which follow what is cached.
  std::vector<float> run(std::span<const TokenId> tokens, int64_t position, int64_t v_top = 0,
                         VWeights weights = VWeights::all) {
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    const SeqSlice slice{0, static_cast<int64_t>(tokens.size()), position, pages};
    const ConstTensorView logits =
        forward(kernels, threads, model, cache, workspace,
                {.tokens = tokens, .seqs = {&slice, 1}, .logit_rows = rows, .v_top = v_top, .v_weights = weights});
    const float* data = logits.row<float>(0);
    return {data, data + logits.rows * logits.cols};
  }

  const Kernels& kernels;
  ThreadPool threads{2};
  Model model;
  KvCache cache;
  Workspace workspace;
  std::vector<PageId> pages;
};

// Largest difference over largest value, the worst row's.
double worst_row(const std::vector<float>& got, const std::vector<float>& want, int cols) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t row = 0; row + static_cast<size_t>(cols) <= want.size(); row += static_cast<size_t>(cols)) {
    double difference = 0, largest = 0;
    for (size_t i = row; i < row + static_cast<size_t>(cols); ++i) {
      difference = std::max(difference, std::abs(static_cast<double>(got[i]) - want[i]));
      largest = std::max(largest, std::abs(static_cast<double>(want[i])));
      if (std::isnan(got[i])) return INFINITY;
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

bool has_bf16(const Model& model) {
  for (const auto& [name, tensor] : model.source.tensors())
    if (tensor.format == Format::bf16) return true;
  return false;
}

// The case with every weight in f32, exactly: so that nothing but the computation is compared. (bf16 weights may be
// multiplied with activations rounded to bf16, docs/numerics.md.)
class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  std::string stored() const { return kGolden + "/" + GetParam(); }
  std::string in_f32() const {
    const std::string path = folder.path(GetParam());
    if (!fs::exists(path)) {
      const Checkpoint source = Checkpoint::open(stored());
      ThreadPool threads(1);
      export_model(source.config(), checkpoint_reader(source), nullptr, path, {.type = Format::f32}, threads);
    }
    return path;
  }
  test::TempFolder folder;
};

TEST_P(GoldenModel, LogitsAgreeInF32) {
  const Golden golden(GetParam());
  for (const Kernels* set : runnable_kernels()) {
    SCOPED_TRACE(set->name);
    Runner runner(in_f32(), *set, Format::f32);
    const int vocab = runner.model.config.vocab;
    EXPECT_LE(worst_row(runner.run(golden.tokens, 0), golden.floats("logits"), vocab), 1e-4);
    if (golden.file.find("logits_vtop7") == nullptr) continue;
    EXPECT_LE(worst_row(runner.run(golden.tokens, 0, 7), golden.floats("logits_vtop7"), vocab), 1e-4);
    EXPECT_LE(worst_row(runner.run(golden.tokens, 0, 7, VWeights::kept), golden.floats("logits_vtop7_kept"), vocab),
              1e-4);
  }
}

TEST_P(GoldenModel, StoredTypesStayClose) {
  const Golden golden(GetParam());
  for (const Kernels* set : runnable_kernels()) {
    SCOPED_TRACE(set->name);
    Runner runner(stored(), *set, Format::f32);
    const bool rounds = set != &reference_kernels() && has_bf16(runner.model);
    EXPECT_LE(worst_row(runner.run(golden.tokens, 0), golden.floats("logits"), runner.model.config.vocab),
              rounds ? 0.05 : 1e-4);
  }
}

// Rounding K and V moves these sharply attending models a good deal; what counts is that a set moves them no more than
// the reference does with the same cache.
TEST_P(GoldenModel, RoundedCachesStayAsCloseAsTheReferences) {
  const Golden golden(GetParam());
  for (const Format format : {Format::bf16, Format::f16, Format::q8_0}) {
    double reference_error = 0;
    for (const Kernels* set : runnable_kernels()) {  // the reference first
      SCOPED_TRACE(std::string(set->name) + " " + std::string(format_info(format).name));
      Runner runner(in_f32(), *set, format);
      const double error = worst_row(runner.run(golden.tokens, 0), golden.floats("logits"), runner.model.config.vocab);
      if (set == &reference_kernels()) reference_error = error;
      EXPECT_LE(error, 2 * reference_error + 0.02);
      EXPECT_LE(error, 0.3);
    }
  }
}

TEST_P(GoldenModel, PrefillDecodesAndChunksGiveTheSameBits) {
  const Golden golden(GetParam());
  for (const Kernels* set : runnable_kernels())
    for (const int64_t v_top : {0, 7}) {
      SCOPED_TRACE(set->name);
      Runner runner(stored(), *set, Format::bf16);
      const auto whole = runner.run(golden.tokens, 0, v_top);
      const std::span<const TokenId> tokens(golden.tokens);
      for (const size_t chunk : {size_t{1}, size_t{3}, size_t{16}}) {
        std::vector<float> pieces;
        for (size_t at = 0; at < tokens.size(); at += chunk) {
          const auto part =
              runner.run(tokens.subspan(at, std::min(chunk, tokens.size() - at)), static_cast<int64_t>(at), v_top);
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        EXPECT_EQ(std::memcmp(whole.data(), pieces.data(), whole.size() * sizeof(float)), 0) << "chunks of " << chunk;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenModel, testing::ValuesIn(cases()), [](const auto& param) { return param.param; });

}  // namespace
}  // namespace sigma
