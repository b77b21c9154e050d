#include "net/http.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "support/web_server.h"

namespace sigma {
namespace {

using namespace std::chrono_literals;

HttpRequest to(const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.back_off = 1ms;
  return request;
}

std::string bytes(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * i % 23);
  return text;
}

std::string failure_of(const HttpRequest& request) {
  try {
    http_get(request);
  } catch (const Error& e) {
    return e.what();
  }
  return "no failure";
}

class Http : public testing::Test {
 protected:
  void SetUp() override { ::setenv("no_proxy", "*", 1); }
};

TEST_F(Http, BodyQueryAndHeadersArrive) {
  WebServer server([](const auto& request, auto& response) {
    response.set_content(request.path + "|" + request.get_param_value("q") + "|" + request.get_header_value("X-Key"),
                         "text/plain");
  });
  HttpRequest request = to(server.url("/a/b?q=1"));
  request.headers = {{"X-Key", "v"}};
  EXPECT_EQ(http_get(request), "/a/b|1|v");
  request.headers = {{"X-Key", "v\r\nX-Other: w"}};
  EXPECT_THROW(http_get(request), Error);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Http, RedirectsAreFollowedAndTheTokenStaysAtHome) {
  WebServer away([](const auto& request, auto& response) {
    response.set_content("away:" + request.get_header_value("Authorization") + request.get_header_value("X-Key"),
                         "text/plain");
  });
  WebServer home([&](const auto& request, auto& response) {
    if (request.path == "/near") return response.set_redirect("/here?x=%2F");
    if (request.path == "/far") return response.set_redirect(away.url("/there"));
    if (request.path == "/loop") return response.set_redirect("/loop");
    if (request.path == "/file") return response.set_redirect("file:///etc/passwd");
    response.set_content("home:" + request.get_header_value("Authorization"), "text/plain");
  });
  HttpRequest request = to(home.url("/near"));
  request.headers = {{"authorization", "Bearer t"}, {"X-Key", "v"}};
  EXPECT_EQ(http_get(request), "home:Bearer t");
  request.url = home.url("/far");
  EXPECT_EQ(http_get(request), "away:v");
  request.url = home.url("/loop");
  EXPECT_NE(failure_of(request).find("redirects"), std::string::npos);
  request.url = home.url("/file");
  EXPECT_THROW(http_get(request), Error);
}

TEST_F(Http, CutBodiesGoOnWhereTheyStopped) {
  const std::string content = bytes(300000);
  std::atomic<int> calls = 0;
  WebServer server([&](const auto&, auto& response) {
    const int call = calls++;
    if (call < 2) return set_cut_content(response, content, call == 0 ? 100000 : 250000);
    response.set_content(content, "application/octet-stream");
  });
  HttpRequest request = to(server.url("/f"));
  request.size = content.size();
  EXPECT_EQ(http_get(request), content);
  ASSERT_EQ(server.requests().size(), 3U);
  EXPECT_EQ(server.requests()[0].get_header_value("Range"), "");
  EXPECT_NE(server.requests()[1].get_header_value("Range"), "");
}

TEST_F(Http, OffsetsAskForTheRest) {
  const std::string content = bytes(1000);
  WebServer server([&](const auto&, auto& response) { response.set_content(content, "application/octet-stream"); });
  HttpRequest request = to(server.url("/f"));
  request.offset = 900;
  request.size = content.size();
  EXPECT_EQ(http_get(request), content.substr(900));
  EXPECT_EQ(server.requests()[0].get_header_value("Range"), "bytes=900-");
}

TEST_F(Http, ServersWithoutRangesAreReadAgainFromTheStart) {
  const std::string content = bytes(1000);
  WebServer server([&](const auto& request, auto& response) {
    const_cast<httplib::Request&>(request).ranges.clear();
    response.set_content(content, "application/octet-stream");
  });
  HttpRequest request = to(server.url("/f"));
  request.offset = 900;
  EXPECT_EQ(http_get(request), content.substr(900));
}

TEST_F(Http, AnotherRangeThanAskedIsRefused) {
  WebServer server([&](const auto& request, auto& response) {
    const_cast<httplib::Request&>(request).ranges.clear();
    response.status = 206;
    response.set_header("Content-Range", "bytes 0-99/1000");
    response.set_content(bytes(100), "application/octet-stream");
  });
  HttpRequest request = to(server.url("/f"));
  request.offset = 900;
  EXPECT_NE(failure_of(request).find("the bytes from 900 on"), std::string::npos);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Http, SizesAreChecked) {
  WebServer server([&](const auto& request, auto& response) {
    if (request.path == "/announced") return response.set_content(bytes(1000), "application/octet-stream");
    response.set_chunked_content_provider("application/octet-stream", [](size_t, httplib::DataSink& sink) {
      const std::string all = bytes(1000);
      sink.write(all.data(), all.size());
      sink.done();
      return true;
    });
  });
  for (const char* path : {"/announced", "/chunked"}) {
    HttpRequest request = to(server.url(path));
    EXPECT_EQ(http_get(request).size(), 1000U);
    request.limit = 1000;
    EXPECT_EQ(http_get(request).size(), 1000U);
    request.limit = 999;
    EXPECT_NE(failure_of(request).find("at most 999 bytes"), std::string::npos) << path;
    request.size = 1001;
    EXPECT_NE(failure_of(request), "no failure") << path;
    request.size = 999;
    EXPECT_NE(failure_of(request), "no failure") << path;
  }
}

TEST_F(Http, PassingTroubleIsTriedAgain) {
  std::atomic<int> calls = 0;
  WebServer server([&](const auto& request, auto& response) {
    if (request.path == "/down") {
      response.status = 500;
    } else if (request.path == "/gone") {
      response.status = 404;
      response.set_header("X-Error-Message", "no such thing");
    } else if (calls++ < 2) {
      response.status = 503;
      response.set_header("Retry-After", "0");
    } else {
      response.set_content("at last", "text/plain");
    }
  });
  EXPECT_EQ(http_get(to(server.url("/busy"))), "at last");
  EXPECT_EQ(server.requests().size(), 3U);
  EXPECT_NE(failure_of(to(server.url("/down"))).find("the status 500"), std::string::npos);
  EXPECT_EQ(server.requests().size(), 7U);
  EXPECT_NE(failure_of(to(server.url("/gone"))).find("the status 404: no such thing"), std::string::npos);
  EXPECT_EQ(server.requests().size(), 8U);
}

TEST_F(Http, LocationsAreTakenAsTheyAre) {
  WebServer server([](const auto& request, auto& response) {
    if (request.path == "/from") return response.set_redirect("/to%20?signature=%2F%2B%20");
    response.set_content(request.target, "text/plain");
  });
  EXPECT_EQ(http_get(to(server.url("/from"))), "/to%20?signature=%2F%2B%20");
}

TEST_F(Http, MessagesHideSecrets) {
  const std::string message = failure_of(to("http://me:secret@127.0.0.1:1/path?signature=x"));
  EXPECT_EQ(message.find("[http://127.0.0.1:1/path] expected an answer"), 0U) << message;
  EXPECT_EQ(message.find("secret"), std::string::npos);
  for (const char* bad : {"", "127.0.0.1:1", "ftp://127.0.0.1:1/", "file:///etc/passwd", "http://", "http://a b/",
                          "http://127.0.0.1:99999/", "http://127.0.0.1:1/\r\nHost: b"}) {
    EXPECT_NE(failure_of(to(bad)), "no failure") << bad;
  }
}

TEST_F(Http, PathsAreEncoded) {
  EXPECT_EQ(percent_encode("a/b-._~9"), "a/b-._~9");
  EXPECT_EQ(percent_encode("a b?#%\xc3\xa9"), "a%20b%3F%23%25%C3%A9");
}

TEST_F(Http, SilentServersAreLeft) {
  WebServer server([](const auto&, auto&) { std::this_thread::sleep_for(1500ms); });
  HttpRequest request = to(server.url("/"));
  request.silence = 1s;
  request.attempts = 1;
  EXPECT_NE(failure_of(request).find("too slow"), std::string::npos);
}

TEST_F(Http, MissingHostsAndPortsAreNamed) {
  HttpRequest request = to("http://no-such-host.invalid/x");
  EXPECT_NE(failure_of(request).find("Could not resolve host: no-such-host.invalid"), std::string::npos);
  int port = 0;
  {
    WebServer server([](const auto&, auto&) {});
    port = server.port();
  }
  EXPECT_NE(failure_of(to("http://127.0.0.1:" + std::to_string(port) + "/")).find("Failed to connect to 127.0.0.1"),
            std::string::npos);
}

TEST_F(Http, WhatTheSinkThrowsComesThrough) {
  WebServer server([](const auto&, auto& response) { response.set_content("x", "text/plain"); });
  EXPECT_THROW(http_get(to(server.url("/")), [](std::string_view) { throw Error("disk", "room", "none"); }), Error);
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(Http, ProxiesAreAskedInsteadOfTheHost) {
  WebServer proxy([](const auto& request, auto& response) {
    response.set_content(request.target + "|" + request.get_header_value("Proxy-Authorization"), "text/plain");
  });
  ::unsetenv("no_proxy");
  ::setenv("http_proxy", ("http://me:secret@127.0.0.1:" + std::to_string(proxy.port())).c_str(), 1);
  const std::string body = http_get(to("http://no-such-host.invalid/x"));
  ::unsetenv("http_proxy");
  EXPECT_EQ(body.find("http://no-such-host.invalid"), 0U) << body;
  EXPECT_NE(body.find("|Basic bWU6c2VjcmV0"), std::string::npos) << body;
}

// A key and a certificate for 127.0.0.1, signed by itself.
struct Identity {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  Identity() {
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(certificate, key, EVP_sha256());
  }
  ~Identity() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
};

TEST_F(Http, CertificatesAreChecked) {
  const Identity identity;
  WebServer server(
      [](const auto& request, auto& response) {
        if (request.path == "/down") return response.set_redirect("http://127.0.0.1:1/");
        response.set_content("secret", "text/plain");
      },
      std::make_unique<httplib::SSLServer>(identity.certificate, identity.key));
  const std::string url = "https://127.0.0.1:" + std::to_string(server.port());
  EXPECT_NE(failure_of(to(url + "/")).find("certificate"), std::string::npos);
  EXPECT_EQ(server.requests().size(), 0U);

  const std::string path = testing::TempDir() + "sigma_http_test.pem";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  PEM_write_X509(file, identity.certificate);
  std::fclose(file);
  ::setenv("SSL_CERT_FILE", path.c_str(), 1);
  EXPECT_EQ(http_get(to(url + "/")), "secret");
  EXPECT_NE(failure_of(to(url + "/down")).find("\"http\" not supported"), std::string::npos);
  ::unsetenv("SSL_CERT_FILE");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sigma
