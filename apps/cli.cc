#include "apps/cli.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/json.h"

namespace sigma {

struct Cli::Impl {
  CLI::App* app = nullptr;
  std::string examples;
  bool* json = nullptr;
};

Cli::Cli() : impl_(std::make_unique<Impl>()) {}
Cli::~Cli() = default;

namespace {

template <class T>
CLI::Option* add(CLI::App& app, const std::string& names, T& value, const std::string& help) {
  return app.add_option(names, value, help)
      ->capture_default_str()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

void Cli::summary(const std::string& text) { impl_->app->description(text); }

void Cli::example(const std::string& command_line) {
  impl_->examples += (impl_->examples.empty() ? "Examples:\n  " : "\n  ") + command_line;
  impl_->app->footer(impl_->examples);
}

void Cli::flag(const std::string& names, bool& value, const std::string& help) {
  impl_->app->add_flag(names, value, help);
}

void Cli::option(const std::string& names, std::string& value, const std::string& help, Need need) {
  add(*impl_->app, names, value, help)->required(need == Need::required);
}

void Cli::option(const std::string& names, std::optional<std::string>& value, const std::string& help) {
  impl_->app->add_option(names, value, help);
}
void Cli::option(const std::string& names, int64_t& value, const std::string& help) {
  add(*impl_->app, names, value, help);
}
void Cli::option(const std::string& names, int& value, const std::string& help) {
  add(*impl_->app, names, value, help);
}
void Cli::option(const std::string& names, uint64_t& value, const std::string& help) {
  add(*impl_->app, names, value, help);
}
void Cli::option(const std::string& names, std::optional<uint64_t>& value, const std::string& help) {
  impl_->app->add_option(names, value, help);
}
void Cli::option(const std::string& names, double& value, const std::string& help) {
  add(*impl_->app, names, value, help);
}
void Cli::option(const std::string& names, std::vector<std::string>& values, const std::string& help) {
  impl_->app->add_option(names, values, help)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Cli::choice(const std::string& names, std::string& value, const std::vector<std::string>& words,
                 const std::string& help) {
  add(*impl_->app, names, value, help)->check(CLI::IsMember(words));
}

void Cli::threads(int& value) {
  add(*impl_->app, "--threads", value, "Threads; 0: one per processor")->check(CLI::Range(0, 1024));
}

void Cli::json(bool& value) {
  impl_->json = &value;
  impl_->app->add_flag("--json", value, "Print the result as JSON");
}

namespace {

// One line for people, or the three fields for machines.
int report(const Error& error, bool json) {
  if (json) {
    const Json body = {{"error", {{"where", error.where()}, {"expected", error.expected()}, {"found", error.found()}}}};
    std::printf("%s\n", body.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fprintf(stderr, "sigma: %s\n", error.what());
  }
  return dynamic_cast<const UsageError*>(&error) != nullptr ? 2 : 1;
}

// Where a command is declared: "data tokenize" under "data", which is there from its first command on.
CLI::App* declare_command(CLI::App& app, const std::string& name) {
  const size_t space = name.find(' ');
  if (space == std::string::npos) return app.add_subcommand(name);
  const std::string group = name.substr(0, space);
  const auto found = app.get_subcommands([&](const CLI::App* known) { return known->get_name() == group; });
  CLI::App* parent =
      found.empty() ? app.add_subcommand(group, "sigma " + group + " --help lists its commands")->require_subcommand(1)
                    : found.front();
  return parent->add_subcommand(name.substr(space + 1));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

int run_command_line(int argc, const char* const* argv, const std::vector<Command>& commands) {
  CLI::App app("Sigma: DiffQKV (and every Llama-style) language models on this machine's CPU", "sigma");
  app.require_subcommand(1);
  app.footer("sigma COMMAND --help shows a command's options and examples.");
  app.set_version_flag("--version", std::string("sigma ") + SIGMA_VERSION);
  std::vector<std::unique_ptr<Cli>> clis;
  std::vector<Run> runs;
  for (const Command& command : commands) {
    clis.push_back(std::make_unique<Cli>());
    clis.back()->impl().app = declare_command(app, command.name);
    runs.push_back(command.declare(*clis.back()));
  }
  // --json must be known even when parsing fails, so that the failure is reported as the caller can read it.
  bool json = false;
  for (int i = 1; i < argc; ++i) json = json || std::string_view(argv[i]) == "--json";
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::string where = "sigma";
    for (auto subs = app.get_subcommands(); !subs.empty(); subs = subs.front()->get_subcommands())
      where += " " + subs.front()->get_name();
    if (app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-')
      return report(UsageError(where, "a command that --help lists", printable(argv[1])), json);
    return report(UsageError(where, "the options that --help lists", first_line(e.what())), json);
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!clis[i]->impl().app->parsed()) continue;
    try {
      const int status = runs[i]();
      if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw Error("standard output", "room for the whole result", std::generic_category().message(errno));
      return status;
    } catch (const Error& e) {
      return report(e, json);
    } catch (const std::bad_alloc&) {
      return report(Error("memory", "enough of it for this command", "an allocation that failed"), json);
    } catch (const std::exception& e) {
      return report(Error(std::string("sigma ") + commands[i].name, "no failure", e.what()), json);
    }
  }
  return 2;
}

}  // namespace sigma
