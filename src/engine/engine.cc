#include "engine/engine.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "engine/speculation.h"
#include "text/unicode.h"

namespace sigma {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::none:
      return "none";
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "none";
}

// One completion: its output so far and the pages it holds.
struct Engine::Sequence {
  RequestId request;
  int completion;
  Sampler sampler;
  TextStream text;
  std::vector<PageId> pages;
  int64_t cached = 0;  // tokens whose K and V are stored
  std::vector<TokenId> output;
  NgramDraft draft;  // of prompt and output
  FinishReason finish = FinishReason::none;
};

struct Engine::Running {
  RequestId id;
  Request request;
  int64_t reserved = 0;  // pages set aside for it
  bool cancelled = false;
  std::vector<Sequence> sequences;  // the first alone until the prompt is cached, then all
  bool prompt_done() const { return sequences[0].cached >= static_cast<int64_t>(request.prompt.size()); }
};

// The batch of one step, and whose row is where.
struct Engine::Step {
  struct Target {
    Running* running;
    Sequence* sequence;
    int64_t rows;
    int64_t logit_rows;  // how many of the last rows: all of a decoding sequence, one at the end of a prompt, or none
    bool prompt;
  };
  std::vector<TokenId> tokens;
  std::vector<SeqSlice> seqs;
  std::vector<int32_t> logit_rows;
  std::vector<Target> targets;  // one per slice
  void add(Target target, std::span<const TokenId> row_tokens);
  int64_t v_top = 0;
  VWeights v_weights = VWeights::all;
  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
};

void Engine::Step::add(Target target, std::span<const TokenId> row_tokens) {
  seqs.push_back({rows(), target.rows, target.sequence->cached, target.sequence->pages});
  tokens.insert(tokens.end(), row_tokens.begin(), row_tokens.end());
  for (int64_t i = rows() - target.logit_rows; i < rows(); ++i) logit_rows.push_back(static_cast<int32_t>(i));
  targets.push_back(target);
}

Engine::Engine(const Kernels& kernels, ThreadPool& threads, const Model& model, const Tokenizer* tokenizer,
               const EngineOptions& options)
    : kernels_(kernels),
      threads_(threads),
      model_(model),
      tokenizer_(tokenizer),
      options_(options),
      cache_(kernels, model.config, options.cache) {}

Engine::~Engine() = default;

// Full pages of the prompt are shared; each completion owns what it writes.
int64_t Engine::pages_needed(const Request& r) const {
  const int64_t page = cache_.page_tokens(), prompt = static_cast<int64_t>(r.prompt.size());
  const int64_t length = prompt + std::min<int64_t>(r.max_tokens, model_.config.max_tokens - prompt);
  const int64_t shared = prompt / page;
  return shared + r.completions * (ceil_div(length, page) - shared);
}

RequestId Engine::submit(Request request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const ModelConfig& config = model_.config;
  if (prompt == 0) throw Error("prompt", "at least one token", "none");
  if (prompt > config.max_tokens)
    throw Error("prompt", fmt::format("at most {} tokens (the model's context)", config.max_tokens),
                fmt::format("{}", prompt));
  for (const TokenId id : request.prompt)
    if (id < 0 || id >= config.vocab)
      throw Error("prompt", fmt::format("token ids from 0 to {}", config.vocab - 1), fmt::format("{}", id));
  if (request.max_tokens < 0) throw Error("max_tokens", "a whole number >= 0", fmt::format("{}", request.max_tokens));
  if (request.completions < 1 || request.completions > 1024)
    throw Error("completions", "a whole number from 1 to 1024", fmt::format("{}", request.completions));
  if (request.top_logprobs < 0)
    throw Error("top_logprobs", "a whole number >= 0", fmt::format("{}", request.top_logprobs));
  if (request.v_top < 0) throw Error("v_top", "a whole number >= 0", fmt::format("{}", request.v_top));
  for (const std::string& stop : request.stop)
    if (!unicode::is_utf8(stop)) throw Error("stop", "text in UTF-8", "\"" + printable(stop) + "\"");
  request.sampling.validate(config.vocab);
  if (pages_needed(request) > cache_.total_pages())
    throw Error("request",
                fmt::format("at most {} tokens (the cache's capacity)", cache_.total_pages() * cache_.page_tokens()),
                fmt::format("{} of prompt and {} x {} of output", prompt, request.completions, request.max_tokens));
  auto running = std::make_unique<Running>();
  running->id = next_id_++;
  running->request = std::move(request);
  waiting_.push_back(std::move(running));
  return waiting_.back()->id;
}

void Engine::cancel(RequestId id) {
  for (auto& r : waiting_)
    if (r->id == id) r->cancelled = true;
  for (auto& r : running_)
    if (r->id == id) r->cancelled = true;
}

