// The one place that includes the JSON library. Objects keep the order of their keys.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sigma {

using Json = nlohmann::ordered_json;

// Parses a whole text; `where` names it in the Error (with the byte of the fault) thrown for anything but valid JSON.
// Nesting deeper than 512 levels is refused.
Json parse_json(std::string_view text, const std::string& where);
// Reads and parses a file.
Json read_json(const std::string& path);

}  // namespace sigma
