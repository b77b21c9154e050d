// sigma inspect: what a model is and what it costs, read from its files without loading the weights.
#include <cstdio>

#include "apps/commands.h"
#include "apps/inspect_cost.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/json.h"
#include "model/hub.h"
#include "text/pretokenizer.h"

namespace sigma {

namespace {

struct Options {
  std::string model, k_cache = "bf16", v_cache = "bf16";
  bool tensors = false, cost = false, json = false;
  int64_t context = 0, batch = 1, v_top = 0;
};

const char* key_rope_name(KeyRope rope) {
  return rope == KeyRope::full ? "full" : rope == KeyRope::key_dim ? "key_dim" : "after_expansion";
}

Json parameters_json(const ParameterCount& n) {
  return {{"embedding", n.embedding},
          {"head", n.head},
          {"attention", n.attention},
          {"augmented_query", n.augmented_q},
          {"ffn", n.ffn},
          {"norms", n.norms},
          {"total", n.total()},
          {"without_augmented_query", n.total() - n.augmented_q},
          {"without_embeddings", n.total() - n.embedding - n.head}};
}

// Of one sequence: its new token's rows are what --k-cache and --v-cache make of them.
CostCase cost_case(const ModelConfig& c, const Options& o) {
  return {.context = o.context > 0 ? o.context : std::min(c.max_tokens, 32768),
          .k_format = cache_format(o.k_cache),
          .v_format = cache_format(o.v_cache),
          .v_top = o.v_top};
}

Json describe(const Checkpoint& checkpoint, const Options& o) {
  const ModelConfig& c = checkpoint.config();
  const ParameterCount n = count_parameters(c);
  Json j = {{"model", o.model}, {"path", checkpoint.path()}, {"kind", checkpoint.kind()}, {"config", config_to_hf(c)}};
  j["parameters"] = parameters_json(n);
  const StepCost step = step_cost(c, {}, cost_case(c, o));
  const auto k_bytes = static_cast<int64_t>(step.k.bytes_stored), v_bytes = static_cast<int64_t>(step.v.bytes_stored);
  j["cache_bytes_per_token"] = {
      {"k", k_bytes}, {"v", v_bytes}, {"total", k_bytes + v_bytes}, {"k_format", o.k_cache}, {"v_format", o.v_cache}};
  int64_t weight_bytes = 0;
  Json list = Json::array();
  for (const WeightSpec& spec : weight_specs(c)) {
    const SourceTensor& t = checkpoint.tensor(spec);
    weight_bytes += static_cast<int64_t>(t.bytes.size());
    list.push_back(
        {{"name", spec.name}, {"shape", t.shape}, {"format", format_info(t.format).name}, {"bytes", t.bytes.size()}});
  }
  j["weight_bytes"] = weight_bytes;
  j["tensors"] = std::move(list);
  j["tokenizer"] = nullptr;
  if (const std::optional<TokenizerSpec> spec = checkpoint.tokenizer())
    j["tokenizer"] = {{"tokens", spec->tokens.size()},
                      {"merges", spec->merges.size()},
                      {"special_tokens", spec->specials.size()},
                      {"pre_tokenizer", pre_tokenizer_name(spec->pre)},
                      {"bos", spec->bos ? Json(*spec->bos) : Json(nullptr)},
                      {"eos", spec->eos ? Json(*spec->eos) : Json(nullptr)},
                      {"adds_bos", spec->add_bos},
                      {"chat_template", !spec->chat_template.empty()}};
  if (o.cost) {
    CostCase whole = cost_case(c, o);
    whole.batch = o.batch;
    j["cost"] = cost_json(checkpoint, whole);
  }
  return j;
}

std::string grouped(int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

void print(const Json& j, const ModelConfig& c, bool tensors) {
  const AttentionShape& a = c.attn;
  const auto line = [](const char* name, const std::string& value) { std::printf("%-22s %s\n", name, value.c_str()); };
  line("model", j["path"].get<std::string>());
  line("family", fmt::format("{} ({})", c.family, j["kind"].get<std::string>()));
  line("layers", fmt::format("{}, hidden {}, FFN {}", c.layers, c.dim, c.ffn_dim));
  line("heads Q / K / V", fmt::format("{} / {} / {}", a.q_heads, a.k_heads, a.v_heads));
  line("head dims Q / K / V", fmt::format("{} / {} / {}", a.q_dim, a.k_dim, a.v_dim));
  line("augmented query", a.aug_dim > 0 ? fmt::format("{} wide", a.aug_dim) : "none");
  if (a.key_rope != KeyRope::full) line("half-dim K", key_rope_name(a.key_rope));
  line("context", grouped(c.max_tokens));
  line("vocabulary", fmt::format("{}{}", grouped(c.vocab), c.tied ? ", tied" : ""));
  std::puts("parameters");
  for (const auto& [name, value] : j["parameters"].items())
    std::printf("  %-24s %16s\n", name.c_str(), grouped(value.get<int64_t>()).c_str());
  line("weights in the file", grouped(j["weight_bytes"].get<int64_t>()) + " bytes");
  const Json& cache = j["cache_bytes_per_token"];
  line("cache per token", fmt::format("{} bytes (K {} as {}, V {} as {})", grouped(cache["total"].get<int64_t>()),
                                      grouped(cache["k"].get<int64_t>()), cache["k_format"].get<std::string>(),
                                      grouped(cache["v"].get<int64_t>()), cache["v_format"].get<std::string>()));
  const Json& t = j["tokenizer"];
  line("tokenizer", t.is_null() ? "none"
                                : fmt::format("{} tokens, {} merges, {} special, {} pre-tokenizer, {}chat template",
                                              grouped(t["tokens"].get<int64_t>()), grouped(t["merges"].get<int64_t>()),
                                              t["special_tokens"].get<int64_t>(), t["pre_tokenizer"].get<std::string>(),
                                              t["chat_template"].get<bool>() ? "" : "no "));
  if (j.contains("cost")) print_cost(j["cost"]);
  if (!tensors) return;
  std::puts("tensors");
  for (const Json& tensor : j["tensors"])
    std::printf("  %-52s %-16s %-6s %s\n", tensor["name"].get<std::string>().c_str(), tensor["shape"].dump().c_str(),
                tensor["format"].get<std::string>().c_str(), grouped(tensor["bytes"].get<int64_t>()).c_str());
}

int run(const Options& o) {
  const Checkpoint checkpoint = Checkpoint::open(resolve_model(o.model));
  checkpoint.refuse_unknown_tensors();
  const Json j = describe(checkpoint, o);
  if (o.json) {
    print_json(j);
  } else {
    print(j, checkpoint.config(), o.tensors);
  }
  return 0;
}

}  // namespace

Run inspect_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Show a model's configuration, parameters per part, cache size, tensors and tokenizer");
  cli.example("sigma inspect smollm2");
  cli.example("sigma inspect ./sigma-1.5b --k-cache q8 --tensors");
  cli.example("sigma inspect ./sigma-1.5b --cost --context 65536 --batch 8 --v-top 100");
  cli.option("MODEL", o->model, "A folder, a .gguf file, or the name of a pulled model", Cli::Need::required);
  cli.choice("--k-cache", o->k_cache, {"f32", "bf16", "f16", "q8"}, "Format of the K cache");
  cli.choice("--v-cache", o->v_cache, {"f32", "bf16", "f16", "q8"}, "Format of the V cache");
  cli.flag("--tensors", o->tensors, "List every tensor");
  cli.flag("--cost", o->cost, "What a decode step stores, reads and computes, and how long that takes here at least");
  cli.option("--context", o->context, "--cost: tokens of context; 0: the model's, at most 32768");
  cli.option("--batch", o->batch, "--cost: sequences decoded together");
  cli.option("--v-top", o->v_top, "--cost: V rows fetched per query head; 0: all");
  cli.json(o->json);
  return [o] {
    const auto at_least = [](const char* name, int64_t value, int64_t least) {
      if (value < least || value > 1 << 24)
        throw UsageError(name, fmt::format("a whole number from {} to {}", least, 1 << 24), fmt::format("{}", value));
    };
    at_least("--context", o->context, 0);
    at_least("--batch", o->batch, 1);
    at_least("--v-top", o->v_top, 0);
    return run(*o);
  };
}

}  // namespace sigma
