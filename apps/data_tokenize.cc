// sigma data tokenize: text and JSONL files to a shard of tokens.
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/progress.h"
#include "data/tokenize.h"
#include "model/checkpoint.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::vector<std::string> inputs;
  std::string model, output, format = "auto", type = "auto";
  std::optional<std::string> end;
  bool no_end = false, json = false;
  int threads = 0;
};

std::optional<TokenId> end_of_document(const Options& o, const Tokenizer& tokenizer) {
  if (o.no_end) return std::nullopt;
  const std::optional<TokenId> id = o.end ? tokenizer.find(*o.end) : tokenizer.spec().eos;
  if (id) return id;
  if (o.end) throw Error("--end", "a token of " + o.model, "\"" + printable(*o.end) + "\"");
  throw Error(o.model, "an end-of-sequence token (or --end TOKEN, or --no-end)", "none");
}

TokenType type_of(const Options& o, const Tokenizer& tokenizer) {
  const int vocab = tokenizer.vocab_size();
  const TokenType type = o.type == "u16" ? TokenType::u16 : o.type == "i32" ? TokenType::i32 : token_type_for(vocab);
  if (vocab > token_type_limit(type))
    throw Error("--type", fmt::format("one that holds the {} tokens of {}", vocab, o.model), o.type);
  return type;
}

// Bytes of the files as they lie on disk; 0 when that is not known, or not what will be read.
uint64_t plain_bytes(const std::vector<std::string>& files) {
  uint64_t bytes = 0;
  for (const std::string& file : files) {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(file, error);
    const std::string extension = std::filesystem::path(file).extension().string();
    if (error || extension == ".zst" || extension == ".gz" || extension == ".xz" || extension == ".bz2") return 0;
    bytes += size;
  }
  return bytes;
}

int run(const Options& o) {
  const double start = seconds_now();
  const Tokenizer tokenizer(load_tokenizer_spec(resolve_model(o.model)));
  const TokenizeOptions options{
      .files = files_of(o.inputs),
      .format = text_format(o.format),
      .end = end_of_document(o, tokenizer),
  };
  const TokenType type = type_of(o, tokenizer);
  ThreadPool threads(o.threads);
  ShardWriter shard(o.output, type);
  TokenizeCounts counts;
  {
    Progress progress("tokenize", plain_bytes(options.files), "B");
    counts = tokenize_documents(shard, tokenizer, threads, options,
                                [&](const TokenizeCounts& so_far) { progress.update(so_far.bytes); });
  }
  if (counts.documents == 0)
    throw Error(options.files.front(), "a document that is not empty", fmt::format("{} empty ones", counts.empty));
  const Vocabulary vocabulary = vocabulary_of(tokenizer.spec(), o.model);
  shard.commit(&vocabulary);
  const double seconds = seconds_now() - start;
  if (o.json) {
    print_json({{"output", o.output},
                {"type", token_type_name(type)},
                {"files", counts.files},
                {"bytes", counts.bytes},
                {"documents", counts.documents},
                {"empty", counts.empty},
                {"tokens", counts.tokens},
                {"seconds", seconds}});
  } else {
    std::printf("%s: %llu tokens (%s) in %llu documents from %llu files, %.1f MB, %.1f s, %.1f MB/s%s\n",
                o.output.c_str(), static_cast<unsigned long long>(counts.tokens), token_type_name(type),
                static_cast<unsigned long long>(counts.documents), static_cast<unsigned long long>(counts.files),
                static_cast<double>(counts.bytes) / 1e6, seconds, static_cast<double>(counts.bytes) / 1e6 / seconds,
                counts.empty > 0 ? fmt::format("; {} empty documents left out", counts.empty).c_str() : "");
  }
  return 0;
}

}  // namespace

Run data_tokenize_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary(
      "Text or JSONL files to a shard of tokens: PREFIX.bin and PREFIX.idx, as Megatron has them, and "
      "PREFIX.vocab.json");
  cli.example("sigma data tokenize corpus.jsonl.zst -m smollm2 -o shards/corpus");
  cli.example("sigma data tokenize pages/ -m tokenizer-folder -o shards/pages --end '<|endoftext|>'");
  cli.example("zcat dump.gz | sigma data tokenize - --format jsonl -m smollm2 -o shards/dump --json");
  cli.option("INPUT", o->inputs,
             "Files, or folders of them; plain or compressed (zst, gz, xz, bz2); - is standard input. A JSONL file has "
             "a document a line, its \"text\"; of any other each is one document");
  cli.option("-m,--model", o->model, "A model, or a folder with just a tokenizer.json", Cli::Need::required);
  cli.option("-o,--output", o->output, "The shard's PREFIX", Cli::Need::required);
  cli.choice("--format", o->format, {"auto", "text", "jsonl"}, "What the files are; auto: .jsonl and .json are JSONL");
  cli.option("--end", o->end, "The token behind every document; without it the tokenizer's end of sequence");
  cli.flag("--no-end", o->no_end, "No token behind documents");
  cli.choice("--type", o->type, {"auto", "u16", "i32"}, "How tokens are stored; auto: the smallest that holds them");
  cli.threads(o->threads);
  cli.json(o->json);
  return [o] {
    if (o->inputs.empty()) throw UsageError("sigma data tokenize", "files to read", "none");
    return run(*o);
  };
}

}  // namespace sigma
