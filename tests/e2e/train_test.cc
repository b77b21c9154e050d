// sigma train, sft and plot as a user runs them: a run that is killed again and again ends in the same bits as one that
// is not, its checkpoints load in the other commands, and what goes wrong is said in one line.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/rng.h"
#include "data/shard.h"
#include "formats/tokenizer_json.h"
#include "model/config.h"
#include "support/command.h"
#include "support/temp_folder.h"
#include "train/metrics.h"

namespace sigma::test {
namespace {

namespace fs = std::filesystem;

const std::string kTokenizers = std::string(SIGMA_TEST_DATA) + "/formats/tokenizer/";

class Train : public testing::Test {
 protected:
  Train() {
    ModelConfig c;
    c.dim = 24;
    c.layers = 2;
    c.ffn_dim = 40;
    c.vocab = 61;
    c.max_tokens = 64;
    c.attn = {.q_heads = 4, .k_heads = 1, .v_heads = 2, .q_dim = 8, .k_dim = 8, .v_dim = 12, .aug_dim = 36};
    write_file(folder.path("model.json"), config_to_hf(c).dump());
    ShardWriter shard(folder.path("text"), TokenType::u16);
    Rng rng(3);
    for (int document = 0; document < 150; ++document) {
      std::vector<int32_t> ids;
      for (uint64_t i = 0, n = 5 + rng.below(60); i < n; ++i)
        ids.push_back(static_cast<int32_t>(rng.below(20) * (1 + i % 3)));
      shard.add(ids);
    }
    shard.commit();
  }
  std::string run_file(const std::string& name, const std::string& more = "") {
    const std::string path = folder.path(name + ".toml");
    write_file(path, fmt::format(R"(model = "model.json"
out = "{}"
precision = "f32"
context = 16
seed = 5
{}
[checkpoint]
every_steps = 5
[validation]
every_steps = 20
rows = 4
share = 0.1
[[phase]]
data = "text"
tokens = 3200
learning_rate = 0.01
schedule = "cosine"
warmup_tokens = 640
batch_tokens = 64
[[phase]]
data = [{{ path = "text", weight = 2 }}, {{ path = "text.idx", weight = 1 }}]
tokens = 1280
learning_rate = 0.002
schedule = "linear"
batch_tokens = 128
)",
                                 name, more));
    return path;
  }
  CommandResult run(const std::vector<std::string>& arguments) { return run_sigma(arguments, folder.path()); }
  std::string last_checkpoint(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path(name) + "/checkpoints")) names.push_back(entry.path());
    return *std::max_element(names.begin(), names.end());
  }
  TempFolder folder;
};

// Under sanitizers, which make a process start slowly: fewer of them.
// Runs until that many lines came, then a moment longer, and kills; whether the run had ended before.
bool run_and_kill(const std::string& run, int lines, int microseconds) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::execl(SIGMA_BINARY, SIGMA_BINARY, "train", run.c_str(), "--json", "--threads", "2", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char byte = 0;
  while (lines > 0 && ::read(ends[0], &byte, 1) == 1) lines -= byte == '\n' ? 1 : 0;
  ::usleep(static_cast<useconds_t>(microseconds));
  ::kill(child, SIGKILL);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status);
}

TEST_F(Train, KilledAtTwentyPointsItEndsInTheSameBits) {
  const CommandResult straight = run({"train", run_file("straight")});
  ASSERT_EQ(straight.status, 0) << straight.err;
  const std::string cut = run_file("cut");
  Rng rng(11);
  const int most = quick_sweep() ? 4 : 20;
  int kills = 0;
  for (int start = 0; kills < most; ++start) {
    ASSERT_LT(start, 100);
    if (!run_and_kill(cut, static_cast<int>(1 + rng.below(8)), static_cast<int>(rng.below(4000)))) ++kills;
  }
  const CommandResult rest = run({"train", cut});
  ASSERT_EQ(rest.status, 0) << rest.err;
  for (const char* file : {"model.safetensors", "optimiser.safetensors", "config.json"})
    EXPECT_EQ(read_file(last_checkpoint("cut") + "/" + file), read_file(last_checkpoint("straight") + "/" + file))
        << file;
  const std::vector<Json> a = read_metrics(folder.path("straight/metrics.jsonl"));
  const std::vector<Json> b = read_metrics(folder.path("cut/metrics.jsonl"));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    for (const char* key : {"step", "loss", "validation_loss", "learning_rate", "gradient_norm", "tokens"})
      EXPECT_EQ(a[i].value(key, Json()), b[i].value(key, Json())) << key << " of line " << i;
  // It learnt something, and the engine reads it.
  EXPECT_LT(a.back()["validation_loss"].get<double>(), a.front()["loss"].get<double>() - 0.5);
  const CommandResult text =
      run({"generate", "-m", last_checkpoint("cut"), "--tokens", "1,2,3", "--json", "--max-tokens", "5"});
  EXPECT_EQ(text.status, 0) << text.err;
  // A run that is over says so and changes nothing.
  const CommandResult over = run({"train", cut});
  EXPECT_EQ(over.status, 0);
  EXPECT_NE(over.err.find("done"), std::string::npos) << over.err;
  const CommandResult picture = run({"plot", folder.path("cut"), folder.path("straight"), "-o", folder.path("p.svg")});
  EXPECT_EQ(picture.status, 0) << picture.err;
  EXPECT_EQ(read_file(folder.path("p.svg")).find("<svg"), 0u);
}

