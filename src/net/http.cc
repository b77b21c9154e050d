#include "net/http.h"

#include <httplib.h>
#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <exception>
#include <memory>
#include <thread>

#include "net/url.h"

namespace sigma {

namespace {

constexpr int kMaxRedirects = 10;
constexpr uint64_t kProgress = uint64_t{1} << 20;  // an attempt that gained this much does not count as a failure
constexpr std::chrono::seconds kConnectTimeout{10};
constexpr std::chrono::seconds kLongestWait{30};

// Writing to a connection that the other side closed raises SIGPIPE, which would end the program: held back in this
// thread while a request is under way, and dropped.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_;
};

// How one attempt ended.
struct Outcome {
  int status = 0;                 // 0: no answer
  std::string location, message;  // headers Location and X-Error-Message
  std::chrono::seconds wait{0};   // header Retry-After
  std::string failure;            // why there was no answer, or not all of it; empty when all went well
  bool transient = false;         // whether trying again may help
};

// The body on its way: what came, what is expected.
struct Transfer {
  const HttpRequest& request;
  const std::function<void(std::string_view)>& sink;
  std::string where;
  uint64_t received;                // bytes of the resource that sink has, request.offset included
  uint64_t skip = 0;                // bytes of this answer that sink has already
  std::optional<uint64_t> total{};  // size of the resource, once known
};

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes 5-9/10": the answer must begin where it was asked to, or the file would be put together wrongly.
void check_range(Transfer& transfer, const std::string& range) {
  const size_t dash = range.find('-');
  const size_t slash = range.find('/');
  if (range.starts_with("bytes ") && dash != std::string::npos && slash != std::string::npos) {
    const std::optional<uint64_t> first = parse_number(std::string_view(range).substr(6, dash - 6));
    transfer.total = parse_number(std::string_view(range).substr(slash + 1));
    if (first == transfer.received) return;
  }
  throw Error(transfer.where, fmt::format("the bytes from {} on", transfer.received),
              "Content-Range '" + printable(range) + "'");
}

void check_size(const Transfer& transfer, uint64_t bytes) {
  const HttpRequest& request = transfer.request;
  if (request.size) {
    if (bytes != *request.size) {
      throw Error(transfer.where, fmt::format("{} bytes", *request.size), fmt::format("{} bytes", bytes));
    }
  } else if (bytes > request.limit) {
    throw Error(transfer.where, fmt::format("at most {} bytes", request.limit), fmt::format("{} bytes", bytes));
  }
}

// Looks at the headers of a 200 or 206.
void begin_body(Transfer& transfer, const httplib::Response& response) {
  transfer.total.reset();
  transfer.skip = 0;
  if (response.status == 206) {
    check_range(transfer, response.get_header_value("Content-Range"));
  } else {
    transfer.skip = transfer.received;  // the server sends all of it again
    transfer.total = parse_number(response.get_header_value("Content-Length"));
  }
  if (transfer.total) check_size(transfer, *transfer.total);
}

void take_body(Transfer& transfer, std::string_view bytes) {
  const size_t known = static_cast<size_t>(std::min<uint64_t>(transfer.skip, bytes.size()));
  transfer.skip -= known;
  bytes.remove_prefix(known);
  const uint64_t most = transfer.request.size.value_or(transfer.request.limit);
  if (bytes.size() > most - std::min(most, transfer.received)) {
    throw Error(transfer.where, fmt::format("at most {} bytes", most), "more");
  }
  transfer.sink(bytes);
  transfer.received += bytes.size();
}

// Why a connection could not be made, in words, and whether it may be made later.
void explain_connection(Outcome& outcome, const std::string& host) {
  addrinfo* addresses = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, nullptr, &addresses);
  if (addresses != nullptr) freeaddrinfo(addresses);
  outcome.transient = error == 0 || error == EAI_AGAIN;
  outcome.failure = error == 0 ? "no connection to " + host
                               : "host name " + host + " not found (" + std::string(gai_strerror(error)) + ")";
}

void explain(Outcome& outcome, httplib::Error error, const std::string& host) {
  switch (error) {
    case httplib::Error::Connection:
      explain_connection(outcome, host);
      return;
    case httplib::Error::SSLServerVerification:
      outcome.failure = "a certificate that this machine does not trust";
      return;
    case httplib::Error::SSLLoadingCerts:
      outcome.failure = "no certificates of authorities on this machine (package ca-certificates)";
      return;
    case httplib::Error::SSLConnection:
      outcome.failure = "no TLS connection";
      outcome.transient = true;
      return;
    default:
      outcome.failure = error == httplib::Error::ConnectionTimeout ? "no connection in time" : "a connection cut short";
      outcome.transient = true;
  }
}

std::unique_ptr<httplib::ClientImpl> make_client(const Url& url, const Url& proxy, std::chrono::seconds silence) {
  std::unique_ptr<httplib::ClientImpl> client;
  if (url.scheme == "https") {
    client = std::make_unique<httplib::SSLClient>(url.host, url.port);
    client->enable_server_certificate_verification(true);
  } else {
    client = std::make_unique<httplib::ClientImpl>(url.host, url.port);
  }
  client->set_connection_timeout(kConnectTimeout);
  client->set_read_timeout(silence);
  client->set_write_timeout(silence);
  client->set_follow_location(false);
  client->set_decompress(false);
  client->set_url_encode(false);
  if (!proxy.host.empty()) {
    client->set_proxy(proxy.host, proxy.port);
    const size_t colon = std::min(proxy.user.find(':'), proxy.user.size());
    if (!proxy.user.empty()) {
      client->set_proxy_basic_auth(proxy.user.substr(0, colon),
                                   proxy.user.substr(std::min(colon + 1, proxy.user.size())));
    }
  }
  return client;
}

