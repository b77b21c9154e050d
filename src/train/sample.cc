#include "train/sample.h"

#include "base/error.h"
#include "engine/engine.h"

namespace sigma {

std::string sample_text(const std::string& path, const std::string& prompt, int64_t tokens, uint64_t seed,
                        ThreadPool& threads) {
  const Kernels& kernels = cpu_kernels();
  const Model model = load_model(path, kernels, threads);
  std::optional<TokenizerSpec> spec = model.source.tokenizer();
  if (!spec) throw Error(path, "a tokenizer", "a model without one");
  const Tokenizer tokenizer(std::move(*spec));
  constexpr int kPage = 64;
  Request request;
  request.prompt = tokenizer.encode_prompt(prompt, Specials::as_text);
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length == 0 || length >= model.config.max_tokens)
    throw Error("samples", fmt::format("prompts of 1 to {} tokens", model.config.max_tokens - 1),
                fmt::format("one of {}", length));
  request.max_tokens = std::min<int64_t>(tokens, model.config.max_tokens - length);
  request.sampling.temperature = 0.8;
  request.sampling.seed = seed;
  request.stop_tokens.assign(model.config.eos.begin(), model.config.eos.end());
  const EngineOptions options{
      .cache = {.page_tokens = kPage, .tokens = round_up(length + request.max_tokens, kPage) + kPage}};
  Engine engine(kernels, threads, model, &tokenizer, options);
  engine.submit(request);
  std::string text;
  while (!engine.idle())
    for (const Event& event : engine.step()) text += event.text;
  return text;
}

}  // namespace sigma
