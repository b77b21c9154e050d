// Runs the sigma binary as a user does, and keeps what it printed.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

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
    const int in = ::open((scratch + "/stdin").c_str(), O_RDONLY);
    const int out = ::open((scratch + "/stdout").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = ::open((scratch + "/stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(126);
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
