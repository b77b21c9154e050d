// JSON as a stream of tokens: no tree is built, keys that occur twice are seen, and a long or deep text costs no more
// than its length (base/json.h's tree looks keys up one by one, which a header of a million keys would turn against
// us).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sigma {

struct JsonToken {
  enum class Kind : uint8_t {
    null,
    boolean,
    integer,
    number,
    string,
    key,
    begin_object,
    end_object,
    begin_array,
    end_array
  };
  Kind kind;
  std::string_view text;  // of a string or key; valid during the call
  uint64_t integer = 0;   // of a whole number from 0 to 2^64 - 1; any other number is a Kind::number without a value
};
std::string_view json_kind_name(JsonToken::Kind kind);

// Calls on_token for every token of the text, in order; brackets are balanced and keys stand where they may. Error
// (with `where` and the byte) for anything but valid JSON.
void stream_json(std::string_view text, const std::string& where,
                 const std::function<void(const JsonToken&)>& on_token);

}  // namespace sigma
