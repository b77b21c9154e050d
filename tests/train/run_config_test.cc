#include "train/run_config.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace sigma {
namespace {

const std::string kPlain = R"(
model = "model.json"
out = "out"
context = 64
seed = 7

[[phase]]
data = "shards"
tokens = 100_000
learning_rate = 1e-3
batch_tokens = 256
)";

RunConfig parse(const std::string& text, RunKind kind = RunKind::pretraining) {
  return parse_run_config(text, "/runs/run.toml", kind);
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RunConfig, ReadsEverything) {
  const RunConfig run = parse(R"(
model = "/models/m.json"
out = "a/../b"
tokenizer = "tokens/t"
seed = 3
precision = "f32"
context = 128
micro_batch = 5
activations = "recompute"
document_masking = false
z_loss = 1e-4
log_every = 2
zero = 2
[optimiser]
beta1 = 0.8
beta2 = 0.99
epsilon = 1e-7
weight_decay = 0.2
clip = 0.5
[checkpoint]
every_steps = 11
keep = 4
[validation]
every_steps = 12
rows = 13
share = 0.01
[samples]
prompts = ["one", "two"]
tokens = 14
[spikes]
window = 15
deviations = 5
limit = 16
[[phase]]
name = "general"
data = [{ path = "x", weight = 8 }, "y"]
tokens = 1280000
learning_rate = 2e-3
schedule = "wsd"
warmup_tokens = 1000
decay_tokens = 2000
final_learning_rate = 1e-4
batch_tokens = 1280
batch_tokens_end = 2560
ramp_tokens = 12800
[[phase]]
data = ["z"]
tokens = 128
learning_rate = 1
batch_tokens = 128
)");
  EXPECT_EQ(run.model, "/models/m.json");
  EXPECT_EQ(run.out, "/runs/b");
  EXPECT_EQ(run.tokenizer, "/runs/tokens/t");
  // One word that is no file beside this one is the name of a pulled model.
  const std::string named = std::string(kPlain).replace(kPlain.find("model.json"), 10, "smollm2");
  EXPECT_EQ(parse(named).model, "smollm2");
  EXPECT_EQ(parse(kPlain).model, "/runs/model.json");
  EXPECT_EQ(run.seed, 3u);
  EXPECT_FALSE(run.precision.mixed());
  EXPECT_EQ(run.micro_rows(), 5);
  EXPECT_EQ(run.keep, Network::Keep::residuals);
  EXPECT_FALSE(run.document_masking);
  EXPECT_EQ(run.z_weight, 1e-4);
  EXPECT_EQ(run.optimiser.beta1, 0.8);
  EXPECT_EQ(run.optimiser.beta2, 0.99);
  EXPECT_EQ(run.optimiser.eps, 1e-7);
  EXPECT_EQ(run.optimiser.weight_decay, 0.2);
  EXPECT_EQ(run.optimiser.clip, 0.5);
  EXPECT_EQ(run.checkpoint_every, 11);
  EXPECT_EQ(run.keep_checkpoints, 4);
  EXPECT_EQ(run.validation_every, 12);
  EXPECT_EQ(run.validation_rows, 13);
  EXPECT_EQ(run.validation_share, 0.01);
  EXPECT_EQ(run.sample_prompts, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(run.sample_tokens, 14);
  EXPECT_EQ(run.spike_window, 15);
  EXPECT_EQ(run.spike_deviations, 5);
  EXPECT_EQ(run.spike_limit, 16);
  EXPECT_EQ(run.log_every, 2);
  EXPECT_EQ(run.zero, 2);
  ASSERT_EQ(run.phases.size(), 2u);
  const PhaseConfig& p = run.phases[0];
  EXPECT_EQ(p.name, "general");
  ASSERT_EQ(p.data.size(), 2u);
  EXPECT_EQ(p.data[0].path, "/runs/x");
  EXPECT_EQ(p.data[0].weight, 8);
  EXPECT_EQ(p.data[1].weight, 1);
  const Schedule s = p.schedule(run.context, 10000);
  EXPECT_EQ(s.total_rows, 10000);
  EXPECT_EQ(s.warmup_rows, 8);
  EXPECT_EQ(s.decay_rows, 16);
  EXPECT_EQ(s.batch_rows, 10);
  EXPECT_EQ(s.batch_rows_end, 20);
  EXPECT_EQ(s.ramp_rows, 100);
  EXPECT_EQ(s.decay, Decay::wsd);
  EXPECT_EQ(s.rate, 2e-3);
  EXPECT_EQ(s.final_rate, 1e-4);
}

TEST(RunConfig, UnknownKeysAreNamedWithTheNearestKnownOne) {
  EXPECT_EQ(refusal("micro_bach = 1\n" + kPlain),
            "[/runs/run.toml:1] expected a known key such as micro_batch, found micro_bach");
  EXPECT_EQ(refusal(kPlain + "lerning_rates = 1\n"),
            "[/runs/run.toml:12] expected a known key such as learning_rate, found lerning_rates");
  EXPECT_NE(refusal(kPlain + "[optimizer]\nclip = 1\n").find("such as optimiser"), std::string::npos);
}

TEST(RunConfig, SaysWhereAndWhatWasExpected) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = kPlain;
    text.replace(text.find(from), from.size(), to);
    return refusal(text);
  };
  EXPECT_EQ(refusal(kPlain), "accepted");
  EXPECT_NE(with("context = 64", "context = \"64\"").find(":4] expected a whole number for context"),
            std::string::npos);
  EXPECT_NE(with("context = 64", "context = 0").find("found 0"), std::string::npos);
  EXPECT_NE(with("batch_tokens = 256", "batch_tokens = 250").find("whole rows of 64 tokens"), std::string::npos);
  EXPECT_NE(with("tokens = 100_000", "").find("a key tokens"), std::string::npos);
  EXPECT_NE(with("out = \"out\"", "").find("a key out"), std::string::npos);
  EXPECT_NE(with("[[phase]]", "[phase]").find("tables [[phase]]"), std::string::npos);
  EXPECT_NE(with("seed = 7", "precision = \"f16\"").find("one of bf16, f32"), std::string::npos);
  EXPECT_NE(with("seed = 7", "seed = ").find(":5] expected valid TOML"), std::string::npos);
  EXPECT_NE(with("learning_rate = 1e-3", "learning_rate = nan").find("learning_rate from 0 to 10"), std::string::npos);
  EXPECT_NE(with("learning_rate = 1e-3", "learning_rate = 1e-3\nfinal_learning_rate = 1e-4").find("found constant"),
            std::string::npos);
  EXPECT_NE(with("batch_tokens = 256", "batch_tokens = 256\nbatch_tokens_end = 384").find("a multiple of batch_tokens"),
            std::string::npos);
  EXPECT_NE(refusal(kPlain + "[validation]\nevery_steps = 3\n").find("validation.share above 0"), std::string::npos);
  EXPECT_NE(with("data = \"shards\"", "data = []").find("a list of paths"), std::string::npos);
}

}  // namespace
}  // namespace sigma
