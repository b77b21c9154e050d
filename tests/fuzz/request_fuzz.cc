// Requests with any values, several at once, to an engine with a small model: each is refused with an Error or runs to
// its end within what it asked for, and gives the same alone and without drafting. Bytes beyond the input are zero.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <string_view>

#include "base/error.h"
#include "engine/engine.h"
#include "text/unicode.h"

namespace sigma {
namespace {

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }

  std::string_view take(size_t size) {
    const std::string_view part = rest_.substr(0, size);
    rest_.remove_prefix(part.size());
    return part;
  }
  template <class T>
  T number() {
    T value{};
    const std::string_view part = take(sizeof(T));
    std::memcpy(&value, part.data(), part.size());
    return value;
  }
  // Mostly a small number, so that many requests are good ones; now and then a very large one, or any at all.
  int64_t count() {
    using Limits = std::numeric_limits<int64_t>;
    const auto small = number<int8_t>();
    if (small == -128) return number<int64_t>();
    return small == -127 ? Limits::max() : small == -126 ? Limits::min() : small == -125 ? int64_t{1} << 31 : small;
  }
  double real(double fallback) {
    const auto tenths = number<int8_t>();
    if (tenths == std::numeric_limits<int8_t>::min()) return number<double>();
    return tenths == 0 ? fallback : tenths / 10.0;
  }
  TokenId token() { return static_cast<TokenId>(count()); }
  std::string text() { return std::string(take(number<uint8_t>() % 16)); }
  std::vector<TokenId> tokens(size_t most) {
    const auto size = number<uint8_t>();
    std::vector<TokenId> ids(size == 255 ? 150 : size % most);
    for (TokenId& id : ids) id = token();
    return ids;
  }

 private:
  std::string_view rest_;
};

Request read_request(Input& in) {
  Request r;
  r.prompt = in.tokens(24);
  r.max_tokens = in.count();
  r.completions = static_cast<int>(std::clamp<int64_t>(in.count(), -2, 2000));
  r.sampling.temperature = in.real(0);
  r.sampling.top_k = in.count();
  r.sampling.top_p = in.real(1);
  r.sampling.min_p = in.real(0);
  r.sampling.typical_p = in.real(1);
  r.sampling.repetition_penalty = in.real(1);
  r.sampling.presence_penalty = in.real(0);
  r.sampling.frequency_penalty = in.real(0);
  for (int i = in.number<uint8_t>() % 4; i > 0; --i) {
    const TokenId id = in.token();
    r.sampling.logit_bias.emplace_back(id, in.real(0));
  }
  r.sampling.seed = in.number<uint64_t>();
  for (int i = in.number<uint8_t>() % 4; i > 0; --i) r.stop.push_back(in.text());
  r.stop_tokens = in.tokens(4);
  r.top_logprobs = static_cast<int>(in.count());
  r.logprobs = in.number<uint8_t>() % 2 != 0;
  r.v_top = in.count();
  r.v_weights = in.number<uint8_t>() % 2 != 0 ? VWeights::kept : VWeights::all;
  return r;
}

// Tokens of whole characters, of pieces of characters, of several characters, of control tokens, and of nothing.
Tokenizer make_tokenizer(int vocab) {
  TokenizerSpec spec;
  for (int i = 0; i < vocab; ++i) {
    const auto letter = static_cast<char>('a' + i % 26);
    const auto byte = static_cast<char>(0x80 + i);
    spec.tokens.push_back(i < 26   ? std::string(1, letter)
                          : i < 52 ? "stop" + std::string(1, letter)
                                   : std::string(1, byte));
  }
  spec.specials = {{.id = 3, .text = spec.tokens[3]}, {.id = 4, .text = spec.tokens[4], .control = false}};
  return Tokenizer(std::move(spec));
}

struct Fixture {
  ThreadPool threads{1};
  const Kernels& kernels = cpu_kernels();
  Model model = load_model(std::string(SIGMA_TEST_DATA) + "/golden/all_together", kernels, threads);
  Tokenizer tokenizer = make_tokenizer(model.config.vocab);
  Engine engine() {
    return {kernels, threads, model, &tokenizer, {.cache = {.page_tokens = 5, .tokens = 140}, .batch_rows = 23}};
  }
};

struct Output {
  std::vector<TokenId> tokens;
  std::string text;
  FinishReason finish = FinishReason::none;
  bool operator==(const Output&) const = default;
};
using Outputs = std::map<std::pair<RequestId, int>, Output>;

void require(bool good) {
  if (!good) std::abort();
}

Outputs run(Engine& engine, int vocab) {
  Outputs outputs;
  while (!engine.idle()) {
    for (const Event& e : engine.step()) {
      Output& o = outputs[{e.request, e.completion}];
      require(o.finish == FinishReason::none);
      if (e.has_token) require(e.token >= 0 && e.token < vocab);
      if (e.has_token) o.tokens.push_back(e.token);
      o.text += e.text;
      o.finish = e.finish;
    }
  }
  return outputs;
}

void check(const Output& output, const Request& request) {
  require(output.finish == FinishReason::stop || output.finish == FinishReason::length);
  require(static_cast<int64_t>(output.tokens.size()) <= request.max_tokens);
  require(unicode::is_utf8(output.text));
  for (const std::string& stop : request.stop) require(stop.empty() || output.text.find(stop) == std::string::npos);
}

}  // namespace
}  // namespace sigma

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sigma;
  static Fixture fixture;
  Input input(std::string_view(reinterpret_cast<const char*>(data), size));
  Engine engine = fixture.engine();
  std::map<RequestId, Request> accepted;
  for (int i = 0; i < 3 && !input.empty(); ++i) {
    const Request request = read_request(input);
    try {
      accepted.emplace(engine.submit(request), request);
    } catch (const Error&) {  // an expected answer to most values
    }
  }
  const Outputs together = run(engine, fixture.model.config.vocab);
  for (auto& [id, request] : accepted) {
    for (int i = 0; i < request.completions; ++i) check(together.at({id, i}), request);
  }
  if (accepted.empty()) return 0;
  auto& [id, last] = *accepted.rbegin();
  last.speculate = false;
  Engine alone = fixture.engine();
  alone.submit(last);
  for (const auto& [key, output] : run(alone, fixture.model.config.vocab))
    require(output == together.at({id, key.second}));
  return 0;
}
