#include "apps/session.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "model/hub.h"
#include "text/chat_template.h"
#include "text/literal_text.h"

namespace sigma {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void ModelOptions::declare(Cli& cli, Cli::Need model_needed) {
  cli.option("-m,--model", model, "A folder, a .gguf file, or the name of a pulled model", model_needed);
  cli.threads(threads);
  cli.choice("--k-cache", k_cache, {"f32", "bf16", "f16", "q8"}, "Format of the K cache");
  cli.choice("--v-cache", v_cache, {"f32", "bf16", "f16", "q8"}, "Format of the V cache");
  cli.option("--v-top", v_top, "Selective V: fetch only the V rows of the K largest scores; 0: all");
  cli.flag("--v-renormalise", v_renormalise, "Selective V: renormalise the weights over the rows that are kept");
  cli.option("--page-tokens", page_tokens, "Tokens per cache page");
}

void SamplingOptions::declare(Cli& cli) {
  cli.option("--temperature", params.temperature, "0: greedy");
  cli.option("--top-k", params.top_k, "Sample from the k likeliest tokens; 0: all");
  cli.option("--top-p", params.top_p, "Sample from the fewest tokens with this much probability together");
  cli.option("--min-p", params.min_p, "Drop tokens below this share of the likeliest one's probability");
  cli.option("--typical", params.typical_p, "Sample from the tokens closest to the expected surprise");
  cli.option("--repetition-penalty", params.repetition_penalty, "Over prompt and output; 1: none");
  cli.option("--presence-penalty", params.presence_penalty, "Once for every token of the output");
  cli.option("--frequency-penalty", params.frequency_penalty, "For every occurrence in the output");
  cli.option("--logit-bias", logit_bias, "ID=BIAS: added to a token's logit; may be repeated");
  cli.option("--seed", seed, "Seed of the sampler; without it, a new one every time");
}

SamplingParams SamplingOptions::resolve() const {
  SamplingParams result = params;
  for (const std::string& entry : logit_bias) {
    const size_t equals = entry.find('=');
    const char* const begin = entry.data();
    const char* const end = begin + entry.size();
    TokenId id = 0;
    double bias = 0;
    const bool id_good =
        equals != std::string::npos && std::from_chars(begin, begin + equals, id).ptr == begin + equals;
    if (!id_good || std::from_chars(begin + equals + 1, end, bias).ptr != end || equals + 1 == entry.size())
      throw UsageError("--logit-bias", "ID=BIAS", printable(entry));
    result.logit_bias.emplace_back(id, bias);
  }
  result.seed = seed ? *seed : std::random_device()();
  return result;
}

Format cache_format(const std::string& name) { return name == "q8" ? Format::q8_0 : *format_from_name(name); }

Session::Session(const ModelOptions& options)
    : start(seconds_now()),
      name(options.model),
      threads(options.threads),
      kernels(cpu_kernels()),
      model(load_model(resolve_model(options.model), kernels, threads)),
      options_(options) {
  if (options.page_tokens < 1 || options.page_tokens > (1 << 20))
    throw UsageError("--page-tokens", "a whole number from 1 to 1048576", fmt::format("{}", options.page_tokens));
  if (options.v_top < 0) throw UsageError("--v-top", "a whole number >= 0", fmt::format("{}", options.v_top));
  if (std::optional<TokenizerSpec> spec = model.source.tokenizer()) tokenizer.emplace(std::move(*spec));
  load_seconds = seconds_now() - start;
}

EngineOptions Session::engine_options(int64_t tokens) const {
  EngineOptions result;
  result.cache = {.k_format = cache_format(options_.k_cache),
                  .v_format = cache_format(options_.v_cache),
                  .page_tokens = options_.page_tokens,
                  .tokens = tokens};
  return result;
}

const Tokenizer& Session::require_tokenizer() const {
  if (!tokenizer) throw Error(name, "a tokenizer (or token ids with --tokens)", "a model without one");
  return *tokenizer;
}

std::vector<TokenId> Session::stop_tokens() const {
  std::vector<TokenId> ids(model.config.eos.begin(), model.config.eos.end());
  if (tokenizer && tokenizer->spec().eos) ids.push_back(*tokenizer->spec().eos);
  return ids;
}

std::vector<TokenId> encode_chat(const Session& session, const Json& messages) {
  const Tokenizer& tokenizer = session.require_tokenizer();
  const TokenizerSpec& spec = tokenizer.spec();
  if (spec.chat_template.empty())
    throw Error(session.name, "a chat template (or a plain prompt)", "a model without one");
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? std::string(tokenizer.token_bytes(*id, Specials::parse)) : std::string();
  };
  const LiteralText literal(spec.specials, messages);
  const Json variables = {{"messages", literal.marked(messages)},
                          {"add_generation_prompt", true},
                          {"bos_token", text_of(spec.bos)},
                          {"eos_token", text_of(spec.eos)}};
  const std::string rendered = ChatTemplate(spec.chat_template, session.name + ": chat template").render(variables);
  const auto [text, breaks] = literal.unmark(rendered);
  return tokenizer.encode_prompt(text, Specials::parse, breaks);
}

void check_generation(Request& request, const Session& session) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t context = session.model.config.max_tokens;
  if (prompt > context)
    throw Error("prompt", fmt::format("at most {} tokens, the context of {}", context, session.name),
                fmt::format("{}", prompt));
  if (request.max_tokens < 0)
    throw UsageError("--max-tokens", "a whole number >= 0", fmt::format("{}", request.max_tokens));
  request.max_tokens = std::min(request.max_tokens, context - prompt);
}

int64_t cache_tokens(const Request& request, int page_tokens) {
  const int64_t pages = ceil_div(static_cast<int64_t>(request.prompt.size()) + request.max_tokens, page_tokens);
  return std::max(1, request.completions) * pages * page_tokens;
}

std::vector<TokenId> parse_token_list(const std::string& text) {
  std::vector<TokenId> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    TokenId id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    const bool separated = next == end || *next == ',' || *next == ' ' || *next == '\n';
    if (error != std::errc() || !separated)
      throw UsageError("--tokens", "token ids separated by commas", printable(std::string_view(at, end), 30));
    ids.push_back(id);
    at = next;
    while (at < end && (*at == ',' || *at == ' ' || *at == '\n')) ++at;
  }
  return ids;
}

std::string read_text(const std::string& path) {
  if (path != "-") return read_file(path);
  std::string text;
  char buffer[65536];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  return text;
}

void print_json(const Json& json) {
  std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace sigma
