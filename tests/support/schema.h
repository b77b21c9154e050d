// The part of JSON Schema that docs/schemas uses: type, enum, required, properties, additionalProperties, items.
#pragma once

#include <algorithm>
#include <string>

#include "base/fmt.h"
#include "base/json.h"

namespace sigma::test {

inline bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "null") return value.is_null();
  return type == "boolean" && value.is_boolean();
}

// The first fault as "path: what", or "".
inline std::string schema_fault(const Json& schema, const Json& value, const std::string& path = "$") {
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(), [&](const Json& t) { return has_type(value, t.get<std::string>()); }))
      return path + ": not " + types.dump();
  }
  if (schema.contains("enum") && std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end())
    return path + ": none of " + schema["enum"].dump();
  if (value.is_array() && schema.contains("items"))
    for (size_t i = 0; i < value.size(); ++i)
      if (const auto fault = schema_fault(schema["items"], value[i], fmt::format("{}[{}]", path, i)); !fault.empty())
        return fault;
  if (!value.is_object()) return "";
  if (schema.contains("required"))
    for (const Json& key : schema["required"])
      if (!value.contains(key.get<std::string>())) return path + ": no " + key.get<std::string>();
  for (const auto& [key, member] : value.items()) {
    const bool listed = schema.contains("properties") && schema["properties"].contains(key);
    if (!listed && schema.contains("additionalProperties") && schema["additionalProperties"] == Json(false))
      return path + ": unknown " + key;
    const Json rule = listed ? schema["properties"][key]
                      : schema.contains("additionalProperties") && schema["additionalProperties"].is_object()
                          ? schema["additionalProperties"]
                          : Json::object();
    if (const auto fault = schema_fault(rule, member, path + "." + key); !fault.empty()) return fault;
  }
  return "";
}

}  // namespace sigma::test
