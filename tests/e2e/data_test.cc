// From text to a tokenizer to shards to batches, by the commands and the loader.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/loader.h"
#include "formats/tokenizer_json.h"
#include "support/command.h"
#include "support/schema.h"
#include "support/temp_folder.h"

namespace sigma::test {
namespace {

class Data : public testing::Test {
 protected:
  void SetUp() override {
    text = read_file(std::string(SIGMA_SOURCE_DIR) + "/LICENSE");
    write_file(folder.path("a.txt"), text);
    std::string lines;
    for (size_t begin = 0; begin < text.size(); begin += 500)
      lines += Json{{"id", begin}, {"text", text.substr(begin, 500)}}.dump() + "\n";
    write_file(folder.path("a.jsonl"), lines + "{\"text\": \"\"}\n");
  }
  Json run_json(std::vector<std::string> arguments, const std::string& schema) {
    arguments.push_back("--json");
    const CommandResult result = run_sigma(arguments, folder.path());
    EXPECT_EQ(result.status, 0) << result.err << result.out;
    EXPECT_EQ(schema_fault(read_json(std::string(SIGMA_SOURCE_DIR) + "/docs/schemas/" + schema), result.json()), "")
        << result.out;
    return result.json();
  }
  void train_tokenizer() {
    const Json j = run_json({"tokenizer", "train", folder.path("a.txt"), "-o", folder.path("tok"), "--vocab", "1000",
                             "--special", "<|user|>"},
                            "tokenizer_train.json");
    ASSERT_EQ(j["vocab"], 1000);
    ASSERT_EQ(j["merges"], 1000 - 256 - 2);
    ASSERT_EQ(j["bytes"], text.size());
  }
  void expect_error(const std::vector<std::string>& arguments, int status, const std::vector<std::string>& words) {
    const CommandResult result = run_sigma(arguments, folder.path());
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : words)
      EXPECT_NE(result.err.find(word), std::string::npos) << word << " in: " << result.err;
  }

  TempFolder folder;
  std::string text;
};

TEST_F(Data, HelpHasExamples) {
  for (const auto& [group, command] : {std::pair{"data", "tokenize"}, {"tokenizer", "train"}}) {
    const CommandResult help = run_sigma({group, command, "--help"}, folder.path());
    EXPECT_EQ(help.status, 0);
    EXPECT_NE(help.out.find(std::string("Examples:\n  sigma ") + group + " " + command), std::string::npos) << help.out;
    EXPECT_NE(run_sigma({group, "--help"}, folder.path()).out.find(command), std::string::npos);
    expect_error({group}, 2, {std::string("sigma ") + group});
    expect_error({group, command, "--nonsense"}, 2, {std::string("sigma ") + group + " " + command});
  }
}

TEST_F(Data, TextBecomesBatches) {
  train_tokenizer();
  const Tokenizer tokenizer(read_tokenizer_folder(folder.path("tok")));
  ASSERT_EQ(tokenizer.spec().eos, 0);
  const std::string prefix = folder.path("shard");
  const Json j = run_json(
      {"data", "tokenize", folder.path("a.jsonl"), folder.path("a.txt"), "-m", folder.path("tok"), "-o", prefix},
      "data_tokenize.json");
  const size_t documents = (text.size() + 499) / 500 + 1;
  EXPECT_EQ(j["documents"], documents);
  EXPECT_EQ(j["empty"], 1);
  EXPECT_EQ(j["files"], 2);
  EXPECT_EQ(j["type"], "u16");

  EXPECT_EQ(read_vocabulary(prefix), vocabulary_of(tokenizer.spec(), folder.path("tok")));
  const Shard shard(prefix);
  ASSERT_EQ(shard.documents(), documents);
  EXPECT_EQ(j["tokens"], shard.tokens());
  std::vector<int32_t> last(shard.tokens() - shard.document_begin(documents - 1));
  shard.read(last.data(), shard.document_begin(documents - 1), last.size());
  std::vector<TokenId> expected = tokenizer.encode(text, Specials::as_text);
  expected.push_back(0);
  EXPECT_EQ(last, expected);

  const Loader loader({.parts = {{prefix}}, .seed = 1, .context = 64, .vocab = 1000});
  EXPECT_EQ(loader.batch(0, 4).tokens.size(), 4u * 65);
}

TEST_F(Data, BadInputIsOneClearLine) {
  train_tokenizer();
  const std::string tok = folder.path("tok"), out = folder.path("out");
  const auto tokenize = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"data", "tokenize", "-m", tok, "-o", out};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  expect_error(tokenize({}), 2, {"files to read"});
  expect_error(tokenize({folder.path("none.txt")}), 1, {"none.txt"});
  write_file(folder.path("empty.txt"), "");
  expect_error(tokenize({folder.path("empty.txt")}), 1, {"empty.txt", "a document that is not empty"});
  write_file(folder.path("bad.jsonl"), "{\"text\": \"x\"}\n{\"txt\": \"y\"}\n");
  expect_error(tokenize({folder.path("bad.jsonl")}), 1, {"bad.jsonl, line 2", "\"text\""});
  expect_error(tokenize({folder.path("a.txt"), "--end", "<|none|>"}), 1, {"--end", "<|none|>"});
  expect_error(tokenize({folder.path("a.txt"), "-o", folder.path("no/folder/x")}), 1, {"no/folder/x"});
  EXPECT_FALSE(std::filesystem::exists(out + ".idx"));
  EXPECT_FALSE(std::filesystem::exists(out + ".bin"));
  expect_error({"tokenizer", "train", folder.path("a.txt"), "-o", out, "--vocab", "500"}, 2, {"--vocab", "500"});
  expect_error({"tokenizer", "train", folder.path("empty.txt"), "-o", out}, 1, {"empty.txt"});
  expect_error({"tokenizer", "train", folder.path("a.txt"), "-o", out, "--special", "<|endoftext|>"}, 1,
               {"<|endoftext|>"});
}

TEST_F(Data, AVocabularyBeyondTheTypeIsRefused) {
  std::string words;
  for (int i = 0; i < 200000; ++i) words += fmt::format("{:x} ", i * 2654435761u);
  write_file(folder.path("b.txt"), words);
  const Json j = run_json({"tokenizer", "train", folder.path("b.txt"), "-o", folder.path("large"), "--vocab", "70000",
                           "--pre", "gpt2", "--min-count", "1"},
                          "tokenizer_train.json");
  ASSERT_GT(j["vocab"], 65536);
  expect_error(
      {"data", "tokenize", folder.path("a.txt"), "-m", folder.path("large"), "-o", folder.path("x"), "--type", "u16"},
      1, {"--type", "u16", j["vocab"].dump()});
  EXPECT_EQ(run_json({"data", "tokenize", folder.path("a.txt"), "-m", folder.path("large"), "-o", folder.path("x")},
                     "data_tokenize.json")["type"],
            "i32");
}

}  // namespace
}  // namespace sigma::test
