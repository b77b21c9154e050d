#include "corpus/document.h"

#include <algorithm>
#include <array>

namespace sigma::corpus {

bool is_category(std::string_view name) {
  return std::find(std::begin(kCategories), std::end(kCategories), name) != std::end(kCategories);
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;  // start of what needs no escape
  static constexpr std::array<bool, 256> kEscaped = [] {
    std::array<bool, 256> table{};
    for (size_t c = 0; c < 0x20; ++c) table[c] = true;
    table['"'] = table['\\'] = true;
    return table;
  }();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!kEscaped[c]) continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    out += '\\';
    switch (c) {
      case '\n':
        out += 'n';
        break;
      case '\t':
        out += 't';
        break;
      case '\r':
        out += 'r';
        break;
      case '"':
      case '\\':
        out += static_cast<char>(c);
        break;
      default:
        out.append("u00").append(1, kHex[c >> 4]).append(1, kHex[c & 15]);
    }
  }
  out.append(text, plain);
  out += '"';
}

void append_json_line(std::string& out, const Document& d) {
  const std::array<std::pair<const char*, const std::string*>, 7> fields = {{{"{\"id\":", &d.id},
                                                                             {",\"source\":", &d.source},
                                                                             {",\"category\":", &d.category},
                                                                             {",\"licence\":", &d.licence},
                                                                             {",\"url\":", &d.url},
                                                                             {",\"title\":", &d.title},
                                                                             {",\"text\":", &d.text}}};
  for (const auto& [key, value] : fields) {
    out += key;
    append_json_string(out, *value);
  }
  out += ",\"metadata\":{";
  for (size_t i = 0; i < d.metadata.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, d.metadata[i].first);
    out += ':';
    append_json_string(out, d.metadata[i].second);
  }
  out += "}}";
}

}  // namespace sigma::corpus
