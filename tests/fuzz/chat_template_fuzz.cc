// A template, then (after a zero byte) the JSON of its variables: parsed and rendered. What it gives is valid UTF-8,
// and the same the second time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"
#include "text/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view json = zero == std::string_view::npos ? std::string_view() : input.substr(zero + 1);
  try {
    const ChatTemplate chat_template(input.substr(0, zero), "fuzz");
    const Json variables = json.empty() ? Json::object() : parse_json(json, "fuzz");
    const std::string text = chat_template.render(variables);
    if (!unicode::is_utf8(text)) std::abort();
    const bool clock = input.find("strftime_now") != std::string_view::npos;
    if (!clock && chat_template.render(variables) != text) std::abort();
  } catch (const Error&) {  // an expected answer to most inputs
  }
  return 0;
}
