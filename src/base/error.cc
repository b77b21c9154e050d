#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace sigma {

Error::Error(std::string where, std::string expected, std::string found)
    : std::runtime_error(fmt::format("[{}] expected {}, found {}", where, expected, found)),
      where_(std::move(where)),
      expected_(std::move(expected)),
      found_(std::move(found)) {}

void check_failed(const char* file, int line, const char* expression, const std::string& values) {
  std::fprintf(stderr, "%s:%d: check failed: %s%s%s\n", file, line, expression, values.empty() ? "" : ": ",
               values.c_str());
  std::abort();
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (out.size() >= limit) return out + "...";
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7f) {
      out += text[i];
    } else {
      out += fmt::format("\\x{:02x}", c);
    }
  }
  return out;
}

}  // namespace sigma
