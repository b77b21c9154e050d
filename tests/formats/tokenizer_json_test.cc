// Against Hugging Face's tokenizers: cases made by tools/check_tokenizer.py, and what tokenizer.json may and may not
// say.
#include "formats/tokenizer_json.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "formats/tokenizer_gguf.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

const std::string kGoldens = SIGMA_TEST_DATA "/formats/tokenizer/";

std::string spelled(const std::vector<TokenId>& ids, const Tokenizer& tokenizer) {
  std::string text;
  for (const TokenId id : ids) {
    text += fmt::format(" {}={}", id, printable(tokenizer.token_bytes(id, Specials::parse)));
  }
  return text.substr(0, 600);
}

void expect_ids(const Tokenizer& tokenizer, const std::string& text, Specials specials,
                const std::vector<TokenId>& expected) {
  const std::vector<TokenId> ids = tokenizer.encode(text, specials);
  ASSERT_TRUE(ids == expected) << printable(text, 400) << "\n  ours:" << spelled(ids, tokenizer)
                               << "\n  reference:" << spelled(expected, tokenizer);
}

Tokenizer open_tokenizer(const std::string& path) {
  if (path.ends_with(".gguf")) return Tokenizer(tokenizer_from_gguf(GgufFile(path)));
  return Tokenizer(parse_tokenizer_json(MappedFile(path).text(), path));
}

// cases.jsonl: {"tokenizer": path}, then {"text", "parsed": ids, "as_text": ids when they differ} a line.
void check_cases(const std::string& folder) {
  std::ifstream file(folder + "/cases.jsonl");
  ASSERT_TRUE(file.is_open()) << folder;
  std::string line;
  std::getline(file, line);
  const auto source = parse_json(line, folder).at("tokenizer").get<std::string>();
  const Tokenizer tokenizer = open_tokenizer(fs::path(folder) / source);
  const Tokenizer rewritten(parse_tokenizer_json(tokenizer_json(tokenizer.spec()).dump(), "rewritten"));
  bool every_byte = true;
  for (int b = 0; b < 256; ++b) every_byte &= !tokenizer.encode(std::string(1, char(b)), Specials::parse).empty();
  size_t cases = 0, ids = 0;
  while (std::getline(file, line)) {
    const Json json = parse_json(line, folder);
    const auto text = json.at("text").get<std::string>();
    const auto parsed = json.at("parsed").get<std::vector<TokenId>>();
    const auto as_text = json.contains("as_text") ? json.at("as_text").get<std::vector<TokenId>>() : parsed;
    expect_ids(tokenizer, text, Specials::parse, parsed);
    expect_ids(tokenizer, text, Specials::as_text, as_text);
    expect_ids(rewritten, text, Specials::parse, parsed);
    if (every_byte && !tokenizer.spec().nfc && as_text == parsed) {
      ASSERT_EQ(tokenizer.decode(as_text), text);
    }
    if (testing::Test::HasFatalFailure()) return;
    ++cases;
    ids += parsed.size();
  }
  EXPECT_GT(cases, 0u);
  std::printf("%s: %zu cases, %zu ids equal\n", folder.c_str(), cases, ids);
}

TEST(TokenizerJson, GoldenCases) {
  for (const char* name : {"gpt2", "smollm", "llama3", "qwen2"}) check_cases(kGoldens + name);
}

// Set by tools/check_tokenizer.py.
TEST(TokenizerJson, CasesFromOutside) {
  const char* folder = std::getenv("SIGMA_TOKENIZER_CASES");
  if (folder == nullptr) GTEST_SKIP() << "SIGMA_TOKENIZER_CASES names no folder with cases";
  check_cases(folder);
}

// A small vocabulary around whatever a test wants to vary.
Json small_json() {
  Json json = parse_json(MappedFile(kGoldens + "gpt2/tokenizer.json").text(), "gpt2");
  return json;
}

TokenizerSpec parsed(const Json& json) { return parse_tokenizer_json(json.dump(), "test"); }

