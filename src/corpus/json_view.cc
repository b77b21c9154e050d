#include "corpus/json_view.h"

#include <simdjson.h>

#include <cstring>
#include <type_traits>

namespace sigma::corpus {

namespace dom = simdjson::dom;

static_assert(sizeof(dom::element) <= 16 && std::is_trivially_copyable_v<dom::element>);

struct JsonViewAccess {
  static dom::element get(const JsonView& view) {
    dom::element element;
    std::memcpy(static_cast<void*>(&element), view.raw_, sizeof element);
    return element;
  }
  static JsonView make(const dom::element& element) {
    JsonView view;
    std::memcpy(view.raw_, &element, sizeof element);
    return view;
  }
};

namespace {
using Access = JsonViewAccess;
}

std::optional<JsonView> JsonView::find(std::string_view key) const {
  dom::element value;
  dom::object object;
  if (Access::get(*this).get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
  if (object.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
  return Access::make(value);
}

std::string_view JsonView::as_text() const {
  std::string_view text;
  if (Access::get(*this).get_string().get(text) != simdjson::SUCCESS) return {};
  return text;
}

std::optional<int64_t> JsonView::as_integer() const {
  int64_t value = 0;
  if (Access::get(*this).get_int64().get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

std::string_view JsonView::text(std::string_view key) const {
  const auto value = find(key);
  return value ? value->as_text() : std::string_view{};
}

std::optional<int64_t> JsonView::integer(std::string_view key) const {
  const auto value = find(key);
  return value ? value->as_integer() : std::nullopt;
}

bool JsonView::is_object() const { return Access::get(*this).is_object(); }

void JsonView::elements(const std::function<void(JsonView)>& f) const {
  dom::array array;
  if (Access::get(*this).get_array().get(array) != simdjson::SUCCESS) return;
  for (const dom::element& element : array) f(Access::make(element));
}

void JsonView::members(const std::function<void(std::string_view, JsonView)>& f) const {
  dom::object object;
  if (Access::get(*this).get_object().get(object) != simdjson::SUCCESS) return;
  for (const auto& [key, value] : object) f(key, Access::make(value));
}

struct JsonParser::Impl {
  dom::parser parser;
};

JsonParser::JsonParser() : impl_(std::make_unique<Impl>()) {}
JsonParser::~JsonParser() = default;

std::optional<JsonView> JsonParser::parse(std::string_view text) {
  dom::element root;
  const auto error = impl_->parser.parse(text.data(), text.size()).get(root);
  if (error != simdjson::SUCCESS) {
    fault_ = simdjson::error_message(error);
    return std::nullopt;
  }
  return Access::make(root);
}

}  // namespace sigma::corpus
