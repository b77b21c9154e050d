// Whole training runs: against PyTorch's losses, to zero on one batch, and to the same bits whatever interrupts them.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "support/temp_folder.h"
#include "train/metrics.h"

namespace sigma {
namespace {

using test::TempFolder;

namespace fs = std::filesystem;

const std::string kGolden = std::string(SIGMA_TEST_DATA) + "/golden";

ModelConfig tiny() {
  ModelConfig c;
  c.dim = 24;
  c.layers = 2;
  c.ffn_dim = 40;
  c.vocab = 61;
  c.max_tokens = 64;
  c.attn = {.q_heads = 4, .k_heads = 1, .v_heads = 2, .q_dim = 8, .k_dim = 8, .v_dim = 12, .aug_dim = 36};
  return c;
}

// Rows of text made by a function of row and place.
template <class F>
RowSource rows_of(int64_t context, const F& token, const std::string& fingerprint = "made up") {
  return {[=](TrainRows& out, uint64_t position, int64_t rows) {
            for (auto* v : {&out.tokens, &out.targets, &out.starts}) v->assign(static_cast<size_t>(rows * context), 0);
            for (int64_t i = 0; i < rows * context; ++i) {
              const auto row = static_cast<int64_t>(position) + i / context;
              out.tokens[static_cast<size_t>(i)] = token(row, i % context);
              out.targets[static_cast<size_t>(i)] = token(row, i % context + 1);
            }
          },
          fingerprint};
}

RowSource random_rows(int64_t context, int vocab) {
  return rows_of(context, [vocab](int64_t row, int64_t place) {
    return static_cast<int32_t>(Rng(static_cast<uint64_t>(row * 1000 + place)).below(static_cast<uint64_t>(vocab)));
  });
}

struct Trial {
  explicit Trial(const std::string& out) {
    run.path = "run.toml";
    run.out = out;
    run.precision = Precision::f32();
    run.context = 16;
    run.micro_batch = 2;
    run.checkpoint_every = 6;
    setup.initial = random_reader(setup.model, 4);
    setup.report = [this](const Json& event) { events.push_back(event); };
    setup.phases.push_back({"first",
                            {.total_rows = 48, .warmup_rows = 8, .rate = 0.01, .decay = Decay::cosine, .batch_rows = 4},
                            random_rows(16, 61),
                            random_rows(16, 61)});
    setup.phases.push_back({"second", {.total_rows = 12, .rate = 0.002, .batch_rows = 6}, random_rows(16, 61), {}});
  }
  // Stops after `steps` steps; -1: goes to the end.
  TrainOutcome go(int64_t steps = -1, int thread_count = 2) {
    std::atomic<bool> stop{false};
    int64_t seen = 0;
    setup.stop = &stop;
    setup.report = [&](const Json& event) {
      events.push_back(event);
      if (event["event"] == "step" || event["event"] == "skipped") stop = ++seen == steps;
    };
    ThreadPool threads(thread_count);
    Collectives processes;
    return train(setup, cpu_kernels(), threads, processes);
  }
  std::vector<double> numbers(const char* key) const {
    std::vector<double> values;
    for (const Json& event : events)
      if (event["event"] == "step") values.push_back(event[key].get<double>());
    return values;
  }
  size_t count(const char* event) const {
    return static_cast<size_t>(
        std::count_if(events.begin(), events.end(), [&](const Json& e) { return e["event"] == event; }));
  }
  RunConfig run;
  TrainSetup setup{.run = run, .model = tiny()};
  std::vector<Json> events;
};

class Trainer : public testing::Test {
 protected:
  TempFolder folder;
  std::string weights(const std::string& checkpoint) const { return read_file(checkpoint + "/model.safetensors"); }
  std::string moments(const std::string& checkpoint) const { return read_file(checkpoint + "/optimiser.safetensors"); }
};

TEST_F(Trainer, TenStepsLoseWhatTheyLoseInPyTorch) {
  const Json golden = read_json(kGolden + "/training.json");
  const Checkpoint start = Checkpoint::open(kGolden + "/all_together");
  Trial t(folder.path("run"));
  t.run.context = 23;
  t.run.checkpoint_every = 0;
  t.setup.model = start.config();
  t.setup.initial = checkpoint_reader(start);
  const auto vocab = static_cast<int64_t>(start.config().vocab);
  t.setup.phases = {{"golden",
                     {.total_rows = 30,
                      .warmup_rows = 9,
                      .rate = 0.002,
                      .final_rate = 0.0004,
                      .decay = Decay::cosine,
                      .batch_rows = 3},
                     rows_of(23,
                             [vocab](int64_t row, int64_t place) {
                               return static_cast<int32_t>(
                                   (row * 7919 + place * place * 31 + place * (row % 5) * 17 + 11) % vocab);
                             }),
                     {}}};
  const TrainOutcome outcome = t.go();
  EXPECT_TRUE(outcome.finished);
  const std::vector<double> losses = t.numbers("loss"), norms = t.numbers("gradient_norm");
  ASSERT_EQ(losses.size(), 10u);
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], golden["losses"][i].get<double>(), 1e-5 * losses[i]) << "step " << i;
    EXPECT_NEAR(norms[i], golden["gradient_norms"][i].get<double>(), 1e-3 * norms[i]) << "step " << i;
  }
  const Checkpoint end = Checkpoint::open(outcome.checkpoint);
  const std::vector<WeightSpec> specs = weight_specs(end.config());
  const auto norm =
      std::find_if(specs.begin(), specs.end(), [](const WeightSpec& s) { return s.name == "model.norm.weight"; });
  const std::vector<float> values = end.values(*norm);
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values[i], golden["final_norm_after"][i].get<double>(), 2e-4) << i;
}