// One request; the body's bytes go to the sink.
Outcome attempt(const Url& url, const HttpHeaders& headers, Transfer& transfer) {
  const Url proxy = proxy_for(url);
  const std::unique_ptr<httplib::ClientImpl> client = make_client(url, proxy, transfer.request.silence);
  httplib::Headers sent = {{"User-Agent", "sigma"}, {"Accept-Encoding", "identity"}};
  for (const auto& [name, value] : headers) sent.emplace(name, value);
  if (transfer.received > 0) sent.emplace("Range", fmt::format("bytes={}-", transfer.received));

  Outcome outcome;
  std::exception_ptr thrown;  // exceptions do not pass through the library
  const auto guarded = [&](const auto& step) {
    try {
      step();
      return true;
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  };
  const NoSigpipe guard;
  const httplib::Result result = client->Get(
      url.target, sent,
      [&](const httplib::Response& response) {
        outcome.status = response.status;
        outcome.location = response.get_header_value("Location");
        outcome.message = response.get_header_value("X-Error-Message");
        const auto wait =
            std::chrono::seconds(parse_number(response.get_header_value("Retry-After")).value_or(0) % 86400);
        outcome.wait = std::min(wait, kLongestWait);
        if (response.status != 200 && response.status != 206) return false;
        return guarded([&] { begin_body(transfer, response); });
      },
      [&](const char* data, size_t size) { return guarded([&] {
                                             take_body(transfer, {data, size});
                                           }); });
  if (thrown) std::rethrow_exception(thrown);
  const bool success = outcome.status == 200 || outcome.status == 206;
  if (success ? !result : outcome.status == 0) {
    explain(outcome, result.error(), proxy.host.empty() ? url.host : proxy.host);
  } else if (!success) {
    outcome.transient = outcome.status == 408 || outcome.status == 429 || outcome.status >= 500;
  } else if (const auto total = transfer.request.size ? transfer.request.size : transfer.total;
             total && transfer.received < *total) {
    outcome.failure = fmt::format("{} of {} bytes", transfer.received, *total);
    outcome.transient = true;
  }
  return outcome;
}

void check_headers(const HttpHeaders& headers, const std::string& where) {
  for (const auto& [name, value] : headers) {
    const bool printable_value = std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
    if (!printable_value) throw Error(where, "a printable value of the header " + name, "control characters in it");
  }
}

Url follow(const Url& from, const Outcome& outcome, HttpHeaders& headers) {
  Url to = resolve_url(from, outcome.location);
  if (from.scheme == "https" && to.scheme != "https") {
    throw Error(from.shown(), "a redirect to a secure address", to.shown());
  }
  if (to.origin() != from.origin()) {
    std::erase_if(headers, [](const auto& header) {
      std::string name = header.first;
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      return name == "authorization" || name == "cookie";
    });
  }
  return to;
}

}  // namespace

HttpStatusError::HttpStatusError(const std::string& where, int status, const std::string& message)
    : Error(where, "an answer with the status 200",
            fmt::format("the status {}{}{}", status, message.empty() ? "" : ": ", printable(message, 200))),
      status_(status) {}

void http_get(const HttpRequest& request, const std::function<void(std::string_view)>& sink) {
  const Url first = parse_url(request.url);
  check_headers(request.headers, first.shown());
  Transfer transfer{request, sink, first.shown(), request.offset};
  Url url = first;
  HttpHeaders headers = request.headers;
  int failures = 0;
  int redirects = 0;
  std::chrono::milliseconds wait = request.back_off;
  while (true) {
    const uint64_t before = transfer.received;
    const Outcome outcome = attempt(url, headers, transfer);
    if (outcome.status >= 300 && outcome.status < 400 && !outcome.location.empty()) {
      if (++redirects > kMaxRedirects)
        throw Error(first.shown(), fmt::format("at most {} redirects", kMaxRedirects), "more");
      url = follow(url, outcome, headers);
      continue;
    }
    const bool success = outcome.status == 200 || outcome.status == 206;
    if (success && outcome.failure.empty()) return;
    if (transfer.received - before >= kProgress) {
      failures = 0;
      wait = request.back_off;
    }
    if (!outcome.transient || ++failures >= request.attempts) {
      if (outcome.status != 0 && !success) throw HttpStatusError(first.shown(), outcome.status, outcome.message);
      throw Error(first.shown(), "an answer", outcome.failure);
    }
    std::this_thread::sleep_for(std::max<std::chrono::milliseconds>(wait, outcome.wait));
    wait *= 2;
    // From the start again: where it was redirected to may have been an address for a moment only.
    url = first;
    headers = request.headers;
    redirects = 0;
  }
}

std::string http_get(const HttpRequest& request) {
  std::string body;
  http_get(request, [&](std::string_view bytes) { body += bytes; });
  return body;
}

}  // namespace sigma