void expect_refused(const Json& json, const std::string& expected, const std::string& found) {
  try {
    const Tokenizer tokenizer(parsed(json));
    ADD_FAILURE() << "accepted; should have asked for " << expected;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(expected), std::string::npos) << e.what();
    EXPECT_NE(e.found().find(found), std::string::npos) << e.what();
  }
}

TEST(TokenizerJson, RefusesOtherModels) {
  Json json = small_json();
  json["model"] = Json{{"type", "Unigram"}, {"unk_id", 0}, {"vocab", Json::array()}};
  expect_refused(json, "type BPE", "Unigram");
  json = small_json();
  json["model"]["surprise"] = 1;
  expect_refused(json, "known", "surprise");
  const std::pair<const char*, Json> cases[] = {
      {"dropout", 0.1}, {"byte_fallback", true}, {"continuing_subword_prefix", "##"}, {"end_of_word_suffix", "</w>"}};
  for (const auto& [key, value] : cases) {
    json = small_json();
    json["model"][key] = value;
    expect_refused(json, key, value.dump());
  }
}

TEST(TokenizerJson, RefusesOtherSteps) {
  Json json = small_json();
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}};
  expect_refused(json, "NFC", "Lowercase");
  json = small_json();
  json["pre_tokenizer"] = {{"type", "Metaspace"}};
  expect_refused(json, "pre-tokenizer", "Metaspace");
  json["pre_tokenizer"] = nullptr;
  expect_refused(json, "pre-tokenizer", "none");
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
  expect_refused(json, "pre-tokenizer", "add_prefix_space");
  json = parse_json(MappedFile(kGoldens + "llama3/tokenizer.json").text(), "llama3");
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\p{L}+|\\s";
  expect_refused(json, "pre-tokenizer", "\\p{L}+|\\s");
  json = parse_json(MappedFile(kGoldens + "llama3/tokenizer.json").text(), "llama3");
  json["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed";
  expect_refused(json, "pre-tokenizer", "Removed");
  json = small_json();
  json["decoder"] = {{"type", "WordPiece"}};
  expect_refused(json, "ByteLevel", "WordPiece");
  json = small_json();
  json["post_processor"] = {{"type", "RobertaProcessing"}};
  expect_refused(json, "post-processor", "RobertaProcessing");
  json = small_json();
  json["added_tokens"][0]["single_word"] = true;
  expect_refused(json, "inside a word", "single_word");
}

TEST(TokenizerJson, RefusesVocabulariesThatDoNotAddUp) {
  Json json = small_json();
  const auto size = json["model"]["vocab"].size();
  json["model"]["vocab"]["hole"] = size + 40;
  expect_refused(json, "ids from 0 to", "hole");
  json = small_json();
  json["model"]["vocab"]["twice"] = 5;
  json["added_tokens"].erase(0);
  expect_refused(json, "once", "twice");
  json = small_json();
  json["model"]["vocab"]["not \xe2\x96\x81 spelt"] = size;
  json["added_tokens"].erase(0);
  expect_refused(json, "byte alphabet", "not");
  json = small_json();
  json["model"]["merges"].push_back("zq zq");
  expect_refused(json, "tokens of the vocabulary", "zq");
  json = small_json();
  json["model"]["merges"].push_back("! !");
  expect_refused(json, "result is a token", "!");
  json = small_json();
  json["model"]["merges"].push_back("!");
  expect_refused(json, "two tokens", "");
  json = small_json();
  json["added_tokens"][0]["id"] = 1u << 31;
  expect_refused(json, "token id", "2147483648");
  json = small_json();
  json["added_tokens"][1]["content"] = json["added_tokens"][0]["content"];
  expect_refused(json, "once", "twice");
}

TEST(TokenizerJson, UnknownTokenMattersOnlyWhereBytesAreMissing) {
  Json json = small_json();
  json["model"]["unk_token"] = "<|end|>";
  EXPECT_NO_THROW(parsed(json));
  json = parse_json(MappedFile(kGoldens + "smollm/tokenizer.json").text(), "smollm");
  json["model"]["unk_token"] = "<|end|>";
  expect_refused(json, "a token for every byte", "<|end|>");
}