TEST_F(Train, OneSignalEndsTheRunWithACheckpoint) {
  const std::string path = run_file("stopped");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(SIGMA_BINARY, SIGMA_BINARY, "train", path.c_str(), nullptr);
    ::_exit(127);
  }
  while (!fs::exists(folder.path("stopped/metrics.jsonl"))) ::usleep(2000);
  ::usleep(20000);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_FALSE(fs::is_empty(folder.path("stopped/checkpoints")));
}

TEST_F(Train, SaysWhatIsWrongInOneLine) {
  const auto expect = [&](const std::string& path, const std::vector<std::string>& words) {
    const CommandResult result = run({"train", path});
    EXPECT_EQ(result.status, 1);
    const std::string line = result.err.substr(result.err.rfind("sigma: "));  // after what the run told
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << result.err;
    for (const std::string& word : words) EXPECT_NE(line.find(word), std::string::npos) << word << " in " << result.err;
  };
  expect(run_file("a", "micro_bach = 2"), {"a.toml:6", "such as micro_batch", "micro_bach"});
  expect(run_file("b", "tokenizer = \"nowhere\""), {"nowhere"});
  expect(folder.path("none.toml"), {"none.toml"});
  // Other tokens under the same name.
  ASSERT_EQ(run({"train", run_file("c")}).status, 0);
  ShardWriter shard(folder.path("text"), TokenType::u16);
  for (int i = 0; i < 100; ++i) shard.add(std::vector<int32_t>(40, i % 50));
  shard.commit();
  expect(run_file("c"), {"c.toml", "data of phase 1 as the run began"});
  // An id that the model has no row for.
  ShardWriter beyond(folder.path("text"), TokenType::u16);
  for (int i = 0; i < 100; ++i) beyond.add(std::vector<int32_t>(40, 61));
  beyond.commit();
  expect(run_file("d"), {"text", "61"});
  write_vocabulary(folder.path("text"), {"other", 62, ""});
  expect(run_file("e"), {"text.vocab.json", "at most 61 tokens", "other, 62 tokens"});
}

TEST_F(Train, ADiskWithoutRoomLeavesTheLastCheckpoint) {
  ASSERT_EQ(run({"train", run_file("straight")}).status, 0);
  const std::string full = run_file("full");
  constexpr int kLines = 8;  // the start, five steps, their checkpoint, a step
  ASSERT_FALSE(run_and_kill(full, kLines, 0));
  const std::string last = last_checkpoint("full"), err = folder.path("stderr");
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit = {.rlim_cur = 32 << 10, .rlim_max = 32 << 10};  // of a file; the weights take more
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0 || std::freopen(err.c_str(), "w", stderr) == nullptr) ::_exit(126);
    ::execl(SIGMA_BINARY, SIGMA_BINARY, "train", full.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const std::string told = read_file(err);
  ASSERT_TRUE(WIFEXITED(status)) << told;
  EXPECT_EQ(WEXITSTATUS(status), 1) << told;
  EXPECT_NE(told.find("model.safetensors"), std::string::npos) << told;
  EXPECT_NE(told.find("File too large"), std::string::npos) << told;
  EXPECT_EQ(last_checkpoint("full"), last);
  const CommandResult rest = run({"train", full});
  ASSERT_EQ(rest.status, 0) << rest.err;
  for (const char* file : {"model.safetensors", "optimiser.safetensors"})
    EXPECT_EQ(read_file(last_checkpoint("full") + "/" + file), read_file(last_checkpoint("straight") + "/" + file));
}

