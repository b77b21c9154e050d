#include "base/toml.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"

// The library's parser asserts what some texts break ("[%]"), and in a release build takes it for impossible. Here it
// is a fault of the text like any other.
namespace {
struct TomlFault {};
[[noreturn]] void toml_fault() { throw TomlFault(); }
}  // namespace
#undef NDEBUG
#define TOML_ASSERT(condition) (static_cast<bool>(condition) ? static_cast<void>(0) : ::toml_fault())
#include <toml++/toml.h>

namespace sigma {

struct TomlTable::Impl {
  std::shared_ptr<const toml::table> root;  // keeps `table` alive
  const toml::table* table = nullptr;
  std::string file;
  std::set<std::string> known;

  const toml::node* find(const std::string& key) {
    known.insert(key);
    return table->get(key);
  }
};

TomlTable::TomlTable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TomlTable::~TomlTable() = default;
TomlTable::TomlTable(TomlTable&&) noexcept = default;
TomlTable& TomlTable::operator=(TomlTable&&) noexcept = default;

namespace {

std::string type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

// Whether a string may begin behind this character: not in the middle of a number or a bare key, of which the library's
// parser reads on in its own way.
bool may_precede_string(char c) { return std::string_view(" \t\r\n=,[{").find(c) != std::string_view::npos; }

// Where a text has what TOML allows nowhere: control characters, and bytes beyond ASCII that are in no string and no
// comment, which the library's parser has no defined answer to. The text's size if nowhere.
size_t forbidden_at(std::string_view text) {
  std::string_view quote;  // that ends the string we are in
  bool comment = false;
  const size_t start = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  for (size_t i = start; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 32 && c != '\t' && c != '\n' && c != '\r') || c == 127) return i;
    if (c == '\n') {
      comment = false;
      if (quote.size() == 1) quote = {};
    } else if (comment) {
      continue;
    } else if (!quote.empty()) {
      const char next = i + 1 < text.size() ? text[i + 1] : '\0';
      if (c == '\\' && quote[0] == '"' && (next == '\\' || next == '"')) {
        ++i;
      } else if (text.substr(i).starts_with(quote)) {
        i += quote.size() - 1;
        for (int more = 0; quote.size() == 3 && more < 2 && i + 1 < text.size() && text[i + 1] == quote[0]; ++more) ++i;
        quote = {};
      }
    } else if (c == '"' || c == '\'') {
      if (i > start && !may_precede_string(text[i - 1])) return i;
      const std::string_view three = text.substr(i, 3);
      quote = three == "\"\"\"" || three == "'''" ? three : text.substr(i, 1);
      i += quote.size() - 1;
    } else if (c == '#') {
      comment = true;
    } else if (c >= 0x80) {
      return i;
    }
  }
  return text.size();
}

}  // namespace

TomlTable TomlTable::parse(std::string_view text, const std::string& where) {
  if (const size_t at = forbidden_at(text); at < text.size())
    throw Error(
        fmt::format("{}:{}", where, 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n')),
        "valid TOML",
        text[at] == '"' || text[at] == '\'' ? "a quote in the middle of a word"
                                            : fmt::format("the byte {}", static_cast<unsigned char>(text[at])));
  try {
    auto impl = std::make_unique<Impl>();
    impl->root = std::make_shared<const toml::table>(toml::parse(text, std::string_view(where)));
    impl->table = impl->root.get();
    impl->file = where;
    return TomlTable(std::move(impl));
  } catch (const TomlFault&) {
    throw Error(where, "valid TOML", "a fault in the name of a key or table");
  } catch (const toml::parse_error& e) {
    throw Error(fmt::format("{}:{}", where, e.source().begin.line), "valid TOML", printable(e.description(), 200));
  }
}

TomlTable TomlTable::read(const std::string& path) { return parse(read_file(path), path); }

std::string TomlTable::where(const std::string& key) const {
  const toml::node* node = impl_->table->get(key);
  const auto line = (node != nullptr ? node : impl_->table)->source().begin.line;
  return line == 0 ? impl_->file : fmt::format("{}:{}", impl_->file, line);
}

bool TomlTable::has(const std::string& key) { return impl_->find(key) != nullptr; }

std::string TomlTable::text(const std::string& key, const std::string& fallback) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  if (!node->is_string()) throw Error(where(key), "a text for " + key, type_name(*node));
  return node->as_string()->get();
}

std::string TomlTable::required_text(const std::string& key) {
  if (impl_->find(key) == nullptr) throw Error(where(key), "the key " + key, "none");
  return text(key, "");
}

bool TomlTable::boolean(const std::string& key, bool fallback) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  if (!node->is_boolean()) throw Error(where(key), "true or false for " + key, type_name(*node));
  return node->as_boolean()->get();
}

int64_t TomlTable::integer(const std::string& key, int64_t fallback, int64_t least, int64_t most) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  if (!node->is_integer()) throw Error(where(key), "a whole number for " + key, type_name(*node));
  const int64_t value = node->as_integer()->get();
  if (value < least || value > most)
    throw Error(where(key), fmt::format("{} from {} to {}", key, least, most), fmt::format("{}", value));
  return value;
}

