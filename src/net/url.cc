#include "net/url.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"

namespace sigma {

namespace {

constexpr std::string_view kExpected = "an address like https://host/path";

bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

[[noreturn]] void refuse(std::string_view text) {
  throw Error("address", std::string(kExpected), "'" + printable(text) + "'");
}

int default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

bool host_valid(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return alphanumeric(c) || c == '.' || c == '-' || c == '_'; });
}

bool ipv6_valid(std::string_view host) {
  if (host.empty() || host.size() > 45) return false;
  return std::all_of(host.begin(), host.end(), [](char c) { return alphanumeric(c) || c == '.' || c == ':'; });
}

// "host", "host:port", "[v6]:port" into host and port; false when it is none of them.
bool parse_authority(std::string_view authority, Url& url) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return false;
    url.host = lower(authority.substr(1, close - 1));
    if (!ipv6_valid(url.host)) return false;
    port = authority.substr(close + 1);
  } else {
    const size_t colon = authority.find(':');
    url.host = lower(authority.substr(0, colon));
    if (!host_valid(url.host)) return false;
    if (colon != std::string_view::npos) port = authority.substr(colon);
  }
  url.port = default_port(url.scheme);
  if (port.empty()) return true;
  if (port[0] != ':') return false;
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  return error == std::errc() && end == port.data() + port.size() && url.port >= 1 && url.port <= 65535;
}

// An environment variable by its lower-case name, else by its upper-case one.
std::string environment(std::string name) {
  if (const char* value = std::getenv(name.c_str()); value != nullptr) return value;
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : "";
}

// Whether a comma-separated no_proxy list names the host: itself, a domain above it, or "*".
bool excepted(std::string_view list, std::string_view host) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string entry = lower(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    std::erase(entry, ' ');
    if (entry.starts_with('.')) entry.erase(0, 1);
    if (entry.empty()) continue;
    if (entry == "*" || entry == host || host.ends_with("." + entry)) return true;
  }
  return false;
}

}  // namespace

std::string Url::origin() const {
  return fmt::format("{}://{}:{}", scheme, host.find(':') != std::string::npos ? "[" + host + "]" : host, port);
}

std::string Url::shown() const {
  const std::string place = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  const std::string number = port == default_port(scheme) ? "" : fmt::format(":{}", port);
  return fmt::format("{}://{}{}{}", scheme, place, number, target.substr(0, target.find('?')));
}

Url parse_url(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) refuse(text);
  }
  Url url;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) refuse(text);
  url.scheme = lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") refuse(text);
  const std::string_view rest = text.substr(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.user = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  if (!parse_authority(authority, url)) refuse(text);
  const std::string_view target = rest.substr(end);
  url.target = target.substr(0, target.find('#'));
  if (!url.target.starts_with('/')) url.target.insert(0, 1, '/');
  return url;
}

Url resolve_url(const Url& base, std::string_view location) {
  if (location.starts_with("//")) return parse_url(base.scheme + ":" + std::string(location));
  const size_t scheme_end = location.find("://");
  if (scheme_end != std::string_view::npos && scheme_end < location.find_first_of("/?#")) return parse_url(location);
  if (location.starts_with('/')) return parse_url(base.origin() + std::string(location));
  const std::string path = base.target.substr(0, base.target.find('?'));
  const std::string folder = location.starts_with('?') ? path : path.substr(0, path.rfind('/') + 1);
  return parse_url(base.origin() + folder + std::string(location));
}

std::string percent_encode(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~' || c == '/') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Url proxy_for(const Url& url) {
  if (excepted(environment("no_proxy"), url.host)) return {};
  // HTTP_PROXY in capitals can be set by a request in a CGI program, so only http_proxy counts, as in curl.
  const char* plain = std::getenv("http_proxy");
  std::string proxy = url.scheme == "https" ? environment("https_proxy") : (plain != nullptr ? plain : "");
  if (proxy.empty()) proxy = environment("all_proxy");
  if (proxy.empty()) return {};
  if (proxy.find("://") == std::string::npos) proxy = fmt::format("http://{}", proxy);
  Url parsed = parse_url(proxy);
  if (parsed.scheme != "http")
    throw Error("proxy from the environment", "an http:// proxy", "'" + parsed.shown() + "'");
  return parsed;
}

}  // namespace sigma
