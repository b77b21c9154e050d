// Generates text with the installed library: load a model, submit a request, print tokens as they come.
// usage: generate MODEL PROMPT [MAX_TOKENS]    MODEL: a folder, a .gguf file, or the name of a pulled model
#include <sigma/base/error.h>
#include <sigma/base/parallel.h>
#include <sigma/engine/engine.h>
#include <sigma/kernels/kernels.h>
#include <sigma/model/hub.h>
#include <sigma/model/model.h>

#include <cstdio>
#include <cstdlib>

namespace {

void generate(const char* name, const char* prompt, int64_t max_tokens) {
  // A model, and what it runs on: this CPU's kernels and a pool of threads.
  sigma::ThreadPool threads;
  const sigma::Kernels& kernels = sigma::cpu_kernels();
  const sigma::Model model = sigma::load_model(sigma::resolve_model(name), kernels, threads);
  const std::optional<sigma::TokenizerSpec> spec = model.source.tokenizer();
  if (!spec) throw sigma::Error(name, "a model with a tokenizer", "none");
  const sigma::Tokenizer tokenizer(*spec);

  // What to generate.
  sigma::Request request;
  request.prompt = tokenizer.encode_prompt(prompt, sigma::Specials::as_text);
  request.max_tokens = max_tokens;
  request.sampling = {.temperature = 0};  // greedy; {.temperature = 0.7, .top_p = 0.95, .seed = 1} samples
  if (tokenizer.spec().eos) request.stop_tokens = {*tokenizer.spec().eos};

  // An engine with a cache that holds this one request.
  const auto tokens = static_cast<int64_t>(request.prompt.size()) + max_tokens;
  const sigma::EngineOptions options = {.cache = {.tokens = tokens}};
  sigma::Engine engine(kernels, threads, model, &tokenizer, options);
  engine.submit(request);
  while (!engine.idle()) {
    for (const sigma::Event& event : engine.step()) {
      std::fputs(event.text.c_str(), stdout);
      std::fflush(stdout);
    }
  }
  std::putchar('\n');
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: generate MODEL PROMPT [MAX_TOKENS]\n");
    return 2;
  }
  try {
    generate(argv[1], argv[2], argc > 3 ? std::atoll(argv[3]) : 64);
  } catch (const sigma::Error& e) {
    std::fprintf(stderr, "generate: %s\n", e.what());
    return 1;
  }
  return 0;
}