TEST_F(Train, TunesOnAnswersAlone) {
  // A tokenizer of bytes with a chat template, in a folder of its own.
  TokenizerSpec spec;
  spec.specials = {{.id = 0, .text = "<|im_start|>"}, {.id = 1, .text = "<|im_end|>"}};
  for (const SpecialToken& special : spec.specials) spec.tokens.push_back(special.text);
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  spec.eos = 1;
  spec.chat_template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  fs::create_directories(folder.path("tokenizer"));
  write_tokenizer_folder(spec, folder.path("tokenizer"));
  Json model = read_json(folder.path("model.json"));
  model["vocab_size"] = 258;
  model["max_position_embeddings"] = 96;
  write_file(folder.path("model.json"), model.dump());
  std::ofstream lines(folder.path("tune.jsonl"));
  for (int i = 0; i < 8; ++i)
    lines << Json{{"prompt", fmt::format("say {}", i)}, {"answer", std::string(3, static_cast<char>('a' + i))}}.dump()
          << "\n";
  lines.close();
  write_file(folder.path("tune.toml"), R"(model = "model.json"
tokenizer = "tokenizer"
out = "tuned"
precision = "f32"
context = 96
[[phase]]
data = "tune.jsonl"
epochs = 100
learning_rate = 0.01
warmup_tokens = 2000
schedule = "linear"
batch_tokens = 192
)");
  const CommandResult result = run({"sft", folder.path("tune.toml")});
  ASSERT_EQ(result.status, 0) << result.err;
  const CommandResult answer =
      run({"generate", "-m", last_checkpoint("tuned"), "--chat", "-p", "say 3", "--temperature", "0"});
  EXPECT_EQ(answer.status, 0) << answer.err;
  EXPECT_EQ(answer.out.substr(0, 4), "ddd\n");
  std::ofstream(folder.path("tune.jsonl"), std::ios::app) << "{\"prompt\": 3}\n";
  write_file(folder.path("tune.toml"), read_file(folder.path("tune.toml")) + "name = \"again\"\n");
  const CommandResult refused = run({"sft", folder.path("tune.toml")});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("tune.jsonl line 9"), std::string::npos) << refused.err;
}

std::optional<CommandResult> run_processes(int count, const std::string& run, const std::string& scratch) {
  return run_sigmas(count, {"train", run, "--threads", "1", "--json"}, scratch);
}

TEST_F(Train, SeveralProcessesLoseWhatOneLoses) {
  ASSERT_EQ(run({"train", run_file("one")}).status, 0);
  const std::vector<Json> one = read_metrics(folder.path("one/metrics.jsonl"));
  for (const auto& [count, zero] : {std::pair{2, 1}, {2, 2}, {4, 2}}) {
    const std::string name = fmt::format("{}-{}", count, zero);
    if (quick_sweep() && count > 2) continue;
    const auto result = run_processes(count, run_file(name, fmt::format("zero = {}", zero)), folder.path());
    if (!result) GTEST_SKIP() << "no mpirun";
    ASSERT_EQ(result->status, 0) << result->err;
    if (result->out.find(fmt::format("\"processes\":{}", count)) == std::string::npos)
      GTEST_SKIP() << "built without MPI";
    const std::vector<Json> many = read_metrics(folder.path(name) + "/metrics.jsonl");
    ASSERT_EQ(one.size(), many.size());
    for (size_t i = 0; i < one.size(); ++i)
      for (const char* key : {"loss", "validation_loss", "gradient_norm"})
        if (one[i].contains(key)) {
          const double expected = one[i][key].get<double>();
          // Sums are taken in another order; losses stay closer than what their gradients are.
          const double tolerance = (key == std::string("gradient_norm") ? 1e-4 : 1e-5) * expected;
          EXPECT_NEAR(many[i][key].get<double>(), expected, tolerance) << key << " of line " << i << ", " << name;
        }
    EXPECT_EQ(many[3]["bytes_sent"].size(), static_cast<size_t>(count));
    EXPECT_EQ(many[3]["peak_bytes"].size(), static_cast<size_t>(count));
    // docs/scaling.md: what each process sends in a step of one pass.
    if (zero == 1) {
      const double weights = 2 * 24 * 61 + 2 * (24 * (32 + 8 + 24) + 48 * 24 + 3 * 32 * 36 + 3 * 24 * 40 + 48) + 24;
      for (const Json& sent : many[3]["bytes_sent"])
        EXPECT_NEAR(sent.get<double>(), 2 * 4 * weights / 2, 0.02 * 8 * weights / 2);
    }
  }
  const auto refused = run_processes(3, run_file("three"), folder.path());
  EXPECT_NE(refused->status, 0);
  EXPECT_NE(refused->err.find("a number of processes that divides the batch of 4 rows"), std::string::npos)
      << refused->err;
}

}  // namespace
}  // namespace sigma::test
