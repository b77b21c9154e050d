// The one place that reads TOML: configuration files written by people. Every key that is asked for becomes known; what
// is left over is a mistake, refused with its line and the nearest known key.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sigma {

class TomlTable {
 public:
  // Error for anything but TOML, with the file's line.
  static TomlTable read(const std::string& path);
  static TomlTable parse(std::string_view text, const std::string& where);

  ~TomlTable();
  TomlTable(TomlTable&&) noexcept;
  TomlTable& operator=(TomlTable&&) noexcept;

  bool has(const std::string& key);  // makes the key known, as all of these do
  // The value of a key, `fallback` when it is absent; Error when it has another type or is out of bounds.
  std::string text(const std::string& key, const std::string& fallback);
  std::string required_text(const std::string& key);
  bool boolean(const std::string& key, bool fallback);  // NOLINT: named by its type
  int64_t integer(const std::string& key, int64_t fallback, int64_t least, int64_t most);
  double number(const std::string& key, double fallback, double least, double most);
  std::vector<std::string> texts(const std::string& key);  // an array of texts, or one text; absent: empty
  std::string word(const std::string& key, const std::string& fallback, const std::vector<std::string>& allowed);
  TomlTable table(const std::string& key);                // absent: an empty table
  std::vector<TomlTable> tables(const std::string& key);  // [[key]], in order
  // An array of tables and texts, or one text; a text stands for a table that has nothing but this `name`.
  std::vector<TomlTable> records(const std::string& key, const std::string& name);
  std::vector<std::string> keys();  // all of them, in order of the alphabet

  // Error that names the first key nobody asked for.
  void finish() const;
  // "file:line" of a key, or of the table when it is absent.
  std::string where(const std::string& key) const;

 private:
  struct Impl;
  explicit TomlTable(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The one of `known` that takes the fewest changed, left out, added or swapped letters to become `word`; empty when
// none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace sigma