TEST_F(Trainer, LearnsOneBatchByHeart) {
  for (const Precision precision : {Precision::f32(), Precision::bf16()}) {
    Trial t(folder.path(precision.mixed() ? "bf16" : "f32"));
    t.run.precision = precision;
    t.run.checkpoint_every = 0;
    t.setup.phases = {{"same",
                       {.total_rows = 600, .warmup_rows = 20, .rate = 0.01, .decay = Decay::linear, .batch_rows = 4},
                       rows_of(16,
                               [](int64_t row, int64_t place) {
                                 return static_cast<int32_t>(
                                     Rng(static_cast<uint64_t>(row % 4 * 1000 + place)).below(61));
                               }),
                       {}}};
    t.go();
    EXPECT_GT(t.numbers("loss").front(), 3.5);
    EXPECT_LT(t.numbers("loss").back(), 0.02);
  }
}

TEST_F(Trainer, InterruptedRunsEndInTheSameBits) {
  Trial whole(folder.path("whole"));
  whole.run.validation_every = 5;
  whole.run.validation_rows = 3;
  const TrainOutcome straight = whole.go();
  EXPECT_EQ(straight.step, 14);
  EXPECT_TRUE(straight.finished);
  EXPECT_EQ(whole.count("validation"), 3u);  // steps 5, 10, and 12, where the phase ends
  for (const int64_t steps : {2, 5}) {
    const std::string out = folder.path(fmt::format("cut{}", steps));
    TrainOutcome outcome;
    for (int part = 0; !outcome.finished; ++part) {
      ASSERT_LT(part, 20);
      Trial t(out);
      t.run.validation_every = 5;
      t.run.validation_rows = 3;
      outcome = t.go(steps, 1 + part % 3);
    }
    EXPECT_EQ(outcome.step, 14);
    EXPECT_EQ(weights(outcome.checkpoint), weights(straight.checkpoint)) << "stopped every " << steps;
    EXPECT_EQ(moments(outcome.checkpoint), moments(straight.checkpoint));
    const std::vector<Json> a = read_metrics(folder.path("whole") + "/metrics.jsonl"),
                            b = read_metrics(out + "/metrics.jsonl");
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i]["step"], b[i]["step"]);
      EXPECT_EQ(a[i].value("loss", 0.0), b[i].value("loss", 0.0));
    }
  }
}

