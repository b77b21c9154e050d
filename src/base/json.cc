#include "base/json.h"

#include "base/error.h"
#include "base/file.h"

namespace sigma {

Json parse_json(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 512;
  const auto limit_depth = [&](int depth, Json::parse_event_t event, Json&) {
    const bool opens = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) throw Error(where, fmt::format("at most {} levels of nesting", kMaxDepth), "more");
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), limit_depth);
  } catch (const nlohmann::json::parse_error& e) {
    throw Error(where, "valid JSON", fmt::format("a fault at byte {}", e.byte));
  } catch (const nlohmann::json::out_of_range&) {
    throw Error(where, "valid JSON", "a number beyond double precision");
  }
}

Json read_json(const std::string& path) {
  const MappedFile file(path);
  return parse_json(file.text(), path);
}

}  // namespace sigma
