// Between Json and template values.
#pragma once

#include <string>

#include "base/json.h"
#include "text/jinja_runtime.h"

namespace sigma::jinja {

Value from_json(Runtime& rt, const Json& json);  // Fault for integers beyond 64 bits and text that is not UTF-8

// json.dumps as transformers calls it for the filter tojson.
struct JsonStyle {
  bool ascii = false;
  bool indented = false;
  std::string indent;  // one level; when indented
  std::string item_separator = ", ", key_separator = ": ";
  bool sorted = false;
};
std::string to_json(Runtime& rt, const Value& v, const JsonStyle& style);

}  // namespace sigma::jinja
