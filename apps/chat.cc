// sigma chat: a conversation in the terminal.
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/file.h"

namespace sigma {

namespace {

volatile std::sig_atomic_t interrupted = 0;

struct Options {
  ModelOptions model;
  SamplingOptions sampling;
  std::optional<std::string> system;
  int64_t max_tokens = 1024;
  std::vector<std::string> stop;
};

constexpr const char* kHelp =
    "/reset       forget the conversation\n"
    "/save FILE   write the conversation as JSON\n"
    "/load FILE   continue a saved one\n"
    "/quit        leave (also Ctrl-D); Ctrl-C stops an answer\n";

class Chat {
 public:
  Chat(Session& session, const Options& o)
      : session_(session),
        o_(o),
        engine_(session.kernels, session.threads, session.model, &session.require_tokenizer(),
                session.engine_options(session.model.config.max_tokens)) {
    reset();
  }

  void reset() {
    messages_ = Json::array();
    if (o_.system) messages_.push_back({{"role", "system"}, {"content", *o_.system}});
  }

  // False: the user wants to leave.
  bool command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string word = line.substr(0, space), argument = space == std::string::npos ? "" : line.substr(space + 1);
    if (word == "/quit" || word == "/exit") return false;
    if (word == "/reset") {
      reset();
    } else if (word == "/save" && !argument.empty()) {
      write_file(argument, messages_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    } else if (word == "/load" && !argument.empty()) {
      load(argument);
    } else {
      std::fputs(kHelp, stderr);
    }
    return true;
  }

  void answer(const std::string& text) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    Request request;
    try {
      request.prompt = encode_chat(session_, messages_);
      request.max_tokens = o_.max_tokens;
      check_generation(request, session_);
    } catch (const Error&) {
      messages_.erase(messages_.size() - 1);
      throw;
    }
    request.sampling = o_.sampling.resolve();
    request.stop = o_.stop;
    request.stop_tokens = session_.stop_tokens();
    request.v_top = o_.model.v_top;
    request.v_weights = o_.model.v_renormalise ? VWeights::kept : VWeights::all;
    messages_.push_back({{"role", "assistant"}, {"content", stream(std::move(request))}});
  }

 private:
  std::string stream(Request request) {
    interrupted = 0;
    const RequestId id = engine_.submit(std::move(request));
    std::string answer;
    while (!engine_.idle()) {
      if (interrupted != 0) engine_.cancel(id);
      for (const Event& event : engine_.step()) {
        std::fwrite(event.text.data(), 1, event.text.size(), stdout);
        std::fflush(stdout);
        answer += event.text;
      }
    }
    std::fputs(interrupted != 0 ? " [stopped]\n" : "\n", stdout);
    return answer;
  }

  void load(const std::string& path) {
    Json loaded = read_json(path);
    const auto is_message = [](const Json& m) {
      return m.is_object() && m.contains("role") && m["role"].is_string() && m.contains("content") &&
             m["content"].is_string();
    };
    if (!loaded.is_array() || !std::all_of(loaded.begin(), loaded.end(), is_message))
      throw Error(path, "a list of messages {role, content}", "something else");
    messages_ = std::move(loaded);
  }

  Session& session_;
  const Options& o_;
  Engine engine_;
  Json messages_;
};

int run(const Options& o) {
  Session session(o.model);
  if (session.require_tokenizer().spec().chat_template.empty())
    throw Error(session.name, "a model with a chat template (for plain text: sigma generate)", "none");
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);  // no SA_RESTART: a waiting getline returns
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) std::fprintf(stderr, "%s. /help lists the commands.\n", session.name.c_str());
  Chat chat(session, o);
  std::string line;
  for (;;) {
    if (terminal) std::fputs("> ", stderr);
    interrupted = 0;
    if (!std::getline(std::cin, line)) {
      if (interrupted == 0) break;
      std::cin.clear();  // Ctrl-C at the prompt: a new line, not the end
      std::clearerr(stdin);
      std::fputs("\n(/quit or Ctrl-D to leave)\n", stderr);
      continue;
    }
    if (line.empty()) continue;
    try {
      if (line[0] == '/') {
        if (!chat.command(line)) break;
      } else {
        chat.answer(line);
      }
    } catch (const Error& e) {
      std::fprintf(stderr, "sigma: %s\n", e.what());  // the conversation goes on
    }
  }
  return 0;
}

}  // namespace

Run chat_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Talk with a model in the terminal: /reset, /save FILE, /load FILE, /quit; Ctrl-C stops an answer");
  cli.example("sigma chat -m smollm2");
  cli.example("sigma chat -m smollm2 --system 'You are a terse system administrator.' --temperature 0.7");
  o->model.declare(cli);
  cli.option("--system", o->system, "The system message");
  cli.option("-n,--max-tokens", o->max_tokens, "Most tokens of an answer");
  o->sampling.declare(cli);
  cli.option("--stop", o->stop, "Text that ends an answer; may be repeated");
  return [o] { return run(*o); };
}

}  // namespace sigma
