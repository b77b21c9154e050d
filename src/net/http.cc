#include "net/http.h"

#include <curl/curl.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <memory>
#include <thread>

namespace sigma {

namespace {

constexpr long kMaxRedirects = 10;
constexpr long kConnectSeconds = 10;
constexpr std::chrono::seconds kLongestWait{30};
constexpr uint64_t kProgress = uint64_t{1} << 20;  // an attempt that gained this much does not count as a failure

struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// Writing to a connection that the other side closed may raise SIGPIPE, which would end the program: held back in this
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

// The resource on its way: what came, what is expected.
struct Transfer {
  const HttpRequest& request;
  const std::function<void(std::string_view)>& sink;
  std::string where;
  CURL* handle;
  uint64_t received;               // bytes that are done with, request.offset included
  bool begun = false;              // whether this attempt's headers have been looked at
  uint64_t skip = 0;               // bytes of this attempt's body that are done with already
  std::exception_ptr thrown = {};  // exceptions do not pass through the library
};

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string header(CURL* handle, const char* name) {
  curl_header* found = nullptr;
  return curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : "";
}

int64_t status_of(CURL* handle) {
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

// "bytes 5-9/10": the answer must begin where it was asked to, or the file would be put together wrongly. Returns the
// size of the whole resource, if it is said.
std::optional<uint64_t> check_range(const Transfer& transfer, const std::string& range) {
  const size_t dash = range.find('-');
  const size_t slash = range.find('/');
  if (range.starts_with("bytes ") && dash != std::string::npos && slash != std::string::npos) {
    const std::string_view text = range;
    if (parse_number(text.substr(6, dash - 6)) == transfer.received) return parse_number(text.substr(slash + 1));
  }
  throw Error(transfer.where, fmt::format("the bytes from {} on", transfer.received),
              "Content-Range '" + printable(range) + "'");
}

void check_size(const Transfer& transfer, uint64_t bytes) {
  const HttpRequest& request = transfer.request;
  if (request.size ? bytes == *request.size : bytes <= request.limit) return;
  throw Error(transfer.where,
              request.size ? fmt::format("{} bytes", *request.size) : fmt::format("at most {} bytes", request.limit),
              fmt::format("{} bytes", bytes));
}

// Looks at the headers of a success, once per attempt.
void begin_body(Transfer& transfer) {
  transfer.begun = true;
  transfer.skip = 0;
  std::optional<uint64_t> total;
  if (status_of(transfer.handle) == 206) {
    total = check_range(transfer, header(transfer.handle, "Content-Range"));
  } else {
    transfer.skip = transfer.received;  // the server sends all of it again
    curl_off_t length = -1;
    curl_easy_getinfo(transfer.handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0) total = static_cast<uint64_t>(length);
  }
  if (total) check_size(transfer, *total);
}

void take_body(Transfer& transfer, std::string_view bytes) {
  const auto known = static_cast<size_t>(std::min<uint64_t>(transfer.skip, bytes.size()));
  transfer.skip -= known;
  bytes.remove_prefix(known);
  const uint64_t most = transfer.request.size.value_or(transfer.request.limit);
  if (bytes.size() > most - std::min(most, transfer.received)) {
    throw Error(transfer.where, fmt::format("at most {} bytes", most), "more");
  }
  transfer.sink(bytes);
  transfer.received += bytes.size();
}

size_t on_body(const char* data, size_t, size_t size, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  try {
    if (!transfer.begun) begin_body(transfer);
    take_body(transfer, {data, size});
    return size;
  } catch (...) {
    transfer.thrown = std::current_exception();
    return CURL_WRITEFUNC_ERROR;
  }
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

template <class T>
void set(CURL* handle, CURLoption option, T value) {
  SIGMA_CHECK_EQ(static_cast<int>(curl_easy_setopt(handle, option, value)), 0);
}

// The options that hold for every attempt.
void prepare(CURL* handle, const HttpRequest& request, const curl_slist* headers, char* message) {
  set(handle, CURLOPT_URL, request.url.c_str());
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_REDIR_PROTOCOLS_STR, request.url.starts_with("https:") ? "https" : "http,https");
  set(handle, CURLOPT_FOLLOWLOCATION, 1L);
  set(handle, CURLOPT_MAXREDIRS, kMaxRedirects);
  set(handle, CURLOPT_FAILONERROR, 1L);
  set(handle, CURLOPT_NOSIGNAL, 1L);
  set(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.silence.count()));
  set(handle, CURLOPT_USERAGENT, "sigma");
  set(handle, CURLOPT_HTTPHEADER, headers);
  set(handle, CURLOPT_ERRORBUFFER, message);
  set(handle, CURLOPT_WRITEFUNCTION, &on_body);
  if (const char* authorities = std::getenv("SSL_CERT_FILE"); authorities != nullptr && *authorities != '\0') {
    set(handle, CURLOPT_CAINFO, authorities);
  }
}

std::unique_ptr<curl_slist, FreeList> header_list(const HttpRequest& request, const std::string& where) {
  std::unique_ptr<curl_slist, FreeList> list;
  for (const auto& [name, value] : request.headers) {
    const bool sound = std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
    if (!sound) throw Error(where, "a printable value of the header " + name, "control characters in it");
    curl_slist* longer = curl_slist_append(list.get(), fmt::format("{}: {}", name, value).c_str());
    SIGMA_CHECK(longer != nullptr);
    static_cast<void>(list.release());  // the longer list owns it
    list.reset(longer);
  }
  return list;
}

// The address as messages show it: no query (which may carry signatures), no password.
std::string shown(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  const size_t host = text.find("://");
  const size_t at = text.rfind('@', text.find('/', host == std::string::npos ? 0 : host + 3));
  if (host != std::string::npos && at != std::string::npos && at > host) text.erase(host + 3, at - host - 2);
  return printable(text, 200);
}

}  // namespace

HttpStatusError::HttpStatusError(const std::string& where, int64_t status, const std::string& message)
    : Error(where, "an answer with the status 200",
            fmt::format("the status {}{}{}", status, message.empty() ? "" : ": ", printable(message, 200))),
      status_(status) {}

void http_get(const HttpRequest& request, const std::function<void(std::string_view)>& sink) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  SIGMA_CHECK_EQ(static_cast<int>(ready), 0);
  const std::unique_ptr<CURL, FreeHandle> handle(curl_easy_init());
  SIGMA_CHECK(handle != nullptr);
  CURL* const h = handle.get();
  Transfer transfer{
      .request = request, .sink = sink, .where = shown(request.url), .handle = h, .received = request.offset};
  const std::unique_ptr<curl_slist, FreeList> headers = header_list(request, transfer.where);
  char message[CURL_ERROR_SIZE];
  prepare(h, request, headers.get(), message);
  set(h, CURLOPT_WRITEDATA, &transfer);

