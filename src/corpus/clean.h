// Text as it came out of its source made into text worth reading: one form of characters and white space, no lines of
// site furniture, no personal data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sigma::corpus {

// Characters in form C without control and invisible ones, hyphens of terminals as "-", lines without white space at
// their ends, at most one blank line in a row, no lines that are navigation ("Edit on GitHub", "Prev | Up | Next"), no
// line more than twice in a row. Counts the lines it dropped.
struct Cleaned {
  uint64_t boilerplate_lines = 0, repeated_lines = 0;
};
Cleaned clean_text(std::string& text);

// Personal data and secrets replaced by stand-ins: e-mail addresses by user@example.com (those of example domains, and
// user@host without a dot, stay), public IPv4 addresses by ones of the documentation range 192.0.2.0/24 (the same for
// the same; version numbers stay), keys and tokens by REDACTED.
struct Masked {
  uint64_t emails = 0, addresses = 0, secrets = 0;
};
Masked mask_personal(std::string& text);

}  // namespace sigma::corpus
