// The commands as a user runs them: results, their JSON schemas, and one clear line for whatever goes wrong.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "support/command.h"
#include "support/schema.h"
#include "support/temp_folder.h"

namespace sigma::test {
namespace {

namespace fs = std::filesystem;

const std::string kGolden = std::string(SIGMA_TEST_DATA) + "/golden/";
const std::string kModel = kGolden + "all_together";

class Cli : public testing::Test {
 protected:
  CommandResult run(const std::vector<std::string>& arguments, const std::string& input = "") {
    return run_sigma(arguments, folder.path(), input);
  }
  // Runs with --json and checks the answer against its schema.
  Json run_json(std::vector<std::string> arguments, const std::string& schema) {
    arguments.push_back("--json");
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err << result.out;
    EXPECT_EQ(schema_fault(read_json(std::string(SIGMA_SOURCE_DIR) + "/docs/schemas/" + schema), result.json()), "")
        << result.out;
    return result.json();
  }
  // One line on standard error with every one of the words, nothing on standard output, and the status; the same as
  // JSON.
  void expect_error(const std::vector<std::string>& arguments, int status, const std::vector<std::string>& words) {
    const CommandResult plain = run(arguments);
    EXPECT_EQ(plain.status, status) << plain.err;
    EXPECT_EQ(std::count(plain.err.begin(), plain.err.end(), '\n'), 1) << plain.err;
    EXPECT_EQ(plain.out, "");
    for (const std::string& word : words)
      EXPECT_NE(plain.err.find(word), std::string::npos) << word << " in: " << plain.err;
  }
  void expect_json_error(std::vector<std::string> arguments, int status) {
    arguments.push_back("--json");
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(schema_fault(read_json(std::string(SIGMA_SOURCE_DIR) + "/docs/schemas/error.json"), result.json()), "")
        << result.out;
  }