  const NoSigpipe guard;
  std::chrono::milliseconds wait = request.back_off;
  for (int failures = 0;;) {
    const uint64_t before = transfer.received;
    const std::string range = fmt::format("{}-", before);
    set(h, CURLOPT_RANGE, before > 0 ? range.c_str() : nullptr);
    transfer.begun = false;
    message[0] = '\0';
    CURLcode code = curl_easy_perform(h);
    if (transfer.thrown) std::rethrow_exception(transfer.thrown);
    const int64_t status = status_of(h);
    if (code == CURLE_OK && status != 200 && status != 206) code = CURLE_HTTP_RETURNED_ERROR;
    if (code == CURLE_OK) {
      if (!transfer.begun) begin_body(transfer);  // an empty body
      if (transfer.received >= request.size.value_or(0)) return;
      code = CURLE_PARTIAL_FILE;
    }
    if (transfer.received - before >= kProgress) {
      failures = 0;
      wait = request.back_off;
    }
    const bool refused = code == CURLE_HTTP_RETURNED_ERROR;
    const bool transient = refused ? status == 408 || status == 429 || status >= 500 : may_pass(code);
    if (!transient || ++failures >= request.attempts) {
      if (refused) throw HttpStatusError(transfer.where, status, header(h, "X-Error-Message"));
      throw Error(transfer.where, "an answer", printable(*message != '\0' ? message : curl_easy_strerror(code), 200));
    }
    curl_off_t asked = 0;
    curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &asked);
    const auto pause =
        std::min<std::chrono::milliseconds>(std::chrono::seconds(std::min<curl_off_t>(asked, 3600)), kLongestWait);
    std::this_thread::sleep_for(std::max(wait, pause));
    wait *= 2;
  }
}

std::string http_get(const HttpRequest& request) {
  std::string body;
  http_get(request, [&](std::string_view bytes) { body += bytes; });
  return body;
}

std::string percent_encode(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || std::string_view("-._~/").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace sigma
