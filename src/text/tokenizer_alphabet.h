// The printable alphabet in which byte-level BPE files spell bytes: one character per byte, 0x20 being U+0120, so that
// tokens are text without spaces.
#pragma once

#include <string>
#include <string_view>

namespace sigma {

// False when `printable` has a character outside the alphabet; `bytes` is undefined then.
bool bytes_of_alphabet(std::string_view printable, std::string& bytes);
std::string alphabet_of_bytes(std::string_view bytes);

}  // namespace sigma
