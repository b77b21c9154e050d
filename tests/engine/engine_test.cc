#include "engine/engine.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "base/error.h"

namespace sigma {
namespace {

const std::string kModel = std::string(SIGMA_TEST_DATA) + "/golden/all_together";

struct Output {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::none;
  bool operator==(const Output&) const = default;
};
using Outputs = std::map<std::pair<RequestId, int>, Output>;

class EngineTest : public testing::Test {
 protected:
  ThreadPool threads{2};
  const Kernels& kernels = cpu_kernels();
  Model model = load_model(kModel, kernels, threads);

  Engine make(int64_t tokens, int64_t batch_rows = 512, int page_tokens = 5) {
    return {kernels,
            threads,
            model,
            nullptr,
            {.cache = {.page_tokens = page_tokens, .tokens = tokens}, .batch_rows = batch_rows}};
  }
  static Request request(std::vector<TokenId> prompt, int64_t max_tokens, double temperature = 0) {
    Request r;
    r.prompt = std::move(prompt);
    r.max_tokens = max_tokens;
    r.sampling.temperature = temperature;
    r.sampling.seed = 11;
    r.logprobs = true;
    return r;
  }
  static void collect(Engine& engine, Outputs& outputs) {
    for (const Event& e : engine.step()) {
      Output& o = outputs[{e.request, e.completion}];
      EXPECT_EQ(o.finish, FinishReason::none) << "an event after the end";
      if (e.has_token) o.tokens.push_back(e.token), o.logprobs.push_back(e.logprob);
      o.finish = e.finish;
    }
  }
  static Outputs run(Engine& engine) {
    Outputs outputs;
    while (!engine.idle()) collect(engine, outputs);
    return outputs;
  }
};

TEST_F(EngineTest, AloneOrTogetherWhateverTheBatchAndPages) {
  const std::vector<Request> requests = {request({1, 2, 3, 4, 5, 6, 7}, 9), request({50, 40, 30}, 14, 0.8),
                                         request({96}, 5), request({9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 12, 13}, 7, 1.3)};
  std::vector<Output> alone;
  for (const Request& r : requests) {
    Engine engine = make(64);
    engine.submit(r);
    alone.push_back(run(engine).begin()->second);
    EXPECT_EQ(alone.back().finish, FinishReason::length);
    EXPECT_EQ(static_cast<int64_t>(alone.back().tokens.size()), r.max_tokens);
  }
  for (const int64_t batch_rows : {1, 4, 512})
    for (const int page_tokens : {1, 5, 16}) {
      Engine engine = make(160, batch_rows, page_tokens);
      for (const Request& r : requests) engine.submit(r);
      const Outputs together = run(engine);
      ASSERT_EQ(together.size(), requests.size());
      size_t i = 0;
      for (const auto& [key, output] : together)
        EXPECT_EQ(output, alone[i++]) << batch_rows << " rows, pages of " << page_tokens;
    }
}

TEST_F(EngineTest, CompletionsOfOnePromptEqualSeparateStreams) {
  Request r = request({5, 6, 7, 8, 9, 10, 11}, 8, 1.0);
  r.completions = 3;
  Engine engine = make(100);
  engine.submit(r);
  const Outputs outputs = run(engine);
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_NE(outputs.at({1, 0}).tokens, outputs.at({1, 1}).tokens);
  r.completions = 1;
  Engine single = make(100);
  single.submit(r);
  EXPECT_EQ(run(single).at({1, 0}), outputs.at({1, 0}));
}

TEST_F(EngineTest, PagesComeBackAndLaterRequestsWait) {
  Engine engine = make(20);  // room for one at a time
  for (int i = 0; i < 4; ++i) engine.submit(request({1, 2, 3, static_cast<TokenId>(i)}, 12));
  const Outputs outputs = run(engine);
  EXPECT_EQ(outputs.size(), 4u);
  for (const auto& [key, output] : outputs) EXPECT_EQ(output.tokens.size(), 12u);
}

TEST_F(EngineTest, MoreTokensThanThereAreNumbersEndWithTheContext) {
  Engine engine = make(model.config.max_tokens);
  engine.submit(request({1, 2, 3}, std::numeric_limits<int64_t>::max()));
  const Outputs outputs = run(engine);
  EXPECT_EQ(static_cast<int64_t>(outputs.at({1, 0}).tokens.size()), model.config.max_tokens - 3);
}

TEST_F(EngineTest, CancelEndsWaitingAndRunningRequests) {
  Engine engine = make(20);
  const RequestId first = engine.submit(request({1, 2, 3}, 15)), second = engine.submit(request({4, 5, 6}, 15));
  Outputs outputs;
  collect(engine, outputs);
  collect(engine, outputs);
  engine.cancel(first);
  engine.cancel(second);
  engine.cancel(999);
  while (!engine.idle()) collect(engine, outputs);
  EXPECT_EQ(outputs.at({first, 0}).finish, FinishReason::cancelled);
  EXPECT_EQ(outputs.at({first, 0}).tokens.size(), 2u);
  EXPECT_EQ(outputs.at({second, 0}).finish, FinishReason::cancelled);
  engine.submit(request({1, 2, 3}, 15));  // its pages are free again
  EXPECT_EQ(run(engine).begin()->second.finish, FinishReason::length);
}

TEST_F(EngineTest, StopTokensEndACompletion) {
  Engine plain = make(64);
  plain.submit(request({1, 2, 3}, 10));
  const Output all = run(plain).begin()->second;
  Request r = request({1, 2, 3}, 10);
  r.stop_tokens = {all.tokens[4]};
  Engine engine = make(64);
  engine.submit(r);
  const Output cut = run(engine).begin()->second;
  EXPECT_EQ(cut.finish, FinishReason::stop);
  EXPECT_LE(cut.tokens.size(), 5u);
  EXPECT_EQ(cut.tokens.back(), all.tokens[4]);
}

TEST_F(EngineTest, StopsAtTheModelsContext) {
  std::vector<TokenId> prompt(120, 3);  // the model's context is 128
  Engine engine = make(256);
  engine.submit(request(prompt, 50));
  const Output output = run(engine).begin()->second;
  EXPECT_EQ(output.finish, FinishReason::length);
  EXPECT_EQ(output.tokens.size(), 8u);
}

TEST_F(EngineTest, SpeculationChangesNothingButTheNumberOfPasses) {
  // A prompt that repeats itself, so that drafts are proposed; a random model, so that many are wrong.
  const std::vector<TokenId> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3};
  int64_t drafted = 0, accepted = 0;
  for (const double temperature : {0.0, 0.3, 1.0})
    for (const int64_t batch_rows : {2, 512}) {
      Request r = request(prompt, 100, temperature);
      r.completions = 2;
      Engine with = make(512, batch_rows), without = make(512, batch_rows);
      with.submit(r);
      r.speculate = false;
      without.submit(r);
      EXPECT_EQ(run(with), run(without)) << "temperature " << temperature;
      EXPECT_EQ(without.times().drafted, 0);
      EXPECT_EQ(with.times().decode_tokens, without.times().decode_tokens);
      drafted += with.times().drafted;
      accepted += with.times().accepted;
    }
  EXPECT_GT(drafted, accepted);
  EXPECT_GT(accepted, 0);
}

TEST_F(EngineTest, SpeculationStopsWhereTheRequestDoes) {
  Request r = request({1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3}, 60);
  r.speculate = false;
  Engine plain = make(128);
  plain.submit(r);
  const Output all = run(plain).begin()->second;
  r.speculate = true;
  for (const int64_t length : {1, 2, 3, 7, 30}) {
    r.max_tokens = length;
    Engine engine = make(128);
    engine.submit(r);
    const Output cut = run(engine).begin()->second;
    EXPECT_EQ(cut.tokens, std::vector<TokenId>(all.tokens.begin(), all.tokens.begin() + length));
    EXPECT_EQ(cut.finish, FinishReason::length);
  }
}

TEST_F(EngineTest, NoTokensWantedComputesThePromptOnly) {
  Engine engine = make(64);
  engine.submit(request({1, 2, 3}, 0));
  const Outputs outputs = run(engine);
  EXPECT_EQ(outputs.begin()->second.finish, FinishReason::length);
  EXPECT_TRUE(outputs.begin()->second.tokens.empty());
}

TEST_F(EngineTest, SelectiveRequestsKeepTheirOwnMathematics) {
  Request selective = request({1, 2, 3, 4, 5, 6, 7, 8, 9}, 10);
  selective.v_top = 3;
  Engine alone = make(64);
  alone.submit(selective);
  const Output expected = run(alone).begin()->second;
  Engine engine = make(128);
  engine.submit(request({1, 2, 3, 4, 5, 6, 7, 8, 9}, 10));
  engine.submit(selective);
  EXPECT_EQ(run(engine).at({2, 0}), expected);
}

TEST_F(EngineTest, RefusesWhatCanNeverRun) {
  Engine engine = make(20);
  EXPECT_THROW(engine.submit(request({}, 4)), Error);
  EXPECT_THROW(engine.submit(request({97}, 4)), Error);
  EXPECT_THROW(engine.submit(request({-1}, 4)), Error);
  EXPECT_THROW(engine.submit(request(std::vector<TokenId>(129, 1), 4)), Error);
  EXPECT_THROW(engine.submit(request({1, 2, 3}, 40)), Error);  // beyond the cache
  EXPECT_THROW(engine.submit(request({1}, -1)), Error);
  Request half_a_character = request({1}, 4);
  half_a_character.stop = {"\xbf"};
  EXPECT_THROW(engine.submit(half_a_character), Error);
  Request r = request({1}, 1);
  r.completions = 0;
  EXPECT_THROW(engine.submit(r), Error);
  r = request({1}, 1);
  r.sampling.top_p = 2;
  EXPECT_THROW(engine.submit(r), Error);
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace sigma
