// A line of an instruction set, through a chat template: an Error, or tokens of which only the assistant's are learnt,
// and rows of them in which nothing is lost.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "train/instructions.h"

namespace sigma {
namespace {

constexpr const char* kTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

Tokenizer make_tokenizer() {
  TokenizerSpec spec;
  spec.specials = {{.id = 0, .text = "<|im_start|>"}, {.id = 1, .text = "<|im_end|>"}};
  for (const SpecialToken& special : spec.specials) spec.tokens.push_back(special.text);
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  spec.chat_template = kTemplate;
  return Tokenizer(std::move(spec));
}

void require(bool good) {
  if (!good) std::abort();
}

void check(const Json& messages) {
  static const Tokenizer tokenizer = make_tokenizer();
  static const ConversationEncoder encoder(tokenizer, "fuzz");
  const Conversation c = encoder.encode(messages, "fuzz");
  require(c.tokens.size() == c.answer.size());
  const auto count = [](const Json& all, const char* role) {
    return std::count_if(all.begin(), all.end(), [&](const Json& m) { return m["role"] == role; });
  };
  int64_t ends = 0;  // of turns that are learnt: one for each answer
  for (size_t i = 0; i < c.tokens.size(); ++i) ends += c.tokens[i] == 1 && c.answer[i] != 0 ? 1 : 0;
  require(ends == count(messages, "assistant"));
  const int64_t learnt = std::count(c.answer.begin(), c.answer.end(), 1);
  const auto length = static_cast<int64_t>(c.tokens.size());
  const InstructionRows rows = pack_instructions({c, c}, {.context = length, .batch_rows = 2});
  TrainRows out;
  rows.train.read(out, 0, rows.train_rows);
  require(std::count_if(out.targets.begin(), out.targets.end(), [](int32_t t) { return t >= 0; }) == 2 * learnt);
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  try {
    const Json messages = parse_conversation({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (messages.size() < 32) check(messages);
  } catch (const Error&) {
  }
  return 0;
}