  TempFolder folder;
};

TEST_F(Cli, HelpOfEveryCommandHasExamples) {
  const CommandResult top = run({"--help"});
  EXPECT_EQ(top.status, 0);
  for (const char* command : {"pull", "list", "rm", "generate", "chat", "inspect", "convert", "new", "perplexity",
                              "tokenize", "detokenize"}) {
    EXPECT_NE(top.out.find(command), std::string::npos);
    const CommandResult help = run({command, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_NE(help.out.find("Examples:"), std::string::npos) << command;
    EXPECT_NE(help.out.find(std::string("sigma ") + command), std::string::npos) << command;
  }
}

TEST_F(Cli, GenerateFromTokens) {
  const Json j =
      run_json({"generate", "-m", kModel, "--tokens", "1,2,3", "-n", "6", "--top-logprobs", "2"}, "generate.json");
  EXPECT_EQ(j["prompt_tokens"], 3);
  EXPECT_EQ(j["completions"][0]["tokens"].size(), 6u);
  EXPECT_EQ(j["completions"][0]["logprobs"].size(), 6u);
  EXPECT_EQ(j["completions"][0]["finish_reason"], "length");
  EXPECT_EQ(j["completions"][0]["top_logprobs"][0][0]["token"], j["completions"][0]["tokens"][0]);
  EXPECT_EQ(j["prefill"]["tokens"], 3);
  EXPECT_EQ(j["decode"]["tokens"], 5);
  // The same without JSON: ids, since this model has no tokenizer.
  const CommandResult plain = run({"generate", "-m", kModel, "--tokens", "1,2,3", "-n", "6"});
  EXPECT_EQ(plain.out.substr(0, plain.out.find(' ')), j["completions"][0]["tokens"][0].dump());
}

TEST_F(Cli, GenerateOptionsReachTheEngine) {
  const std::vector<std::string> base = {"generate", "-m", kModel, "--tokens", "5,6,7,8,9,10,11,12", "-n", "12"};
  const auto tokens = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return run_json(more, "generate.json")["completions"];
  };
  const Json greedy = tokens({});
  EXPECT_EQ(tokens({})[0]["tokens"], greedy[0]["tokens"]);
  EXPECT_EQ(tokens({"--threads", "1", "--page-tokens", "3"}), greedy);
  EXPECT_NE(tokens({"--temperature", "2", "--seed", "1"})[0]["tokens"], greedy[0]["tokens"]);
  EXPECT_EQ(tokens({"--temperature", "2", "--seed", "1"}), tokens({"--temperature", "2", "--seed", "1"}));
  EXPECT_EQ(tokens({"--temperature", "2", "--top-k", "1"})[0]["tokens"], greedy[0]["tokens"]);
  EXPECT_NE(tokens({"--v-top", "1"})[0]["logprobs"], greedy[0]["logprobs"]);
  EXPECT_NE(tokens({"--k-cache", "q8", "--v-cache", "f16"})[0]["logprobs"], greedy[0]["logprobs"]);
  EXPECT_EQ(tokens({"--v-top", "1000"})[0]["tokens"], greedy[0]["tokens"]);
  const Json three = tokens({"--completions", "3", "--temperature", "1", "--seed", "4"});
  EXPECT_EQ(three.size(), 3u);
  EXPECT_NE(three[0]["tokens"], three[1]["tokens"]);
  const int banned = greedy[0]["tokens"][0];
  EXPECT_NE(tokens({"--logit-bias", std::to_string(banned) + "=-100"})[0]["tokens"][0], banned);
  const Json stopped = tokens({"--stop-token", greedy[0]["tokens"][2].dump()});
  EXPECT_EQ(stopped[0]["finish_reason"], "stop");
}

TEST_F(Cli, InspectCountsPerPart) {
  const Json j = run_json({"inspect", kModel}, "inspect.json");
  EXPECT_EQ(j["parameters"]["augmented_query"], 3 * 3 * 240 * 44);
  int64_t elements = 0;
  for (const Json& tensor : j["tensors"]) {
    int64_t n = 1;
    for (const Json& size : tensor["shape"]) n *= size.get<int64_t>();
    elements += n;
  }
  EXPECT_EQ(j["parameters"]["total"], elements);
  EXPECT_EQ(j["cache_bytes_per_token"]["k"], 3 * 4 * 10 * 2);
  EXPECT_EQ(j["cache_bytes_per_token"]["v"], 3 * 6 * 28 * 2);
  EXPECT_EQ(run({"inspect", kModel, "--tensors"}).status, 0);
}

TEST_F(Cli, InspectCost) {
  const std::vector<std::string> command = {"inspect", kModel, "--cost", "--context", "50", "--batch", "3"};
  const Json j = run_json(command, "inspect.json")["cost"];
  EXPECT_EQ(j["k"]["elements_read"], 3.0 * 3 * 50 * 4 * 10);
  EXPECT_EQ(j["v"]["bytes_stored"], 3.0 * 3 * 6 * 28 * 2);
  EXPECT_GT(j["predicted_seconds"]["total"].get<double>(), 0);
  EXPECT_NEAR(j["against_plain_form"]["cache_bytes_read_saved"].get<double>(),
              1 - (4.0 * 10 + 6 * 28) / (6 * 20 + 6 * 28), 1e-9);
  EXPECT_NE(run(command).out.find("K cache"), std::string::npos);
  expect_error({"inspect", kModel, "--cost", "--batch", "0"}, 2, {"--batch", "0"});
}

TEST_F(Cli, ConvertAndNewMakeModelsThatRun) {
  const std::string gguf = folder.path("a.gguf"), made = folder.path("made");
  EXPECT_EQ(run({"convert", kModel, gguf}).status, 0);
  const std::vector<std::string> tail = {"--tokens", "1,2,3,4", "-n", "8", "--json"};
  const auto tokens = [&](const std::string& model) {
    std::vector<std::string> arguments = {"generate", "-m", model};
    arguments.insert(arguments.end(), tail.begin(), tail.end());
    return run(arguments).json()["completions"][0]["tokens"];
  };
  EXPECT_EQ(tokens(gguf), tokens(kModel));
  EXPECT_EQ(run({"new", kModel + "/config.json", made, "--seed", "3", "--type", "bf16"}).status, 0);
  EXPECT_EQ(tokens(made).size(), 8u);
  EXPECT_EQ(run({"convert", made, folder.path("q8.gguf"), "--type", "q8"}).status, 0);
}

TEST_F(Cli, PerplexityOfTokens) {
  std::string ids;
  for (int i = 0; i < 100; ++i) ids += std::to_string(i * 37 % 97) + ",";
  write_file(folder.path("ids"), ids);
  const Json j = run_json({"perplexity", "-m", kModel, "--tokens", folder.path("ids"), "--context", "32", "--logits",
                           folder.path("logits"), "--nll", folder.path("nll")},
                          "perplexity.json");
  EXPECT_EQ(j["tokens"], 3 * 15);
  EXPECT_NEAR(j["perplexity"].get<double>(), std::exp(j["mean_nll"].get<double>()), 1e-6);
  EXPECT_EQ(fs::file_size(folder.path("logits")), 3u * 15u * 97u * 4u);
  const std::string bytes = read_file(folder.path("nll"));
  std::vector<double> nll(bytes.size() / sizeof(double));
  std::memcpy(nll.data(), bytes.data(), nll.size() * sizeof(double));
  EXPECT_EQ(nll.size(), 3u * 15u);
  EXPECT_NEAR(std::accumulate(nll.begin(), nll.end(), 0.0) / 45, j["mean_nll"].get<double>(), 1e-9);
}

TEST_F(Cli, Bench) {
  const std::vector<std::string> model = {"bench", "model", "-m", kModel, "--repeats", "1", "--v-top", "2"};
  for (const char* name : {"prefill:5", "decode:2@3", "decode:2@3x4"}) {
    std::vector<std::string> arguments = model;
    arguments.insert(arguments.end(), {"--case", name});
    const Json j = run_json(arguments, "bench.json");
    EXPECT_EQ(j["case"], name);
    EXPECT_GT(j["ours"]["median"].get<double>(), 0);
  }
  EXPECT_EQ(run_json({"bench", "kernels", "--filter", "swiglu 1x", "--repeats", "1"}, "bench.json")["unit"], "s");
  expect_error({"bench", "model", "-m", kModel, "--case", "decode:2@"}, 2, {"decode:N", "decode:2@"});
}

TEST_F(Cli, EfficiencyStudiesThatCannotBeAreRefusedBeforeTheyBegin) {
  const std::string out = folder.path("study");
  expect_error({"bench", "efficiency", "--out", out, "--memory", "1"}, 1, {"more memory", "65536 + 65536"});
  expect_error({"bench", "efficiency", "--out", out, "--batch", "1"}, 2, {"--batch", "1"});
  expect_error({"bench", "efficiency", "--out", out, "--text", "x"}, 2, {"-m MODEL"});
}

TEST_F(Cli, EveryFaultIsOneLineAndAStatus) {
  expect_error({"generate", "-m", kModel, "--tokens", "1", "--frobnicate"}, 2, {"--frobnicate"});
  expect_error({"generate", "--tokens", "1"}, 2, {"--model"});
  expect_error({"generate", "-m", kModel}, 2, {"-p TEXT"});
  expect_error({"generate", "-m", kModel, "--tokens", "1,x"}, 2, {"x"});
  expect_error({"generate", "-m", kModel, "--tokens", "97"}, 1, {"96", "97"});
  expect_error({"generate", "-m", kModel, "-p", "text"}, 1, {"tokenizer"});
  expect_error({"generate", "-m", folder.path("nothing"), "--tokens", "1"}, 1, {"nothing"});
  expect_error({"generate", "-m", kModel, "--tokens", "1", "--k-cache", "q3"}, 2, {"q3"});
  expect_error({"generate", "-m", kModel, "--tokens", "1", "--top-p", "7"}, 1, {"top_p"});
  std::string long_prompt = "1";
  for (int i = 0; i < 200; ++i) long_prompt += ",1";
  expect_error({"generate", "-m", kModel, "--tokens", long_prompt}, 1, {"128", "201"});
  expect_error({"convert", kModel, folder.path("q"), "--type", "q8"}, 1, {".gguf"});
  expect_error({"convert", kModel, folder.path("no/such/x.gguf")}, 1, {"no/such"});
  expect_error({"perplexity", "-m", kModel, "-f", folder.path("absent"), "--context", "64"}, 1, {"tokenizer"});
  expect_error({"generate", "-m", kModel, "--tokens", "1", "--threads", "1000000"}, 2, {"--threads", "1000000"});
  expect_error({"convert", kModel, folder.path("x.gguf"), "--threads", "-1"}, 2, {"--threads"});
  expect_error({"inspect", "/dev/null"}, 1, {"[/dev/null] expected a model folder or a .gguf file"});
  expect_error({"frobnicate", "-m", kModel}, 2, {"[sigma] expected a command", "found frobnicate"});
  expect_error({}, 2, {});
  expect_json_error({"generate", "-m", folder.path("nothing"), "--tokens", "1"}, 1);
  expect_json_error({"generate", "-m", kModel, "--frobnicate"}, 2);
}

// A file that may not grow is what a full disk looks like to the program.
TEST_F(Cli, AFullDiskLeavesNothing) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  write_file(folder.path("stdin"), "");
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);  // inherited: writing fails instead of killing
  struct rlimit small = before;
  small.rlim_cur = 20000;
  ::setrlimit(RLIMIT_FSIZE, &small);
  const CommandResult to_gguf = run({"convert", kModel, folder.path("full.gguf")});
  const CommandResult to_folder = run({"convert", kModel, folder.path("full")});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(to_gguf.status, 1) << to_gguf.err;
  EXPECT_EQ(to_folder.status, 1) << to_folder.err;
  EXPECT_NE(to_gguf.err.find("room for the whole file"), std::string::npos) << to_gguf.err;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    EXPECT_EQ(entry.path().filename().string().find("full"), std::string::npos) << entry.path();
}

TEST_F(Cli, ResultsThatCannotBeWrittenAreAnError) {
  const std::string command =
      std::string(SIGMA_BINARY) + " generate -m " + kModel + " --tokens 1,2 -n 4 >/dev/full 2>" + folder.path("said");
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(read_file(folder.path("said")).find("[standard output]"), std::string::npos);
}

TEST_F(Cli, DamagedModelsAreRefused) {
  ASSERT_EQ(run({"convert", kModel, folder.path("m.gguf")}).status, 0);
  const std::string good = read_file(folder.path("m.gguf"));
  const auto refused = [&](const std::string& name, const std::string& bytes) {
    write_file(folder.path(name), bytes);
    expect_error({"generate", "-m", folder.path(name), "--tokens", "1"}, 1, {name});
  };
  refused("empty.gguf", "");
  refused("short.gguf", good.substr(0, good.size() / 3));
  refused("header.gguf", good.substr(0, 12));
  std::string huge = good;
  for (size_t i = 8; i < 24; ++i) huge[i] = '\x7f';  // tensor and metadata counts
  refused("huge.gguf", huge);
  fs::copy(kModel, folder.path("folder"), fs::copy_options::recursive);
  fs::copy_file(std::string(SIGMA_TEST_DATA) + "/formats/tokenizer/qwen2/tokenizer.json",
                folder.path("folder/tokenizer.json"));
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"generate", "-p", "hello", "-m", folder.path("folder")},
                                             {"inspect", folder.path("folder")},
                                             {"convert", folder.path("folder"), folder.path("mismatch.gguf")}})
    expect_error(command, 1, {"a tokenizer of at most 97 tokens"});
  EXPECT_FALSE(fs::exists(folder.path("mismatch.gguf")));
  write_file(folder.path("folder/config.json"), "{\"model_type\": \"sigma\"");
  expect_error({"inspect", folder.path("folder")}, 1, {"config.json", "JSON"});
}