TEST(TokenizerJson, RefusesTextThatIsNotJson) {
  const std::string text = small_json().dump();
  for (const size_t cut : {size_t{0}, size_t{1}, text.size() / 3, text.size() / 2, text.size() - 1}) {
    EXPECT_THROW(parse_tokenizer_json(text.substr(0, cut), "cut"), Error) << cut;
  }
  EXPECT_THROW(parse_tokenizer_json(text + "x", "longer"), Error);
  EXPECT_THROW(parse_tokenizer_json("[]", "list"), Error);
}

TEST(TokenizerJson, BeginningAndEndOfSequence) {
  Json json = small_json();
  const TokenId start = json["added_tokens"][0]["id"], end = json["added_tokens"][1]["id"];
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const auto special = [](const char* name) { return Json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}; };
  const Json tokens = {{"S", {{"id", "S"}, {"ids", Json::array({start})}, {"tokens", Json::array({"S"})}}},
                       {"E", {{"id", "E"}, {"ids", Json::array({end})}, {"tokens", Json::array({"E"})}}}};
  const auto with = [&](Json single) {
    json["post_processor"] = {
        {"type", "Sequence"},
        {"processors",
         {{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}},
          {{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"special_tokens", tokens}}}}};
    return json;
  };
  const Tokenizer both(parsed(with(Json::array({special("S"), text, special("E")}))));
  EXPECT_TRUE(both.spec().add_bos && both.spec().add_eos);
  const std::vector<TokenId> bare = both.encode("Hello", Specials::parse);
  std::vector<TokenId> expected = bare;
  expected.insert(expected.begin(), start);
  expected.push_back(end);
  EXPECT_EQ(both.encode_prompt("Hello", Specials::as_text), expected);
  EXPECT_EQ(both.encode_prompt("<|start|>Hello", Specials::parse), expected) << "the template had it already";
  EXPECT_EQ(both.encode_prompt("", Specials::parse), (std::vector<TokenId>{start, end}));

  const Tokenizer only(parsed(with(Json::array({special("S"), text}))));
  EXPECT_EQ(only.encode_prompt("", Specials::parse), (std::vector<TokenId>{start}));
  const Tokenizer again(parsed(tokenizer_json(both.spec())));
  EXPECT_EQ(again.encode_prompt("Hello", Specials::as_text), expected);

  expect_refused(with(Json::array({special("S"), special("S"), text})), "at most one token", "Special");
  expect_refused(with(Json::array({special("X"), text})), "one id", "null");
  expect_refused(with(Json::array({special("S")})), "the text", "S");
}

TEST(TokenizerConfig, NamesTokensAndTemplates) {
  const TokenizerSpec plain = parsed(small_json());
  const auto id = [&](const char* text) { return Tokenizer(plain).find(text); };
  TokenizerSpec spec = plain;
  apply_tokenizer_config(
      spec,
      {{"bos_token", "<|start|>"},
       {"eos_token", {{"content", "<|end|>"}, {"special", true}}},
       {"add_bos_token", true},
       {"chat_template", {{{"name", "tool_use"}, {"template", "T"}}, {{"name", "default"}, {"template", "D"}}}}},
      "test");
  EXPECT_EQ(spec.bos, id("<|start|>"));
  EXPECT_EQ(spec.eos, id("<|end|>"));
  EXPECT_TRUE(spec.add_bos);
  EXPECT_FALSE(spec.add_eos);
  EXPECT_EQ(spec.chat_template, "D");

  // A word of the vocabulary named as the end becomes a control token.
  spec = plain;
  apply_tokenizer_config(spec, {{"eos_token", "A"}}, "test");
  EXPECT_EQ(spec.specials.size(), plain.specials.size() + 1);
  EXPECT_TRUE(spec.specials.back().control);

  // added_tokens_decoder changes flags.
  spec = plain;
  const std::string key = std::to_string(plain.specials[0].id);
  apply_tokenizer_config(
      spec, {{"added_tokens_decoder", {{key, {{"content", "<|start|>"}, {"special", false}, {"normalized", false}}}}}},
      "test");
  EXPECT_FALSE(spec.specials[0].control);

  const Json wrong[] = {{{"bos_token", "<none>"}},
                        {{"bos_token", 3}},
                        {{"add_bos_token", true}},
                        {{"add_eos_token", "yes"}},
                        {{"chat_template", 1}},
                        {{"chat_template", Json::array()}},
                        {{"added_tokens_decoder", {{"9999999", {{"content", "<x>"}}}}}},
                        {{"added_tokens_decoder", {{"x", {{"content", "<|start|>"}}}}}},
                        {{"added_tokens_decoder", {{"1", {{"content", "<|start|>"}}}}}},
                        Json::array()};
  for (const Json& config : wrong) {
    TokenizerSpec copy = plain;
    EXPECT_THROW(apply_tokenizer_config(copy, config, "test"), Error) << config;
  }
}

