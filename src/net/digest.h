// Checksums.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sigma {

class Digest {
 public:
  enum class Kind : uint8_t { sha1, sha256 };
  explicit Digest(Kind kind);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  void update(std::string_view bytes);
  std::string hex();  // lower case; once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a file, in lower case, in bounded memory.  Error: it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace sigma
