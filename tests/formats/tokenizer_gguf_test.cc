#include "formats/tokenizer_gguf.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/tokenizer_json.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

TokenizerSpec golden(const std::string& name) {
  const std::string path = SIGMA_TEST_DATA "/formats/tokenizer/" + name + "/tokenizer.json";
  TokenizerSpec spec = parse_tokenizer_json(MappedFile(path).text(), path);
  for (SpecialToken& special : spec.specials) special.lstrip = special.rstrip = special.normalized = false;
  return spec;
}

class TokenizerGguf : public testing::Test {
 protected:
  TokenizerSpec written(const GgufWriter& writer) {
    const std::string path = folder_.path("tokenizer.gguf");
    writer.write(path, {}, [](size_t, FileWriter&) {});
    return tokenizer_from_gguf(GgufFile(path));
  }
  template <class Change>
  void expect_refused(const std::string& expected, const Change& change) {
    GgufWriter writer;
    tokenizer_to_gguf(golden("gpt2"), writer);
    change(writer);
    try {
      written(writer);
      ADD_FAILURE() << "accepted; should have asked for " << expected;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(expected), std::string::npos) << e.what();
    }
  }
  test::TempFolder folder_;
};

TEST_F(TokenizerGguf, WrittenAndReadAgain) {
  for (const char* name : {"gpt2", "smollm", "llama3", "qwen2"}) {
    TokenizerSpec spec = golden(name);
    spec.bos = spec.specials[0].id;
    spec.eos = spec.specials[1].id;
    spec.add_eos = true;
    spec.chat_template = "{{ x }}";
    GgufWriter writer;
    tokenizer_to_gguf(spec, writer);
    const TokenizerSpec again = written(writer);
    EXPECT_EQ(again.tokens, spec.tokens);
    EXPECT_EQ(again.merges, spec.merges);
    EXPECT_EQ(again.pre, spec.pre);
    EXPECT_EQ(again.nfc, spec.nfc);
    EXPECT_EQ(again.ignore_merges, spec.ignore_merges);
    EXPECT_EQ(again.bos, spec.bos);
    EXPECT_EQ(again.eos, spec.eos);
    EXPECT_EQ(again.add_bos, false);
    EXPECT_EQ(again.add_eos, true);
    EXPECT_EQ(again.chat_template, spec.chat_template);
    ASSERT_EQ(again.specials.size(), spec.specials.size());
    for (size_t i = 0; i < spec.specials.size(); ++i) {
      EXPECT_EQ(again.specials[i].id, spec.specials[i].id);
      EXPECT_EQ(again.specials[i].text, spec.specials[i].text);
      EXPECT_EQ(again.specials[i].control, spec.specials[i].control);
    }
  }
}

TEST_F(TokenizerGguf, Llama3AddsABeginningUnlessToldNotTo) {
  TokenizerSpec spec = golden("llama3");
  spec.bos = spec.specials[0].id;
  GgufWriter writer;
  tokenizer_to_gguf(spec, writer);
  EXPECT_FALSE(written(writer).add_bos);
  writer.remove("tokenizer.ggml.add_bos_token");
  EXPECT_TRUE(written(writer).add_bos);
  writer.remove("tokenizer.ggml.bos_token_id");
  EXPECT_FALSE(written(writer).add_bos);
}

TEST_F(TokenizerGguf, UnusedTokensAreKeptAsTheyAre) {
  TokenizerSpec spec = golden("gpt2");
  GgufWriter writer;
  tokenizer_to_gguf(spec, writer);
  std::vector<int32_t> types(spec.tokens.size(), 1);
  types[300] = 5;
  writer.set_array("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  const TokenizerSpec again = written(writer);
  EXPECT_TRUE(again.specials.empty());
  EXPECT_EQ(again.tokens, spec.tokens);
}

TEST_F(TokenizerGguf, RefusesWhatItDoesNotKnow) {
  expect_refused("gpt2 (byte-level BPE)", [](GgufWriter& w) { w.set("tokenizer.ggml.model", "llama"); });
  expect_refused("tokenizer.ggml.pre", [](GgufWriter& w) { w.set("tokenizer.ggml.pre", "tekken"); });
  expect_refused("tokenizer.ggml.pre", [](GgufWriter& w) { w.remove("tokenizer.ggml.pre"); });
  expect_refused("tokenizer.ggml.merges", [](GgufWriter& w) { w.remove("tokenizer.ggml.merges"); });
  expect_refused("token id below", [](GgufWriter& w) { w.set("tokenizer.ggml.bos_token_id", uint32_t{100000}); });
  expect_refused("bos_token_id to add", [](GgufWriter& w) { w.set("tokenizer.ggml.add_bos_token", true); });
  expect_refused("in UTF-8", [](GgufWriter& w) { w.set("tokenizer.chat_template", "\xff"); });
  const auto set_types = [](GgufWriter& w, size_t count, int32_t type) {
    const std::vector<int32_t> types(count, type);
    w.set_array("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  };
  const size_t count = golden("gpt2").tokens.size();
  expect_refused("token types", [&](GgufWriter& w) { set_types(w, count - 1, 1); });
  expect_refused("a token type", [&](GgufWriter& w) { set_types(w, count, 6); });
  expect_refused("a token type", [&](GgufWriter& w) { set_types(w, count, 0); });
  const auto set_merge = [](GgufWriter& w, std::string_view merge) {
    w.set_array("tokenizer.ggml.merges", std::span<const std::string_view>(&merge, 1));
  };
  expect_refused("two tokens", [&](GgufWriter& w) { set_merge(w, "ab"); });
  expect_refused("two tokens", [&](GgufWriter& w) { set_merge(w, "zq zq"); });
  expect_refused("byte alphabet", [&](GgufWriter& w) {
    const std::string_view tokens[] = {"a", "with space"};
    w.set_array("tokenizer.ggml.tokens", std::span<const std::string_view>(tokens));
    set_types(w, 2, 1);
  });
}

TEST_F(TokenizerGguf, RefusesToWriteWhatTheFormatCannotSay) {
  GgufWriter writer;
  TokenizerSpec spec = golden("llama3");
  spec.ignore_merges = false;
  EXPECT_THROW(tokenizer_to_gguf(spec, writer), Error);
  spec = golden("gpt2");
  spec.nfc = true;
  EXPECT_THROW(tokenizer_to_gguf(spec, writer), Error);
  spec = golden("gpt2");
  spec.specials[0].lstrip = true;
  EXPECT_THROW(tokenizer_to_gguf(spec, writer), Error);
}

TEST_F(TokenizerGguf, ModelsWithoutATokenizer) {
  const std::string path = folder_.path("none.gguf");
  GgufWriter().write(path, {}, [](size_t, FileWriter&) {});
  EXPECT_FALSE(has_gguf_tokenizer(GgufFile(path)));
}

}  // namespace
}  // namespace sigma
