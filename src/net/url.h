// Addresses on the web, taken apart and put together without trusting their text.
#pragma once

#include <string>
#include <string_view>

namespace sigma {

struct Url {
  std::string scheme;  // http or https
  std::string user;    // "name:password" before the @, as written; empty when there is none
  std::string host;    // lower case; IPv6 without brackets
  int port = 0;
  std::string target;  // path and query, starting with '/'; printable ASCII only

  std::string origin() const;  // scheme://host:port
  std::string shown() const;   // for messages: no user, no query (which may carry signatures)
};

// Error: another scheme, no host, a port out of range, spaces or control characters.
Url parse_url(std::string_view text);

// The address a Location header means, as seen from `base`.
Url resolve_url(const Url& base, std::string_view location);

// Everything but letters, digits, "-._~" and '/' as %XX.
std::string percent_encode(std::string_view path);

// The proxy the environment names for this address (http_proxy, https_proxy, all_proxy, no_proxy, as curl reads them);
// an empty host when there is none.
Url proxy_for(const Url& url);

}  // namespace sigma
