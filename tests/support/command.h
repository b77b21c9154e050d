// Runs the sigma binary as a user does, and keeps what it printed.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace sigma::test {

struct CommandResult {
  int status = -1;  // exit status; 128 + N when signal N ended it
  std::string out, err;
  Json json() const { return Json::parse(out, nullptr, false); }
};

// Standard output and error go through files in `scratch` (pipes could fill up).
inline CommandResult run_sigma(const std::vector<std::string>& arguments, const std::string& scratch,
                               const std::string& input = "") {
  const char* const binary = SIGMA_BINARY;
  write_file(scratch + "/stdin", input);
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<std::string> words = arguments;
    words.insert(words.begin(), binary);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    if (std::freopen((scratch + "/stdin").c_str(), "r", stdin) == nullptr) ::_exit(126);
    if (std::freopen((scratch + "/stdout").c_str(), "w", stdout) == nullptr) ::_exit(126);
    if (std::freopen((scratch + "/stderr").c_str(), "w", stderr) == nullptr) ::_exit(126);
    ::execv(binary, argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CommandResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(scratch + "/stdout");
  result.err = read_file(scratch + "/stderr");
  return result;
}

}  // namespace sigma::test
