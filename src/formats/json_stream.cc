#include "formats/json_stream.h"

#include <array>

#include "base/error.h"
#include "base/json.h"

namespace sigma {
namespace {

using Kind = JsonToken::Kind;

// The interface the JSON library's event parser expects; every method returns whether to go on.
class Events {
 public:
  Events(const std::string& where, const std::function<void(const JsonToken&)>& on_token)
      : where_(where), on_token_(on_token) {}

  bool null() { return emit({Kind::null, {}}); }
  bool boolean(bool) { return emit({Kind::boolean, {}}); }
  bool number_integer(Json::number_integer_t) { return emit({Kind::number, {}}); }  // below zero
  bool number_unsigned(Json::number_unsigned_t value) { return emit({Kind::integer, {}, value}); }
  bool number_float(Json::number_float_t, const std::string&) { return emit({Kind::number, {}}); }
  bool string(const std::string& value) { return emit({Kind::string, value}); }
  bool binary(const Json::binary_t&) { return false; }  // does not occur in JSON text
  bool start_object(size_t) { return emit({Kind::begin_object, {}}); }
  bool key(const std::string& value) { return emit({Kind::key, value}); }
  bool end_object() { return emit({Kind::end_object, {}}); }
  bool start_array(size_t) { return emit({Kind::begin_array, {}}); }
  bool end_array() { return emit({Kind::end_array, {}}); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) {
    throw Error(where_, "valid JSON", fmt::format("a fault at byte {}", position));
  }

 private:
  bool emit(const JsonToken& token) {
    on_token_(token);
    return true;
  }
  const std::string& where_;
  const std::function<void(const JsonToken&)>& on_token_;
};

}  // namespace

std::string_view json_kind_name(Kind kind) {
  constexpr std::array<std::string_view, 10> names{"null",      "a boolean",
                                                   "a number",  "a number",
                                                   "a string",  "a key",
                                                   "an object", "the end of an object",
                                                   "an array",  "the end of an array"};
  return names[static_cast<size_t>(kind)];
}

void stream_json(std::string_view text, const std::string& where,
                 const std::function<void(const JsonToken&)>& on_token) {
  Events events(where, on_token);
  Json::sax_parse(text.begin(), text.end(), &events);
}

}  // namespace sigma
