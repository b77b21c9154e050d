// Models written and read back: same bytes, same logits, and nothing left behind on failure.
#include "model/export.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "model/forward.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = std::string(SIGMA_TEST_DATA) + "/golden/";
const std::vector<std::string> kCases = {"gqa",   "llama3_scaling", "llama_bias_linear",   "qwen2",
                                         "qwen3", "all_together",   "all_together_untied", "blocks"};

class ExportTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("sigma_export_" + std::to_string(::getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  std::string at(const std::string& name) const { return (folder / name).string(); }

  void convert(const std::string& from, const std::string& to, ExportOptions options = {}) {
    const Checkpoint source = Checkpoint::open(from);
    export_model(source.config(), checkpoint_reader(source), &source, to, options, threads);
  }
  std::vector<float> logits(const std::string& path) {
    const Kernels& kernels = reference_kernels();
    const Model model = load_model(path, kernels, threads);
    KvCache cache(kernels, model.config,
                  {.k_format = Format::f32, .v_format = Format::f32, .page_tokens = 16, .tokens = 16});
    const std::vector<PageId> pages = {*cache.allocate()};
    const std::vector<TokenId> tokens = {1, 5, 9, 13, 17, 21, 2, 96};
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    const SeqSlice slice{0, static_cast<int64_t>(tokens.size()), 0, pages};
    Workspace workspace;
    const ConstTensorView out =
        forward(kernels, threads, model, cache, workspace, {.tokens = tokens, .seqs = {&slice, 1}, .logit_rows = rows});
    return {out.row<float>(0), out.row<float>(0) + out.rows * out.cols};
  }

  ThreadPool threads{2};
  fs::path folder;
};

TEST_F(ExportTest, FolderToGgufToFolderKeepsEveryLogit) {
  for (const std::string& name : kCases) {
    SCOPED_TRACE(name);
    const auto expected = logits(kGolden + name);
    convert(kGolden + name, at(name + ".gguf"));
    convert(at(name + ".gguf"), at(name));
    const auto from_gguf = logits(at(name + ".gguf")), from_folder = logits(at(name));
    ASSERT_EQ(expected.size(), from_gguf.size());
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      worst = std::max({worst, std::abs(expected[i] - from_gguf[i]), std::abs(expected[i] - from_folder[i])});
    // Only RoPE's base and scaling pass through f32 on their way.
    EXPECT_LE(worst, 1e-4f);
  }
}

TEST_F(ExportTest, SaveLoadSaveIsByteEqual) {
  for (const std::string& name : kCases) {
    SCOPED_TRACE(name);
    convert(kGolden + name, at("a.gguf"));
    convert(at("a.gguf"), at("b.gguf"));
    EXPECT_EQ(read_file(at("a.gguf")), read_file(at("b.gguf")));
    fs::remove_all(at("c"));
    fs::remove_all(at("d"));
    convert(kGolden + name, at("c"));
    convert(at("c"), at("d"));
    for (const char* file : {"config.json", "model.safetensors"})
      EXPECT_EQ(read_file(at("c/") + file), read_file(at("d/") + file)) << file;
  }
}

TEST_F(ExportTest, TypesAreWhatWasAsked) {
  for (const auto& [format, embedding] : {std::pair{Format::q8_0, Format::q8_0},
                                          {Format::q4_0, Format::q8_0},
                                          {Format::q4_1, Format::q4_1},
                                          {Format::bf16, Format::bf16},
                                          {Format::f16, Format::f16}}) {
    convert(kGolden + "blocks", at("typed.gguf"), {.type = format});
    const Checkpoint typed = Checkpoint::open(at("typed.gguf"));
    EXPECT_EQ(typed.tensors().at("blk.0.ffn_up.weight").format, format);
    EXPECT_EQ(typed.tensors().at("token_embd.weight").format, embedding);
    EXPECT_EQ(typed.tensors().at("output_norm.weight").format, Format::f32);
    EXPECT_EQ(logits(at("typed.gguf")).size(), 8u * 101u);
  }
}

TEST_F(ExportTest, RowsThatAreNoWholeBlocksStayF32) {
  convert(kGolden + "gqa", at("odd.gguf"), {.type = Format::q8_0});  // hidden 52
  EXPECT_EQ(Checkpoint::open(at("odd.gguf")).tensors().at("blk.0.ffn_up.weight").format, Format::f32);
}

TEST_F(ExportTest, Shards) {
  convert(kGolden + "blocks", at("sharded"), {.max_shard_bytes = 100000});
  EXPECT_TRUE(fs::exists(at("sharded/model.safetensors.index.json")));
  EXPECT_EQ(logits(at("sharded")), logits(kGolden + "blocks"));
}

TEST_F(ExportTest, RandomWeightsAreTheSeedsAlone) {
  const ModelConfig config = Checkpoint::open(kGolden + "all_together").config();
  export_model(config, random_reader(config, 5), nullptr, at("r1"), {}, threads);
  ThreadPool one(1);
  export_model(config, random_reader(config, 5), nullptr, at("r2"), {}, one);
  export_model(config, random_reader(config, 6), nullptr, at("r3"), {}, threads);
  EXPECT_EQ(read_file(at("r1/model.safetensors")), read_file(at("r2/model.safetensors")));
  EXPECT_NE(read_file(at("r1/model.safetensors")), read_file(at("r3/model.safetensors")));
  for (const float x : logits(at("r1"))) EXPECT_TRUE(std::isfinite(x));
}

TEST_F(ExportTest, FailureLeavesNothing) {
  const auto entries = [&] { return std::distance(fs::directory_iterator(folder), fs::directory_iterator()); };
  EXPECT_THROW(convert(kGolden + "gqa", at("quantised-folder"), {.type = Format::q8_0}), Error);
  EXPECT_THROW(convert(kGolden + "gqa", at("no/such/place/x.gguf")), Error);
  EXPECT_EQ(entries(), 0);
  const ModelConfig config = Checkpoint::open(kGolden + "gqa").config();
  const WeightReader broken = [&](const WeightSpec& spec) -> WeightRows {
    if (spec.name == "model.norm.weight") throw Error("source", "values", "none");
    return random_reader(config, 1)(spec);
  };
  EXPECT_THROW(export_model(config, broken, nullptr, at("broken"), {}, threads), Error);
  EXPECT_THROW(export_model(config, broken, nullptr, at("broken.gguf"), {}, threads), Error);
  EXPECT_EQ(entries(), 0);
  fs::create_directories(at("full"));
  write_file(at("full/precious.txt"), "keep");
  EXPECT_THROW(convert(kGolden + "gqa", at("full")), Error);
  EXPECT_EQ(read_file(at("full/precious.txt")), "keep");
}

TEST_F(ExportTest, ChecksTensorsBeforeRunning) {
  convert(kGolden + "blocks", at("good.gguf"));
  const std::string bytes = read_file(at("good.gguf"));
  const auto expect_error = [&](const std::string& damaged, const char* what) {
    write_file(at("bad.gguf"), damaged);
    EXPECT_THROW(load_model(at("bad.gguf"), reference_kernels(), threads), Error) << what;
  };
  expect_error("", "empty");
  expect_error(bytes.substr(0, bytes.size() / 2), "truncated");
  std::string nan = bytes;
  for (size_t i = nan.size() - 16; i < nan.size(); ++i) nan[i] = '\xff';
  expect_error(nan, "NaN at the end of the last tensor");
  std::string renamed = bytes;
  const size_t at_name = renamed.find("blk.0.ffn_up.weight");
  ASSERT_NE(at_name, std::string::npos);
  renamed[at_name + 4] = '7';
  expect_error(renamed, "one tensor missing, one unknown");
}

}  // namespace
}  // namespace sigma
