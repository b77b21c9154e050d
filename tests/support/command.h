// Runs the sigma binary as a user does, and keeps what it printed.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace sigma::test {

// Fewer sizes, for sanitizers.
inline bool quick_sweep() { return std::getenv("SIGMA_TEST_SWEEP") != nullptr; }

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

// What starts so many processes of a command together on this machine; empty when it has no mpirun.
inline std::string mpirun(int count) {
  if (std::system("command -v mpirun > /dev/null 2>&1") != 0) return {};
  return "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none "
         "OMPI_MCA_mpi_yield_when_idle=1 ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=report_bugs=0 mpirun "
         "--oversubscribe -n " +
         std::to_string(count);
}

// The command as mpirun starts it; nothing when this machine has no mpirun.
inline std::optional<CommandResult> run_sigmas(int count, const std::vector<std::string>& arguments,
                                               const std::string& scratch) {
  std::string command = mpirun(count);
  if (command.empty()) return std::nullopt;
  command += std::string(" '") + SIGMA_BINARY + "'";
  for (const std::string& word : arguments) command += " '" + word + "'";
  const int status = std::system((command + " > '" + scratch + "/stdout' 2> '" + scratch + "/stderr'").c_str());
  return CommandResult{WEXITSTATUS(status), read_file(scratch + "/stdout"), read_file(scratch + "/stderr")};
}

}  // namespace sigma::test
