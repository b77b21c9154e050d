// The engine: requests in, events out. Continuous batching over one paged cache; threads, files and HTTP live outside.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/sampler.h"
#include "engine/text_stream.h"
#include "model/forward.h"

namespace sigma {

using RequestId = int64_t;

struct Request {
  std::vector<TokenId> prompt;  // at least one token
  int64_t max_tokens = 128;     // of each completion
  int completions = 1;          // share the prompt's pages; completion i samples with stream i of the seed
  SamplingParams sampling;
  std::vector<std::string> stop;     // UTF-8; the text ends before the first of these
  std::vector<TokenId> stop_tokens;  // the completion ends with one of these (end of sequence)
  bool logprobs = false;             // report the log-probability of each token,
  int top_logprobs = 0;              // and of this many of the likeliest ones
  int64_t v_top = 0;                 // selective V; 0: all
  VWeights v_weights = VWeights::all;
  bool speculate = true;  // draft from what the text repeats; the result is the same
};

enum class FinishReason : uint8_t { none, stop, length, cancelled };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", ...

// One token of one completion.
struct Event {
  RequestId request = 0;
  int completion = 0;
  TokenId token = 0;
  std::string text = {};  // what became visible with it; may be empty, may be several characters
  float logprob = 0;      // natural log, before temperature and penalties; 0 unless asked for
  std::vector<TokenLogprob> top = {};
  FinishReason finish = FinishReason::none;
  bool has_token = true;  // false: only the end is told (cancelled)
};

struct EngineOptions {
  CacheOptions cache;        // cache.tokens: what all requests together may hold
  int64_t batch_rows = 512;  // most rows of one step; longer prompts are cut into chunks (same results)
};

class Engine {
 public:
  // tokenizer may be null: events then carry no text. Everything passed must outlive the engine.
  Engine(const Kernels& kernels, ThreadPool& threads, const Model& model, const Tokenizer* tokenizer,
         const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Error when the request can never run: empty or too long prompt, unknown tokens, senseless sampling values.
  RequestId submit(Request request);
  void cancel(RequestId id);  // its completions end with one event each in the next step; unknown ids are ignored
  bool idle() const;
  // One forward pass over everything that can run: a token for each decoding completion, a chunk for waiting prompts.
  // The events stay valid until the next step.
  std::span<const Event> step();

  // Prompt tokens computed and tokens decoded so far, and the time the passes took; a pass with any prompt chunk counts
  // as prefill. drafted: tokens proposed by speculation; accepted: those that were right.
  struct Times {
    int64_t prefill_tokens = 0, decode_tokens = 0;
    double prefill_seconds = 0, decode_seconds = 0;
    int64_t drafted = 0, accepted = 0;
  };
  const Times& times() const { return times_; }

 private:
  struct Sequence;
  struct Running;
  struct Step;
  void admit();
  int64_t pages_needed(const Request& request) const;
  void plan(Step& step);
  void plan_decode(Step& step, Running& running, Sequence& sequence);
  void verify(Running& running, Sequence& sequence, const ConstTensorView& logits, int64_t row, int64_t rows);
  void sample_rows(const Step& step, const ConstTensorView& logits);
  void start_completions(Running& running, std::span<const float> logits);
  void accept(Running& running, Sequence& sequence, std::span<const float> logits);
  void finish(Sequence& sequence, FinishReason reason);
  void grow(Sequence& sequence, int64_t tokens);
  void remove_finished();

  const Kernels& kernels_;
  ThreadPool& threads_;
  const Model& model_;
  const Tokenizer* tokenizer_;
  EngineOptions options_;
  KvCache cache_;
  Workspace workspace_;
  RequestId next_id_ = 1;
  std::deque<std::unique_ptr<Running>> waiting_;
  std::vector<std::unique_ptr<Running>> running_;
  int64_t reserved_pages_ = 0;
  std::vector<Event> events_;
  Times times_;
};

}  // namespace sigma
