// What the commands that run a model share: its options, and the model with everything it needs, ready to run.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/cli.h"
#include "base/json.h"
#include "engine/engine.h"

namespace sigma {

struct ModelOptions {
  std::string model;
  int threads = 0;
  std::string k_cache = "bf16", v_cache = "bf16";
  int64_t v_top = 0;
  bool v_renormalise = false;
  int page_tokens = 256;

  void declare(Cli& cli, Cli::Need model_needed = Cli::Need::required);
};

// A cache format by the name the command line has for it.
Format cache_format(const std::string& name);

struct SamplingOptions {
  SamplingParams params;
  std::vector<std::string> logit_bias;  // "ID=BIAS"
  std::optional<uint64_t> seed;

  void declare(Cli& cli);
  // The parsed parameters; without a seed, one from the system.
  SamplingParams resolve() const;
};

// A loaded model. Members refer to each other: not movable.
struct Session {
  explicit Session(const ModelOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  double start;      // seconds_now() at the start of loading
  std::string name;  // as the user wrote it
  ThreadPool threads;
  const Kernels& kernels;
  Model model;
  std::optional<Tokenizer> tokenizer;
  double load_seconds = 0;

  // tokens: what the cache must hold.
  EngineOptions engine_options(int64_t tokens) const;
  const Tokenizer& require_tokenizer() const;
  // What ends an answer: the end-of-sequence ids of the configuration and of the tokenizer.
  std::vector<TokenId> stop_tokens() const;

 private:
  ModelOptions options_;
};

// The chat template rendered over the messages [{role, content}], and its tokens. Error when the model has no template.
std::vector<TokenId> encode_chat(const Session& session, const Json& messages);

// Cuts max_tokens to the model's context; Error when the prompt alone is longer, or holds unknown tokens.
void check_generation(Request& request, const Session& session);
// Tokens of cache that a request needs, whole pages for every completion.
int64_t cache_tokens(const Request& request, int page_tokens);

// "1,2,3" -> ids. Error names the piece that is not a number.
std::vector<TokenId> parse_token_list(const std::string& text);
// The whole of a file, or of standard input for "-".
std::string read_text(const std::string& path);
double seconds_now();  // monotonic
void print_json(const Json& json);

}  // namespace sigma
