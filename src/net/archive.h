// Takes single files out of downloaded archives.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sigma {

// Passes the bytes of the zip archive's member to `sink`, in order. Error: not a zip archive, no such member, another
// size than `size`, damaged (its CRC-32 is checked).
void extract_member(const std::string& archive, const std::string& member, uint64_t size,
                    const std::function<void(std::string_view)>& sink);

}  // namespace sigma
