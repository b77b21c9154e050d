// sigma: one binary, one file per subcommand.
#include <csignal>

#include "apps/cli.h"
#include "apps/commands.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // `sigma ... | head` ends quietly
  return sigma::run_command_line(argc, argv, sigma::all_commands());
}
