// sigma generate: continues a prompt, streaming the text, or prints the whole result as JSON.
#include <unistd.h>
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/chat_template.h"

namespace sigma {

namespace {

struct Options {
  ModelOptions model;
  SamplingOptions sampling;
  std::optional<std::string> prompt, file, tokens, system;
  std::string dash;
  int64_t max_tokens = 128;
  int completions = 1, top_logprobs = 0;
  std::vector<std::string> stop, stop_tokens;
  bool chat = false, ignore_eos = false, no_speculation = false, echo = false, json = false;
};

std::string prompt_text(const Options& o) {
  const int given = o.prompt.has_value() + o.file.has_value() + o.tokens.has_value() + !o.dash.empty();
  if (given != 1)
    throw UsageError("sigma generate", "one of -p TEXT, -f FILE, - (standard input) and --tokens IDS",
                     given == 0 ? "none" : "several");
  if (!o.dash.empty() && o.dash != "-") throw UsageError("sigma generate", "- or an option", printable(o.dash));
  if (o.prompt) return *o.prompt;
  return o.tokens ? "" : read_text(o.file ? *o.file : "-");
}

std::vector<TokenId> prompt_tokens(const Options& o, const Session& session) {
  const std::string text = prompt_text(o);
  if (o.tokens) return parse_token_list(*o.tokens);
  const Tokenizer& tokenizer = session.require_tokenizer();
  if (!o.chat) return tokenizer.encode_prompt(text, Specials::as_text);
  Json messages = Json::array();
  if (o.system) messages.push_back({{"role", "system"}, {"content", *o.system}});
  messages.push_back({{"role", "user"}, {"content", text}});
  return encode_chat(session, messages);
}

struct Completion {
  std::string text;
  std::vector<TokenId> tokens;
  Json logprobs = Json::array(), top = Json::array();
  FinishReason finish = FinishReason::none;
};

Json to_json(const Completion& c, bool with_top) {
  Json j = {{"text", c.text},
            {"tokens", c.tokens},
            {"logprobs", c.logprobs},
            {"finish_reason", finish_reason_name(c.finish)}};
  if (with_top) j["top_logprobs"] = c.top;
  return j;
}

void collect(Completion& c, const Event& event) {
  c.text += event.text;
  c.finish = event.finish;
  if (!event.has_token) return;
  c.tokens.push_back(event.token);
  c.logprobs.push_back(event.logprob);
  Json top = Json::array();
  for (const TokenLogprob& t : event.top) top.push_back({{"token", t.id}, {"logprob", t.logprob}});
  c.top.push_back(std::move(top));
}

int run(const Options& o) {
  Session session(o.model);
  Request request;
  request.prompt = prompt_tokens(o, session);
  request.max_tokens = o.max_tokens;
  request.completions = o.completions;
  request.sampling = o.sampling.resolve();
  request.stop = o.stop;
  if (!o.ignore_eos) request.stop_tokens = session.stop_tokens();
  for (const std::string& ids : o.stop_tokens)
    for (const TokenId id : parse_token_list(ids)) request.stop_tokens.push_back(id);
  request.logprobs = o.json;
  request.top_logprobs = o.top_logprobs;
  request.speculate = !o.no_speculation;
  request.v_top = o.model.v_top;
  request.v_weights = o.model.v_renormalise ? VWeights::kept : VWeights::all;
  check_generation(request, session);

  Engine engine(session.kernels, session.threads, session.model, session.tokenizer ? &*session.tokenizer : nullptr,
                session.engine_options(cache_tokens(request, o.model.page_tokens)));
  const int64_t prompt_length = static_cast<int64_t>(request.prompt.size());
  const bool stream = !o.json && o.completions == 1;
  if (o.echo && !o.json && session.tokenizer) std::fputs(session.tokenizer->decode(request.prompt).c_str(), stdout);
  engine.submit(std::move(request));
  std::vector<Completion> completions(static_cast<size_t>(o.completions));
  while (!engine.idle()) {
    for (const Event& event : engine.step()) {
      collect(completions[static_cast<size_t>(event.completion)], event);
      if (!stream) continue;
      if (session.tokenizer) {
        std::fwrite(event.text.data(), 1, event.text.size(), stdout);
      } else if (event.has_token) {
        std::printf("%d ", event.token);
      }
      std::fflush(stdout);
    }
  }
  if (!o.json) {
    if (stream) {
      std::putchar('\n');
    } else {
      for (size_t i = 0; i < completions.size(); ++i)
        std::printf("--- completion %zu (%s)\n%s\n", i + 1, finish_reason_name(completions[i].finish),
                    completions[i].text.c_str());
    }
    return 0;
  }
  const Engine::Times& times = engine.times();
  Json j = {{"model", session.name}, {"prompt_tokens", prompt_length}, {"completions", Json::array()}};
  for (const Completion& c : completions) j["completions"].push_back(to_json(c, o.top_logprobs > 0));
  j["load_seconds"] = session.load_seconds;
  j["prefill"] = {{"tokens", times.prefill_tokens}, {"seconds", times.prefill_seconds}};
  j["decode"] = {{"tokens", times.decode_tokens}, {"seconds", times.decode_seconds}};
  j["peak_rss_bytes"] = peak_resident_bytes();
  print_json(j);
  return 0;
}

}  // namespace

Run generate_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Continue a text (or answer a question, with --chat), streaming the result");
  cli.example("sigma generate -m smollm2 -p 'The capital of France is' -n 20");
  cli.example("sigma generate -m smollm2 --chat -p 'What does df -h show?' --temperature 0.7 --top-p 0.9 --seed 1");
  cli.example("sigma generate -m model.gguf -f notes.txt --json");
  cli.example("echo 'Once upon a time' | sigma generate -m smollm2 -");
  cli.example("sigma generate -m ./random-model --tokens 1,2,3 -n 8 --json");
  o->model.declare(cli);
  cli.option("-p,--prompt", o->prompt, "The prompt");
  cli.option("-f,--file", o->file, "A file that holds the prompt");
  cli.option("STDIN", o->dash, "- reads the prompt from standard input");
  cli.option("--tokens", o->tokens, "The prompt as token ids: 1,2,3");
  cli.flag("--chat", o->chat, "The prompt is a user's message: render the model's chat template around it");
  cli.option("--system", o->system, "With --chat: the system message");
  cli.option("-n,--max-tokens", o->max_tokens, "Most tokens to generate");
  cli.option("--completions", o->completions, "Number of completions of the same prompt");
  o->sampling.declare(cli);
  cli.option("--stop", o->stop, "Text that ends the answer; may be repeated");
  cli.option("--stop-token", o->stop_tokens, "Token id that ends the answer; may be repeated");
  cli.flag("--ignore-eos", o->ignore_eos, "Do not stop at the model's own end of text");
  cli.flag("--no-speculation", o->no_speculation, "Do not draft from what the text repeats (same result, for timing)");
  cli.option("--top-logprobs", o->top_logprobs, "With --json: this many likeliest tokens at each position");
  cli.flag("--echo", o->echo, "Print the prompt before the answer");
  cli.json(o->json);
  return [o] { return run(*o); };
}

}  // namespace sigma
