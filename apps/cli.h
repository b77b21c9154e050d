// How a subcommand declares its options: a thin face over the command-line library, so that every command's help,
// errors and --json behave alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sigma {

// The options of one subcommand. Names as "-m,--model" for options, "MODEL" for positionals. The variables must live as
// long as the returned Run (a shared Options struct captured by it); their values are the defaults shown in the help.
class Cli {
 public:
  Cli();
  ~Cli();
  Cli(const Cli&) = delete;
  Cli& operator=(const Cli&) = delete;

  enum class Need : uint8_t { optional, required };

  void summary(const std::string& text);
  void example(const std::string& command_line);  // shown under "Examples:" in the help, in order
  void flag(const std::string& names, bool& value, const std::string& help);
  void option(const std::string& names, std::string& value, const std::string& help, Need need = Need::optional);
  void option(const std::string& names, std::optional<std::string>& value, const std::string& help);
  void option(const std::string& names, int64_t& value, const std::string& help);
  void option(const std::string& names, int& value, const std::string& help);
  void option(const std::string& names, uint64_t& value, const std::string& help);
  void option(const std::string& names, std::optional<uint64_t>& value, const std::string& help);
  void option(const std::string& names, double& value, const std::string& help);
  // May be given several times, one value each.
  void option(const std::string& names, std::vector<std::string>& values, const std::string& help);
  // One of a fixed set of words.
  void choice(const std::string& names, std::string& value, const std::vector<std::string>& words,
              const std::string& help);
  void threads(int& value);  // --threads
  // --json: results as one JSON object on standard output, errors as {"error": {where, expected, found}}.
  void json(bool& value);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// What a command does once its options are parsed; returns the exit status.
using Run = std::function<int()>;

struct Command {
  const char* name;  // "generate", or "data tokenize" for one of a group
  Run (*declare)(Cli& cli);
};

// Parses argv, runs one command, prints errors; returns the exit status: 0 done, 1 the world is wrong, 2 usage.
int run_command_line(int argc, const char* const* argv, const std::vector<Command>& commands);

}  // namespace sigma