double TomlTable::number(const std::string& key, double fallback, double least, double most) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  if (!node->is_number()) throw Error(where(key), "a number for " + key, type_name(*node));
  const double value = node->value<double>().value();
  if (!(value >= least && value <= most))
    throw Error(where(key), fmt::format("{} from {} to {}", key, least, most), fmt::format("{}", value));
  return value;
}

std::vector<std::string> TomlTable::texts(const std::string& key) {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return {};
  if (node->is_string()) return {node->as_string()->get()};
  if (!node->is_array()) throw Error(where(key), "an array of texts for " + key, type_name(*node));
  std::vector<std::string> out;
  for (const toml::node& element : *node->as_array()) {
    if (!element.is_string()) throw Error(where(key), "an array of texts for " + key, type_name(element) + " in it");
    out.push_back(element.as_string()->get());
  }
  return out;
}

std::string TomlTable::word(const std::string& key, const std::string& fallback,
                            const std::vector<std::string>& allowed) {
  std::string value = text(key, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  throw Error(where(key), fmt::format("{} to be one of {}", key, fmt::join(allowed, ", ")), printable(value));
}

TomlTable TomlTable::table(const std::string& key) {
  static const auto empty = std::make_shared<const toml::table>();
  const toml::node* node = impl_->find(key);
  if (node != nullptr && !node->is_table()) throw Error(where(key), "a table [" + key + "]", type_name(*node));
  auto impl = std::make_unique<Impl>();
  impl->root = node == nullptr ? empty : impl_->root;
  impl->table = node == nullptr ? empty.get() : node->as_table();
  impl->file = impl_->file;
  return TomlTable(std::move(impl));
}

std::vector<TomlTable> TomlTable::tables(const std::string& key) {
  const toml::node* node = impl_->find(key);
  std::vector<TomlTable> out;
  if (node == nullptr) return out;
  if (!node->is_array_of_tables()) throw Error(where(key), "tables [[" + key + "]]", type_name(*node));
  for (const toml::node& element : *node->as_array()) {
    auto impl = std::make_unique<Impl>();
    impl->root = impl_->root;
    impl->table = element.as_table();
    impl->file = impl_->file;
    out.push_back(TomlTable(std::move(impl)));
  }
  return out;
}

std::vector<TomlTable> TomlTable::records(const std::string& key, const std::string& name) {
  const toml::node* node = impl_->find(key);
  std::vector<TomlTable> out;
  const auto add = [&](const toml::node& element) {
    if (!element.is_table() && !element.is_string())
      throw Error(where(key), "texts and tables for " + key, type_name(element));
    auto impl = std::make_unique<Impl>();
    impl->file = impl_->file;
    if (element.is_table()) {
      impl->root = impl_->root;
      impl->table = element.as_table();
    } else {
      impl->root = std::make_shared<const toml::table>(toml::table{{name, element.as_string()->get()}});
      impl->table = impl->root.get();
    }
    out.push_back(TomlTable(std::move(impl)));
  };
  if (node == nullptr) return out;
  if (!node->is_array()) {
    add(*node);
    return out;
  }
  for (const toml::node& element : *node->as_array()) add(element);
  return out;
}

std::vector<std::string> TomlTable::keys() {
  std::vector<std::string> out;
  for (const auto& [key, value] : *impl_->table) out.emplace_back(key.str());
  impl_->known.insert(out.begin(), out.end());
  return out;
}

void TomlTable::finish() const {
  const toml::key* first = nullptr;
  for (const auto& [key, value] : *impl_->table) {
    if (impl_->known.contains(std::string(key.str()))) continue;
    if (first == nullptr || key.source().begin < first->source().begin) first = &key;
  }
  if (first == nullptr) return;
  const std::vector<std::string> known(impl_->known.begin(), impl_->known.end());
  const std::string near = nearest_word(first->str(), known);
  throw Error(fmt::format("{}:{}", impl_->file, first->source().begin.line),
              near.empty() ? fmt::format("one of the keys {}", fmt::join(known, ", "))
                           : fmt::format("a known key such as {}", near),
              printable(first->str()));
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_changes = std::max<size_t>(1, word.size() / 3) + 1;
  std::vector<size_t> row, above, above_that;
  for (const std::string& candidate : known) {
    above.resize(candidate.size() + 1);
    for (size_t j = 0; j < above.size(); ++j) above[j] = j;
    for (size_t i = 0; i < word.size(); ++i) {
      row.assign(1, i + 1);
      for (size_t j = 0; j < candidate.size(); ++j) {
        row.push_back(std::min({above[j + 1] + 1, row[j] + 1, above[j] + (word[i] != candidate[j] ? 1 : 0)}));
        if (i > 0 && j > 0 && word[i] == candidate[j - 1] && word[i - 1] == candidate[j])
          row.back() = std::min(row.back(), above_that[j - 1] + 1);
      }
      above_that.swap(above);
      above.swap(row);
    }
    if (above.back() < best_changes) {
      best_changes = above.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace sigma