TEST_F(Trainer, ADamagedCheckpointIsPassedOver) {
  Trial whole(folder.path("whole"));
  const std::string expected = weights(whole.go().checkpoint);
  for (const char* file : {"model.safetensors", "state.json"}) {
    const std::string out = folder.path(std::string("damaged-") + file);
    Trial t(out);
    const std::string last = t.go(7).checkpoint;  // 6 and 7 are there
    std::string bytes = read_file(last + "/" + file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    write_file(last + "/" + file, bytes);
    fs::create_directories(out + "/checkpoints/step-00000009.partial");  // what a kill leaves
    Trial again(out);
    const TrainOutcome outcome = again.go();
    EXPECT_EQ(again.count("damaged"), 1u) << file;
    EXPECT_EQ(again.count("step"), 8u) << "from step 6";
    EXPECT_EQ(weights(outcome.checkpoint), expected) << file;
  }
}

TEST_F(Trainer, KeepsTheNewestCheckpoints) {
  Trial t(folder.path("run"));
  t.run.keep_checkpoints = 2;
  t.go();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path("run") + "/checkpoints"))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"step-00000012", "step-00000014"}));
}

std::string refusal(Trial& t) {
  try {
    t.go();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Trainer, RefusesToResumeAnotherRun) {
  Trial(folder.path("run")).go(4);
  Trial other_seed(folder.path("run"));
  other_seed.run.seed = 9;
  EXPECT_NE(refusal(other_seed).find("seed as the run began: 0"), std::string::npos);
  Trial other_data(folder.path("run"));
  other_data.setup.phases[1].rows.fingerprint = "changed";
  EXPECT_NE(refusal(other_data).find("data of phase 2 as the run began"), std::string::npos);
  Trial other_model(folder.path("run"));
  other_model.setup.model.ffn_dim = 44;
  EXPECT_NE(refusal(other_model).find("model as the run began"), std::string::npos);
}

TEST_F(Trainer, LossesThatAreNotNumbersEndTheRunAndLoseNothing) {
  Trial t(folder.path("run"));
  t.go(4);
  Trial broken(folder.path("run"));
  broken.run.spike_limit = 8;
  ThreadPool threads(1);
  // The same run, but its learning rate is infinite: step 5 makes weights that are none.
  broken.setup.phases[0].schedule.rate = INFINITY;
  const std::string message = refusal(broken);
  EXPECT_NE(message.find("skipped steps in a row"), std::string::npos) << message;
  EXPECT_NE(message.find("The last checkpoint is"), std::string::npos) << message;
  EXPECT_GE(broken.count("skipped"), 1u);
}

TEST_F(Trainer, SpikesAreSkippedAndReported) {
  Trial t(folder.path("run"));
  t.run.spike_window = 4;
  t.run.spike_deviations = 6;
  t.run.checkpoint_every = 0;
  // Five tokens over and over, easily learnt; one batch of something else.
  t.setup.phases = {
      {"mostly easy",
       {.total_rows = 200, .rate = 0.01, .batch_rows = 4},
       rows_of(16, [](int64_t row,
                      int64_t place) { return static_cast<int32_t>(row / 4 == 40 ? 60 - place : (row + place) % 5); }),
       {}}};
  t.go();
  ASSERT_EQ(t.count("skipped"), 1u);
  for (const Json& event : t.events)
    if (event["event"] == "skipped") {
      EXPECT_EQ(event["step"], 41);
      EXPECT_GT(event["loss"].get<double>(), 3.0);
    }
  EXPECT_LT(t.numbers("loss").back(), 0.1);
}

TEST_F(Trainer, RefusesAContextBeyondTheModels) {
  Trial t(folder.path("run"));
  t.run.context = 65;
  EXPECT_NE(refusal(t).find("a context of at most 64 tokens"), std::string::npos);
}

}  // namespace
}  // namespace sigma
