#include "net/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file.h"

namespace sigma {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { SIGMA_CHECK(context != nullptr); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Digest::Digest(Kind kind) : state_(std::make_unique<State>()) {
  SIGMA_CHECK(EVP_DigestInit_ex(state_->context, kind == Kind::sha1 ? EVP_sha1() : EVP_sha256(), nullptr) == 1);
}

Digest::~Digest() = default;

void Digest::update(std::string_view bytes) {
  SIGMA_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Digest::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  SIGMA_CHECK(EVP_DigestFinal_ex(state_->context, bytes.data(), &size) == 1);
  std::string out;
  for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

std::string sha256_of_file(const std::string& path) {
  constexpr size_t kPiece = size_t{16} << 20;
  const MappedFile file(path);
  Digest digest(Digest::Kind::sha256);
  for (size_t at = 0; at < file.bytes().size(); at += kPiece) {
    const size_t size = std::min(kPiece, file.bytes().size() - at);
    digest.update(file.text().substr(at, size));
    file.release(file.bytes().subspan(at, size));
  }
  return digest.hex();
}

}  // namespace sigma
