#include "net/url.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace sigma {
namespace {

TEST(Url, PartsAreTakenApart) {
  const Url url = parse_url("https://Example.org:8443/a/b%20c?x=1&y=/#part");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "example.org");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.target, "/a/b%20c?x=1&y=/");
  EXPECT_EQ(url.origin(), "https://example.org:8443");
  EXPECT_EQ(url.shown(), "https://example.org:8443/a/b%20c");
}

TEST(Url, DefaultPortsAndTargets) {
  EXPECT_EQ(parse_url("http://a").port, 80);
  EXPECT_EQ(parse_url("HTTPS://a").port, 443);
  EXPECT_EQ(parse_url("http://a").target, "/");
  EXPECT_EQ(parse_url("http://a?q").target, "/?q");
  EXPECT_EQ(parse_url("http://[::1]:81/x").host, "::1");
  EXPECT_EQ(parse_url("http://[::1]:81/x").port, 81);
  EXPECT_EQ(parse_url("http://me:secret@a/x").user, "me:secret");
  EXPECT_EQ(parse_url("http://me:secret@a/x").shown(), "http://a/x");
}

TEST(Url, WhatIsNotAnAddressIsRefused) {
  for (const char* bad :
       {"", "example.org", "ftp://a/", "http://", "http:///path", "http://a b/", "http://a/\r\nHost: b", "http://a:0/",
        "http://a:65536/", "http://a:1x/", "http://a:/", "http://[::1/", "http://[::1]x/", "http://a%41/",
        "http://a\x80/", "http://a:99999999999999999999/", "://a/", "http://a\\b/"}) {
    EXPECT_THROW(parse_url(bad), Error) << bad;
  }
}

TEST(Url, LocationsAreResolved) {
  const Url base = parse_url("https://a:8443/x/y?q=1");
  EXPECT_EQ(resolve_url(base, "http://b/z").origin(), "http://b:80");
  EXPECT_EQ(resolve_url(base, "//b/z").origin(), "https://b:443");
  EXPECT_EQ(resolve_url(base, "/z?u=http://c/").target, "/z?u=http://c/");
  EXPECT_EQ(resolve_url(base, "/z").origin(), base.origin());
  EXPECT_EQ(resolve_url(base, "z").target, "/x/z");
  EXPECT_EQ(resolve_url(base, "?r").target, "/x/y?r");
  EXPECT_THROW(resolve_url(base, "file:///etc/passwd"), Error);
  EXPECT_THROW(resolve_url(base, "/a b"), Error);
}

TEST(Url, PathsAreEncoded) {
  EXPECT_EQ(percent_encode("a/b-._~9"), "a/b-._~9");
  EXPECT_EQ(percent_encode("a b?#%\xc3\xa9"), "a%20b%3F%23%25%C3%A9");
}

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

TEST(Proxy, ComesFromTheEnvironment) {
  for (const char* name :
       {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}) {
    ::unsetenv(name);
  }
  const Url plain = parse_url("http://hub.example.org/");
  const Url secure = parse_url("https://hub.example.org/");
  EXPECT_EQ(proxy_for(plain).host, "");
  const Environment for_secure("HTTPS_PROXY", "http://me:secret@proxy.example.org:3128");
  EXPECT_EQ(proxy_for(plain).host, "");
  EXPECT_EQ(proxy_for(secure).host, "proxy.example.org");
  EXPECT_EQ(proxy_for(secure).port, 3128);
  EXPECT_EQ(proxy_for(secure).user, "me:secret");
  const Environment for_plain("http_proxy", "other:8080");
  EXPECT_EQ(proxy_for(plain).host, "other");
  {
    const Environment none("no_proxy", "a.org, .example.org");
    EXPECT_EQ(proxy_for(secure).host, "");
  }
  {
    const Environment others("no_proxy", "ample.org,org.hub");
    EXPECT_EQ(proxy_for(secure).host, "proxy.example.org");
  }
  const Environment star("no_proxy", "*");
  EXPECT_EQ(proxy_for(plain).host, "");
}

}  // namespace
}  // namespace sigma
