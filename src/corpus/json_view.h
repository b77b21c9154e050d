// The one place that includes the fast JSON parser: read-only views of parsed text, for dumps of many gigabytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sigma::corpus {

// A value of the text a JsonParser parsed last; valid until it parses the next. Looking at a value as something it is
// not gives the empty answer: what dumps hold is never certain.
class JsonView {
 public:
  std::optional<JsonView> find(std::string_view key) const;  // a member of an object
  std::string_view text(std::string_view key) const;         // "" unless it is a text
  std::optional<int64_t> integer(std::string_view key) const;
  std::string_view as_text() const;
  std::optional<int64_t> as_integer() const;
  bool is_object() const;
  void elements(const std::function<void(JsonView)>& f) const;                       // of an array
  void members(const std::function<void(std::string_view key, JsonView)>& f) const;  // of an object

 private:
  friend class JsonParser;
  friend struct JsonViewAccess;
  alignas(8) std::byte raw_[16] = {};
};

class JsonParser {
 public:
  JsonParser();
  ~JsonParser();
  JsonParser(const JsonParser&) = delete;
  JsonParser& operator=(const JsonParser&) = delete;
  // nullopt when the text is not JSON (or nested deeper than 1024); `fault` says why.
  std::optional<JsonView> parse(std::string_view text);
  const std::string& fault() const { return fault_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string fault_;
};

}  // namespace sigma::corpus
