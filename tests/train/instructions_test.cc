#include "train/instructions.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

// Bytes as tokens 2 .. 257, and the two control tokens of ChatML.
Tokenizer byte_tokenizer(const std::string& chat_template) {
  TokenizerSpec spec;
  spec.specials = {{.id = 0, .text = "<|im_start|>"}, {.id = 1, .text = "<|im_end|>"}};
  for (const SpecialToken& special : spec.specials) spec.tokens.push_back(special.text);
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  spec.eos = 1;
  spec.chat_template = chat_template;
  return Tokenizer(std::move(spec));
}

const std::string kChatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// What is learnt in brackets.
std::string shown(const Tokenizer& tokenizer, const Conversation& c) {
  std::string text;
  for (size_t i = 0; i < c.tokens.size(); ++i) {
    const bool before = i > 0 && c.answer[i - 1] != 0, now = c.answer[i] != 0;
    if (now && !before) text += "[";
    if (before && !now) text += "]";
    text += tokenizer.token_bytes(c.tokens[i], Specials::parse);
  }
  return text + (!c.answer.empty() && c.answer.back() != 0 ? "]" : "");
}

TEST(Instructions, OnlyAnswersAndTheirEndsAreLearnt) {
  const Tokenizer tokenizer = byte_tokenizer(kChatml);
  const ConversationEncoder encoder(tokenizer, "test");
  const Json messages = parse_conversation(
      R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a<|im_end|>"},
          {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})",
      "test");
  const Conversation c = encoder.encode(messages, "test");
  EXPECT_EQ(shown(tokenizer, c),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>assistant\n"
            "[b<|im_end|>]\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n[d<|im_end|>]\n");
  // What the user wrote is ten bytes, not a control token.
  EXPECT_EQ(std::count(c.tokens.begin(), c.tokens.end(), 1), 5);
}

TEST(Instructions, WithoutATemplateTheAnswerFollowsThePrompt) {
  const Tokenizer tokenizer = byte_tokenizer("");
  const ConversationEncoder encoder(tokenizer, "test");
  const Conversation c = encoder.encode(parse_conversation(R"({"prompt": "2+2=", "answer": "4"})", "test"), "test");
  EXPECT_EQ(shown(tokenizer, c), "2+2=[4<|im_end|>]");
}

TEST(Instructions, RefusesWhatItCannotLearnFrom) {
  for (const char* line :
       {"{}", "[]", "{\"prompt\": \"x\"}", "{\"messages\": 3}", "{\"messages\": [{\"role\": \"user\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", "{\"prompt\": 1, \"answer\": \"\"}", "nonsense"})
    EXPECT_THROW(parse_conversation(line, "test"), Error) << line;
  const Tokenizer tokenizer = byte_tokenizer("{% for m in messages | reverse %}{{ m.content }}{% endfor %}");
  const ConversationEncoder encoder(tokenizer, "test");
  EXPECT_THROW(encoder.encode(parse_conversation(R"({"prompt": "a", "answer": "b"})", "test"), "test"), Error);
}

TEST(Instructions, TheFirstWrongLineIsNamed) {
  const test::TempFolder folder;
  const Tokenizer tokenizer = byte_tokenizer(kChatml);
  const ConversationEncoder encoder(tokenizer, "test");
  ThreadPool threads(2);
  write_file(folder.path("good.jsonl"),
             "{\"prompt\": \"a\", \"answer\": \"b\"}\n\n{\"prompt\": \"c\", \"answer\": \"d\"}");
  EXPECT_EQ(read_instructions({folder.path("good.jsonl")}, encoder, threads).size(), 2u);
  write_file(folder.path("bad.jsonl"), "{\"prompt\": \"a\", \"answer\": \"b\"}\n{}\n{}\n");
  try {
    read_instructions({folder.path("good.jsonl"), folder.path("bad.jsonl")}, encoder, threads);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("bad.jsonl line 2"), std::string::npos) << error.what();
  }
}

std::vector<Conversation> numbered(int count) {
  std::vector<Conversation> all;
  for (int i = 0; i < count; ++i) {
    const auto length = static_cast<size_t>(4 + i % 7);
    Conversation c{std::vector<int32_t>(length, 100 + i), std::vector<uint8_t>(length, 0)};
    c.answer[length - 2] = c.answer[length - 1] = 1;
    all.push_back(std::move(c));
  }
  return all;
}

TEST(Instructions, EveryEpochHasEveryConversationOnceInAnOrderOfItsOwn) {
  const InstructionRows rows =
      pack_instructions(numbered(40), {.context = 16, .batch_rows = 3, .seed = 2, .epochs = 3});
  EXPECT_EQ(rows.conversations, 40);
  EXPECT_EQ(rows.train_rows % 3, 0);
  TrainRows out;
  rows.train.read(out, 0, rows.train_rows);
  std::map<int32_t, int> learnt;
  std::vector<int32_t> order;
  for (size_t i = 0; i < out.tokens.size(); ++i) {
    const auto place = static_cast<int32_t>(i % 16);
    EXPECT_LE(out.starts[i], place);
    // A token sees its own conversation alone.
    EXPECT_EQ(out.tokens[i - static_cast<size_t>(place - out.starts[i])], out.tokens[i]);
    if (out.targets[i] >= 0) {
      EXPECT_EQ(out.targets[i], out.tokens[i]);
      ++learnt[out.targets[i]];
      if (order.empty() || order.back() != out.targets[i]) order.push_back(out.targets[i]);
    }
  }
  EXPECT_EQ(learnt.size(), 40u);
  for (const auto& [id, times] : learnt) EXPECT_EQ(times, 2 * 3) << id;
  ASSERT_GE(order.size(), 119u);
  EXPECT_FALSE(std::equal(order.begin(), order.begin() + 40, order.begin() + 40));
  // Any piece is the same alone.
  TrainRows piece;
  rows.train.read(piece, 4, 2);
  EXPECT_TRUE(std::equal(piece.tokens.begin(), piece.tokens.end(), out.tokens.begin() + 4 * 16));
  EXPECT_TRUE(std::equal(piece.targets.begin(), piece.targets.end(), out.targets.begin() + 4 * 16));
}

TEST(Instructions, LongOnesAreCutAndSomeAreHeldBack) {
  std::vector<Conversation> all = numbered(20);
  all.push_back({std::vector<int32_t>(30, 7), std::vector<uint8_t>(30, 1)});
  Conversation late{std::vector<int32_t>(30, 8), std::vector<uint8_t>(30, 0)};
  late.answer[29] = 1;
  all.push_back(late);
  const InstructionRows rows = pack_instructions(all, {.context = 16, .validation = 0.25});
  EXPECT_EQ(rows.cut, 2);
  EXPECT_EQ(rows.left_out, 1);
  EXPECT_EQ(rows.conversations, 21);
  TrainRows train, held;
  rows.train.read(train, 0, rows.train_rows);
  rows.validation.read(held, 0, rows.validation_rows);
  const auto ids = [](const TrainRows& r) {
    std::set<int32_t> found(r.targets.begin(), r.targets.end());
    found.erase(-1);
    return found;
  };
  EXPECT_EQ(ids(train).size(), 16u);
  EXPECT_EQ(ids(held).size(), 5u);
  for (const int32_t id : ids(held)) EXPECT_EQ(ids(train).count(id), 0u);
  EXPECT_NE(rows.train.fingerprint, pack_instructions(numbered(20), {.context = 16}).train.fingerprint);
}

}  // namespace
}  // namespace sigma