TEST(TokenizerFolder, WrittenAndReadAgain) {
  const test::TempFolder temporary;
  const std::string& folder = temporary.path();
  TokenizerSpec spec = parse_tokenizer_json(MappedFile(kGoldens + "llama3/tokenizer.json").text(), "llama3");
  spec.bos = spec.specials[0].id;
  spec.eos = spec.specials[1].id;
  spec.add_bos = true;
  spec.chat_template = "{{ bos_token }}\xc3\xa9";
  write_tokenizer_folder(spec, folder);
  const TokenizerSpec again = read_tokenizer_folder(folder);
  EXPECT_EQ(again.tokens, spec.tokens);
  EXPECT_EQ(again.merges, spec.merges);
  EXPECT_EQ(again.bos, spec.bos);
  EXPECT_EQ(again.eos, spec.eos);
  EXPECT_EQ(again.add_bos, spec.add_bos);
  EXPECT_EQ(again.add_eos, spec.add_eos);
  EXPECT_EQ(again.ignore_merges, true);
  EXPECT_EQ(again.chat_template, spec.chat_template);
  ASSERT_EQ(again.specials.size(), spec.specials.size());
  for (size_t i = 0; i < spec.specials.size(); ++i) {
    EXPECT_EQ(again.specials[i].text, spec.specials[i].text);
    EXPECT_EQ(again.specials[i].control, spec.specials[i].control);
    EXPECT_EQ(again.specials[i].lstrip, spec.specials[i].lstrip);
    EXPECT_EQ(again.specials[i].normalized, spec.specials[i].normalized);
  }
  write_file(temporary.path("chat_template.jinja"), "from the file of its own");
  EXPECT_EQ(read_tokenizer_folder(folder).chat_template, "from the file of its own");
  write_file(temporary.path("chat_template.jinja"), "\xff");
  EXPECT_THROW(read_tokenizer_folder(folder), Error);
  EXPECT_THROW(read_tokenizer_folder(temporary.path("nothing")), Error);
}

// The Llama 3.1 vocabulary, whose licence keeps it out of the repository.
TEST(TokenizerJson, Llama31ReferenceCases) {
  const std::string folder = SIGMA_SOURCE_DIR "/../shared/data/tokenizers/llama3_1";
  if (!fs::exists(folder + "/tokenizer.json.gz")) GTEST_SKIP() << "no " << folder;
  const test::TempFolder copy;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    const std::string command = "gzip -dc '" + folder + "/" + name + ".gz' > '" + copy.path(name) + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  const Tokenizer tokenizer(read_tokenizer_folder(copy.path()));
  EXPECT_EQ(tokenizer.vocab_size(), 128256);
  EXPECT_EQ(tokenizer.spec().bos, 128000);
  EXPECT_EQ(tokenizer.spec().eos, 128009);
  EXPECT_TRUE(tokenizer.spec().add_bos);
  EXPECT_FALSE(tokenizer.spec().chat_template.empty());
  std::ifstream file(folder + "/encode_cases.jsonl");
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json json = parse_json(line, "encode_cases.jsonl");
    const auto text = json.at("text").get<std::string>();
    expect_ids(tokenizer, text, Specials::as_text, json.at("ids").get<std::vector<TokenId>>());
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, Specials::as_text)), text);
  }
  EXPECT_EQ(cases, 150);
}

}  // namespace
}  // namespace sigma