bool Engine::idle() const { return waiting_.empty() && running_.empty(); }

void Engine::admit() {
  while (!waiting_.empty()) {
    Running& next = *waiting_.front();
    next.reserved = pages_needed(next.request);
    if (reserved_pages_ + next.reserved > cache_.total_pages()) return;
    reserved_pages_ += next.reserved;
    next.sequences.reserve(static_cast<size_t>(next.request.completions));  // steps point into it
    next.sequences.push_back(
        {next.id, 0, Sampler(next.request.sampling, 0), TextStream(next.request.stop), {}, 0, {}, {}});
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Makes sure that positions [0, tokens) have pages, and that the last one is this sequence's alone.
void Engine::grow(Sequence& s, int64_t tokens) {
  while (static_cast<int64_t>(s.pages.size()) * cache_.page_tokens() < tokens) {
    const std::optional<PageId> page = cache_.allocate();
    SIGMA_CHECK(page.has_value());  // reserved at admission
    s.pages.push_back(*page);
  }
}

// The last token, and behind it what is likely to follow.
void Engine::plan_decode(Step& step, Running& r, Sequence& s) {
  constexpr int64_t kMaxRows = 16;  // more rows than this cost more than the bytes of the weights
  const auto prompt = static_cast<int64_t>(r.request.prompt.size());
  const int64_t most = std::min<int64_t>(r.request.max_tokens, model_.config.max_tokens - prompt);
  const int64_t left = most - static_cast<int64_t>(s.output.size());
  std::vector<TokenId> tokens = {s.output.back()};
  if (r.request.speculate) {
    const int64_t room = std::min(kMaxRows, options_.batch_rows) - step.rows();
    const std::span<const TokenId> draft = s.draft.draft(std::min(room, left) - 1);
    tokens.insert(tokens.end(), draft.begin(), draft.end());
  }
  const auto rows = static_cast<int64_t>(tokens.size());
  grow(s, s.cached + rows);
  step.add({&r, &s, rows, rows, false}, tokens);
}

// Decoding sequences first; then prompts in order of arrival, in what room is left. Requests with another v_top wait
// for a step of their own.
void Engine::plan(Step& step) {
  bool first = true;
  const auto fits = [&](const Request& r) {
    if (first) step.v_top = r.v_top, step.v_weights = r.v_weights;
    first = false;
    return r.v_top == step.v_top && r.v_weights == step.v_weights;
  };
  for (auto& r : running_) {
    if (!r->prompt_done() || step.rows() >= options_.batch_rows || !fits(r->request)) continue;
    for (Sequence& s : r->sequences)
      if (s.finish == FinishReason::none && step.rows() < options_.batch_rows) plan_decode(step, *r, s);
  }
  for (auto& r : running_) {
    if (r->prompt_done() || step.rows() >= options_.batch_rows || !fits(r->request)) continue;
    Sequence& s = r->sequences[0];
    const int64_t left = static_cast<int64_t>(r->request.prompt.size()) - s.cached;
    const int64_t rows = std::min(left, options_.batch_rows - step.rows());
    grow(s, s.cached + rows);
    step.add({r.get(), &s, rows, rows == left ? 1 : 0, true},
             std::span(r->request.prompt).subspan(static_cast<size_t>(s.cached), static_cast<size_t>(rows)));
  }
}

std::span<const Event> Engine::step() {
  events_.clear();
  for (auto& r : waiting_)
    if (r->cancelled) events_.push_back({.request = r->id, .finish = FinishReason::cancelled, .has_token = false});
  std::erase_if(waiting_, [](const auto& r) { return r->cancelled; });
  admit();
  for (auto& r : running_) {
    if (!r->cancelled) continue;
    for (Sequence& s : r->sequences) {
      if (s.finish != FinishReason::none) continue;
      finish(s, FinishReason::cancelled);
      events_.push_back({.request = r->id, .completion = s.completion, .finish = s.finish, .has_token = false});
    }
  }
  remove_finished();
  Step step;
  plan(step);
  if (step.rows() == 0) return events_;

  const auto start = std::chrono::steady_clock::now();
  const ConstTensorView logits = forward(kernels_, threads_, model_, cache_, workspace_,
                                         {.tokens = step.tokens,
                                          .seqs = step.seqs,
                                          .logit_rows = step.logit_rows,
                                          .v_top = step.v_top,
                                          .v_weights = step.v_weights});
  sample_rows(step, logits);
  remove_finished();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool prefill = std::any_of(step.targets.begin(), step.targets.end(), [](const auto& t) { return t.prompt; });
  (prefill ? times_.prefill_seconds : times_.decode_seconds) += seconds;
  return events_;
}

void Engine::sample_rows(const Step& step, const ConstTensorView& logits) {
  int64_t row = 0;
  for (const Step::Target& target : step.targets) {
    if (target.prompt) {
      target.sequence->cached += target.rows;
      times_.prefill_tokens += target.rows;
      if (target.logit_rows > 0)
        start_completions(*target.running, {logits.row<float>(row), static_cast<size_t>(logits.cols)});
    } else {
      verify(*target.running, *target.sequence, logits, row, target.rows);
    }
    row += target.logit_rows;
  }
}

// Row i has the logits after i drafted tokens: it counts while the tokens sampled so far are the drafted ones. What was
// stored for the others is overwritten by what comes next.
void Engine::verify(Running& r, Sequence& s, const ConstTensorView& logits, int64_t row, int64_t rows) {
  const std::span<const TokenId> span = s.draft.draft(rows - 1);
  const std::vector<TokenId> drafted(span.begin(), span.end());
  int64_t accepted = 0;
  for (int64_t i = 0; i < rows && s.finish == FinishReason::none; ++i) {
    ++s.cached;
    ++times_.decode_tokens;
    accept(r, s, {logits.row<float>(row + i), static_cast<size_t>(logits.cols)});
    if (i + 1 == rows || s.output.back() != drafted[static_cast<size_t>(i)]) break;
    ++accepted;
  }
  if (rows == 1) return;
  s.draft.learn(rows - 1, accepted);
  times_.drafted += rows - 1;
  times_.accepted += accepted;
}

// The prompt is cached: the other completions join, sharing its full pages and copying the last, partial one.
void Engine::start_completions(Running& r, std::span<const float> logits) {
  const Request& request = r.request;
  if (request.speculate)
    for (const TokenId token : request.prompt) r.sequences[0].draft.append(token);
  const auto full_pages = static_cast<size_t>(static_cast<int64_t>(request.prompt.size()) / cache_.page_tokens());
  for (int i = 1; i < request.completions; ++i) {
    const Sequence& first = r.sequences[0];
    Sequence s{r.id,
               i,
               Sampler(request.sampling, static_cast<uint64_t>(i)),
               TextStream(request.stop),
               {},
               first.cached,
               {},
               first.draft};
    for (size_t page = 0; page < first.pages.size(); ++page) {
      if (page < full_pages) {
        cache_.retain(first.pages[page]);
        s.pages.push_back(first.pages[page]);
      } else {
        grow(s, static_cast<int64_t>(page + 1) * cache_.page_tokens());
        cache_.copy_page(first.pages[page], s.pages.back());
      }
    }
    r.sequences.push_back(std::move(s));
  }
  for (Sequence& s : r.sequences) {
    if (request.max_tokens > 0) {
      accept(r, s, logits);
    } else {
      finish(s, FinishReason::length);
      events_.push_back({.request = r.id, .completion = s.completion, .finish = s.finish, .has_token = false});
    }
  }
}

void Engine::accept(Running& r, Sequence& s, std::span<const float> logits) {
  const Request& request = r.request;
  const TokenId token = s.sampler.sample(logits, request.prompt, s.output);
  s.output.push_back(token);
  if (request.speculate) s.draft.append(token);
  Event event{.request = r.id, .completion = s.completion, .token = token};
  if (request.logprobs) event.logprob = token_logprob(logits, token);
  if (request.top_logprobs > 0) event.top = top_logprobs(logits, request.top_logprobs);
  const bool end =
      std::find(request.stop_tokens.begin(), request.stop_tokens.end(), token) != request.stop_tokens.end();
  if (!end && tokenizer_ != nullptr) event.text = s.text.push(tokenizer_->token_bytes(token));
  const auto length = static_cast<int64_t>(request.prompt.size() + s.output.size());
  if (end || s.text.stopped()) {
    finish(s, FinishReason::stop);
  } else if (static_cast<int64_t>(s.output.size()) >= request.max_tokens || length >= model_.config.max_tokens) {
    finish(s, FinishReason::length);
  }
  if (s.finish != FinishReason::none) event.text += s.text.finish();
  event.finish = s.finish;
  events_.push_back(std::move(event));
}

void Engine::finish(Sequence& s, FinishReason reason) {
  s.finish = reason;
  for (const PageId page : s.pages) cache_.release(page);
  s.pages.clear();
}

void Engine::remove_finished() {
  std::erase_if(running_, [&](const auto& r) {
    const bool done = std::all_of(r->sequences.begin(), r->sequences.end(),
                                  [](const Sequence& s) { return s.finish != FinishReason::none; });
    if (!done) return false;
    reserved_pages_ -= r->reserved;
    return true;
  });
}

}  // namespace sigma
