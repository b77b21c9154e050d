// A web server on the loopback for tests: answers with the handler given, remembers the requests it got.
#pragma once

#include <httplib.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sigma {

class WebServer {
 public:
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;

  explicit WebServer(Handler handler, std::unique_ptr<httplib::Server> server = std::make_unique<httplib::Server>())
      : server_(std::move(server)), handler_(std::move(handler)) {
    server_->set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      handler_(request, response);
      return httplib::Server::HandlerResponse::Handled;
    });
    port_ = server_->bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::yield();
  }
  ~WebServer() {
    server_->stop();
    thread_.join();
  }
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& target = "") const { return "http://127.0.0.1:" + std::to_string(port_) + target; }
  std::vector<httplib::Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  std::unique_ptr<httplib::Server> server_;
  Handler handler_;
  std::mutex mutex_;
  std::vector<httplib::Request> requests_;
  int port_ = 0;
  std::thread thread_;
};

// Announces the whole content, sends `bytes` of it and drops the connection.
inline void set_cut_content(httplib::Response& response, const std::string& content, size_t bytes) {
  response.set_content_provider(content.size(), "application/octet-stream",
                                [content, bytes](size_t offset, size_t, httplib::DataSink& sink) {
                                  if (offset >= bytes) return false;
                                  return sink.write(content.data() + offset, bytes - offset);
                                });
}

}  // namespace sigma
