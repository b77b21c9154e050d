// A hub on the loopback for tests.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <string>

#include "model/hub.h"
#include "net/digest.h"
#include "net/http.h"
#include "support/web_server.h"

namespace sigma {

inline constexpr const char* kHubCommit = "0123456789abcdef0123456789abcdef01234567";

inline std::string sha256(const std::string& content) {
  Digest digest(Digest::Kind::sha256);
  digest.update(content);
  return digest.hex();
}

inline std::string git_blob(const std::string& content) {
  Digest digest(Digest::Kind::sha1);
  digest.update("blob " + std::to_string(content.size()) + std::string(1, '\0'));
  digest.update(content);
  return digest.hex();
}

// A server with one repository, org/model, laid out as the hub's is: small files come from the endpoint, large ones by
// a redirect from a second host.
class HubServer {
 public:
  struct File {
    std::string content;
    bool large = false;
    std::string digest{};  // announced instead of the right one
  };
  std::map<std::string, File> files;
  Json extra = Json::object();    // merged into the description
  std::atomic<int> cuts = 0;      // this many large downloads are cut in half
  std::atomic<int> failures = 0;  // this many requests get a 500
  std::string token;              // asked for, when not empty
  std::string repository = "org/model";

  HubSettings settings(const std::string& cache) {
    return {.cache = cache, .endpoint = api_.url(), .token = token, .back_off = std::chrono::milliseconds(1)};
  }
  std::vector<httplib::Request> api_requests() { return api_.requests(); }
  std::vector<httplib::Request> content_requests() { return content_.requests(); }

 private:
  void describe(httplib::Response& response) {
    Json json = {{"id", repository}, {"sha", kHubCommit}, {"siblings", Json::array()}};
    for (const auto& [name, file] : files) {
      Json entry = {{"rfilename", name}, {"size", file.content.size()}, {"blobId", git_blob(file.content)}};
      if (!file.large && !file.digest.empty()) entry["blobId"] = file.digest;
      if (file.large) {
        entry["lfs"] = {{"sha256", file.digest.empty() ? sha256(file.content) : file.digest},
                        {"size", file.content.size()},
                        {"pointerSize", 130}};
      }
      json["siblings"].push_back(entry);
    }
    json.update(extra);
    response.set_content(json.dump(), "application/json");
  }

  void answer(const httplib::Request& request, httplib::Response& response) {
    if (failures > 0) {
      --failures;
      response.status = 500;
      return;
    }
    if (!token.empty() && request.get_header_value("Authorization") != "Bearer " + token) {
      response.status = 401;
      response.set_header("X-Error-Message", "Access to model org/model is restricted.");
      return;
    }
    if (request.path == "/api/models/" + repository + "/revision/main") return describe(response);
    if (request.path == "/api/models/" + repository + "/revision/refs/pr/1") return describe(response);
    const std::string prefix = "/" + repository + "/resolve/" + kHubCommit + "/";
    const std::string name = request.path.substr(std::min(prefix.size(), request.path.size()));
    if (!request.path.starts_with(prefix) || !files.contains(name)) {
      response.status = 404;
      return;
    }
    if (files[name].large) return response.set_redirect(content_.url("/" + percent_encode(name) + "?signature=x"));
    response.set_content(files[name].content, "text/plain");
  }

  void send(const httplib::Request& request, httplib::Response& response) {
    const std::string& content = files[request.path.substr(1)].content;
    if (cuts > 0) {
      --cuts;
      return set_cut_content(response, content, content.size() / 2);
    }
    response.set_content(content, "application/octet-stream");
  }

  WebServer content_{[this](const auto& request, auto& response) { send(request, response); }};
  WebServer api_{[this](const auto& request, auto& response) { answer(request, response); }};
};

inline std::string random_bytes(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

}  // namespace sigma
