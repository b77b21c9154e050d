// Manual pages by mandoc, a child process that reads and writes through sockets; its time and output are bounded.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "base/error.h"
#include "corpus/extract.h"
#include "corpus/source.h"
#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr size_t kLargestOutput = size_t{64} << 20;
constexpr rlim_t kProcessorSeconds = 10;
// A page that takes longer than this by the clock means a machine that stands still, not a page that is too much: what
// a page gives must not depend on how busy the machine is.
constexpr std::chrono::minutes kPatience{30};

// Sockets, not a pipe: writing to a child that is gone can then be an error instead of a signal.
struct Pipe {
  int ends[2] = {-1, -1};  // to read, to write
  Pipe() {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw Stop("mandoc", "a pipe to it", std::generic_category().message(errno));
  }
  ~Pipe() { close(0), close(1); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close(int end) {
    if (ends[end] >= 0) ::close(std::exchange(ends[end], -1));
  }
};

std::atomic<int64_t> own_nanoseconds{0};

// Counts the processor's time of this thread while it lives.
class OwnTime {
 public:
  ~OwnTime() { own_nanoseconds += now() - start_; }

 private:
  static int64_t now() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  }
  int64_t start_ = now();
};

class Mandoc {
 public:
  Mandoc() {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_.ends[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out_.ends[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    const char* const argv[] = {"mandoc", "-T", "utf8", "-O", "width=100,indent=4", nullptr};
    const char* const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", nullptr};
    const int error = ::posix_spawnp(&child_, "mandoc", &actions, nullptr, const_cast<char* const*>(argv),
                                     const_cast<char* const*>(environment));
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw Stop("mandoc", "the Debian package mandoc, to render manual pages", std::generic_category().message(error));
    const rlimit limit{kProcessorSeconds, kProcessorSeconds};
    ::prlimit(child_, RLIMIT_CPU, &limit, nullptr);
    in_.close(0);
    out_.close(1);
    ::fcntl(in_.ends[1], F_SETFL, O_NONBLOCK);
    ::fcntl(out_.ends[0], F_SETFL, O_NONBLOCK);
  }
  ~Mandoc() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      wait();
    }
  }
  Mandoc(const Mandoc&) = delete;
  Mandoc& operator=(const Mandoc&) = delete;

  // False: it wrote too much.  Stop: the machine gave it no time.
  bool render(std::string_view page, std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string chunk(size_t{1} << 16, '\0');
    while (true) {
      pollfd fds[2] = {{out_.ends[0], POLLIN, 0}, {in_.ends[1], POLLOUT, 0}};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) throw Stop("mandoc", "an answer within half an hour", "none");
      if (text.size() > kLargestOutput) return false;
      if (::poll(fds, in_.ends[1] >= 0 ? 2 : 1, static_cast<int>(left.count())) <= 0) continue;
      if (in_.ends[1] >= 0 && fds[1].revents != 0 && !feed(page)) in_.close(1);
      if (fds[0].revents == 0) continue;
      const ssize_t got = ::read(out_.ends[0], chunk.data(), chunk.size());
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (got <= 0) return true;
      text.append(chunk, 0, static_cast<size_t>(got));
    }
  }
  bool ended_by_itself() {  // its status only tells how many warnings it had
    return WIFEXITED(wait());
  }

 private:
  // Writes some of the page; false when all is written or nobody reads.
  static_assert(EAGAIN == EWOULDBLOCK);
  bool feed(std::string_view& page) {
    const ssize_t put = ::send(in_.ends[1], page.data(), page.size(), MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    page.remove_prefix(static_cast<size_t>(put));
    return !page.empty();
  }
  int wait() {
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    child_ = -1;
    return status;
  }
  Pipe in_, out_;
  pid_t child_ = -1;
};

// "x BS x" is bold, "_ BS x" underlined: the letter alone stays.
std::string without_overstrikes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c != '\b') {
      out += c;
      continue;
    }
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty()) out.pop_back();
  }
  return out;
}

}  // namespace

double man_rendering_seconds() { return static_cast<double>(own_nanoseconds.load()) / 1e9; }

Extracted extract_man(std::string_view bytes) {
  if (bytes.size() > kLargestOutput) return skipped("man: larger than 64 MiB");
  const std::string_view start = trim(bytes.substr(0, 512));
  if (start.starts_with(".so ") && bytes.size() < 512) return skipped("man: another name of a page");
  if (is_blank(bytes)) return skipped("man: no text");
  const std::string page = to_utf8(bytes);
  std::string rendered;
  {
    const OwnTime time;
    Mandoc mandoc;
    if (!mandoc.render(page, rendered)) return skipped("man: too much output");
    if (!mandoc.ended_by_itself()) return skipped("man: mandoc crashed or took 10 seconds");
  }
  Extracted result;
  result.text = without_overstrikes(rendered);
  // The first line is "open(2)   System Calls Manual   open(2)".
  std::string_view rest = result.text;
  std::string_view header = trim(take_line(rest));
  result.title = header.substr(0, header.find("  "));
  if (is_blank(rest)) result.skip = "man: no text";
  return result;
}

}  // namespace sigma::corpus
