// A conversation as JSON, [{role, content}], through a chat template to token ids: what it says never becomes a control
// token, and the ids decode to what the template gives.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/literal_text.h"
#include "text/tokenizer.h"

namespace sigma {
namespace {

constexpr const char* kTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}</s>{% endfor %}<tool>";

Tokenizer make_tokenizer() {
  TokenizerSpec spec;
  spec.specials = {{.id = 0, .text = "<|im_start|>"},
                   {.id = 1, .text = "</s>"},
                   {.id = 2, .text = "</s></s>"},
                   {.id = 3, .text = "<tool>", .control = false}};
  for (const SpecialToken& special : spec.specials) spec.tokens.push_back(special.text);
  for (int byte = 0; byte < 256; ++byte) spec.tokens.emplace_back(1, static_cast<char>(byte));
  return Tokenizer(std::move(spec));
}

bool is_conversation(const Json& json) {
  const auto is_message = [](const Json& m) {
    return m.is_object() && m.size() == 2 && m.contains("role") && m["role"].is_string() && m.contains("content") &&
           m["content"].is_string();
  };
  return json.is_array() && json.size() < 64 && std::all_of(json.begin(), json.end(), is_message);
}

void require(bool good) {
  if (!good) std::abort();
}

void encode(const Json& messages) {
  static const Tokenizer tokenizer = make_tokenizer();
  static const ChatTemplate chat_template(kTemplate, "template");
  const LiteralText literal(tokenizer.spec().specials, messages);
  const std::string rendered = chat_template.render({{"messages", literal.marked(messages)}});
  const auto [text, breaks] = literal.unmark(rendered);
  require(text == chat_template.render({{"messages", messages}}));
  const std::vector<TokenId> ids = tokenizer.encode_prompt(text, Specials::parse, breaks);
  require(tokenizer.decode(ids, Specials::parse) == text);
  const auto count = [&](TokenId id) { return static_cast<size_t>(std::count(ids.begin(), ids.end(), id)); };
  require(count(0) == messages.size() && count(1) == messages.size() && count(2) == 0);
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  try {
    const Json json = parse_json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    if (is_conversation(json)) encode(json);
  } catch (const Error&) {  // no JSON
  }
  return 0;
}