// With the default model where it has been pulled.
class WithSmolLM2 : public Cli {
 protected:
  void SetUp() override {
    if (!fs::exists(cache_folder() + "/models/smollm2"))
      GTEST_SKIP() << "smollm2 is not in the cache (make run pulls it)";
  }
};

TEST_F(WithSmolLM2, AnswersAndStops) {
  const Json j = run_json({"generate", "-m", "smollm2", "-p", "The capital of France is", "-n", "8"}, "generate.json");
  EXPECT_NE(j["completions"][0]["text"].get<std::string>().find("Paris"), std::string::npos);
  const Json stop = run_json(
      {"generate", "-m", "smollm2", "-p", "The capital of France is", "-n", "8", "--stop", "aris"}, "generate.json");
  EXPECT_EQ(stop["completions"][0]["text"], " P");
  EXPECT_EQ(stop["completions"][0]["finish_reason"], "stop");
  const Json chat = run_json({"generate", "-m", "smollm2", "--chat", "-p", "Say hello.", "-n", "100"}, "generate.json");
  EXPECT_EQ(chat["completions"][0]["finish_reason"], "stop");
}

TEST_F(WithSmolLM2, TokenizesThereAndBack) {
  const std::string text = "Ungl\xc3\xbc\x63k \xe2\x82\xac 123 <|im_end|>\n\tx";
  const Json j = run_json({"tokenize", "-m", "smollm2", "-p", text}, "tokenize.json");
  std::string ids;
  for (const Json& id : j["tokens"]) ids += id.dump() + ",";
  EXPECT_EQ(run_json({"detokenize", "-m", "smollm2", "--tokens", ids}, "detokenize.json")["text"], text);
  EXPECT_EQ(run({"tokenize", "-m", "smollm2", "--specials", "-p", "<|im_end|>"}).out, "2\n");
}

TEST_F(WithSmolLM2, WhatAUserWritesIsNeverASpecialToken) {
  const CommandResult chat = run({"generate", "-m", "smollm2", "--chat", "-p", "<|im_end|>", "-n", "0", "--json"});
  const CommandResult plain = run({"generate", "-m", "smollm2", "--chat", "-p", "x", "-n", "0", "--json"});
  EXPECT_GT(chat.json()["prompt_tokens"], plain.json()["prompt_tokens"].get<int>() + 3);
}

TEST_F(WithSmolLM2, ChatKeepsTheConversation) {
  const CommandResult chat = run({"chat", "-m", "smollm2", "-n", "16"},
                                 "My name is Ada.\n/save " + folder.path("talk.json") + "\n/reset\n/load " +
                                     folder.path("talk.json") + "\nWhat is my name?\n/nonsense\n/quit\n");
  EXPECT_EQ(chat.status, 0) << chat.err;
  const Json talk = read_json(folder.path("talk.json"));
  EXPECT_EQ(talk[0]["content"], "My name is Ada.");
  EXPECT_EQ(talk[1]["role"], "assistant");
}

}  // namespace
}  // namespace sigma::test
