// The one HTTP and TLS client: GET with redirects, retries and resumption. Certificates are checked against the
// system's (or SSL_CERT_FILE's); proxies come from the environment (https_proxy, http_proxy, all_proxy, no_proxy).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sigma {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string url;                          // http:// or https://
  HttpHeaders headers;                      // Authorization is not sent on to another origin
  uint64_t offset = 0;                      // the first byte wanted
  std::optional<uint64_t> size;             // what the whole resource must measure, when it is known
  uint64_t limit = uint64_t{64} << 20;      // a larger resource is refused, when its size is not known
  int attempts = 4;                         // how often in a row it may fail before it is given up
  std::chrono::milliseconds back_off{500};  // before the second attempt; twice as long before each that follows
  std::chrono::seconds silence{30};         // an attempt has failed after so long without a byte
};

// An answer other than success.
class HttpStatusError : public Error {
 public:
  HttpStatusError(const std::string& where, int64_t status, const std::string& message);
  int64_t status() const { return status_; }

 private:
  int64_t status_;
};

// Passes the resource's bytes from request.offset on to `sink`, each once and in order, whatever was redirected, cut or
// begun again on the way. Connections lost and the answers 408, 429 and 5xx are tried again. Error: host not found, no
// connection, TLS failure, wrong size; HttpStatusError: any other answer than success; and what sink throws.
void http_get(const HttpRequest& request, const std::function<void(std::string_view)>& sink);

// The whole body.
std::string http_get(const HttpRequest& request);

// Everything but letters, digits, "-._~" and '/' as %XX.
std::string percent_encode(std::string_view path);

}  // namespace sigma
