// sigma tokenizer train: a byte-level BPE tokenizer from text.
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "base/progress.h"
#include "data/train_tokenizer.h"
#include "formats/tokenizer_json.h"
#include "text/bpe_trainer.h"

namespace sigma {

namespace {

struct Options {
  std::vector<std::string> inputs, specials;
  std::string output, pre = "llama3", format = "auto", end = "<|endoftext|>";
  int64_t vocab = 32000;
  uint64_t least = 2;
  int threads = 0;
  bool json = false;
};

PreTokenizer pre_tokenizer(const std::string& name) {
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2}) {
    if (name == pre_tokenizer_name(pre)) return pre;
  }
  SIGMA_CHECK(false);
}

int run(const Options& o) {
  if (o.vocab < 1000 || o.vocab > 131072)
    throw UsageError("--vocab", "1000 to 131072 tokens", fmt::format("{}", o.vocab));
  const double start = seconds_now();
  BpeTraining training{.vocab = o.vocab, .least = o.least, .specials = {o.end}, .pre = pre_tokenizer(o.pre)};
  training.specials.insert(training.specials.end(), o.specials.begin(), o.specials.end());
  const std::vector<std::string> files = files_of(o.inputs);
  std::error_code error;
  std::filesystem::create_directories(o.output, error);
  if (error) throw Error(o.output, "a folder that can be made", error.message());
  ThreadPool threads(o.threads);
  const CountedWords counted = [&] {
    Progress progress("words", 0, "B");
    return count_words(files, text_format(o.format), training.pre, threads,
                       [&](uint64_t bytes) { progress.update(bytes); });
  }();
  if (counted.words.words() == 0) throw Error(files.front(), "text", "none");
  const double counting = seconds_now() - start;
  TokenizerSpec spec = [&] {
    Progress progress("merges", static_cast<uint64_t>(o.vocab), "tokens");
    return train_bpe(counted.words, training, [&](int64_t tokens) { progress.update(static_cast<uint64_t>(tokens)); });
  }();
  spec.eos = 0;
  write_tokenizer_folder(spec, o.output);
  const double seconds = seconds_now() - start;
  if (o.json) {
    print_json({{"output", o.output},
                {"vocab", spec.tokens.size()},
                {"merges", spec.merges.size()},
                {"files", counted.files},
                {"bytes", counted.bytes},
                {"words", counted.words.words()},
                {"words_left_out", counted.words.left_out()},
                {"counting_seconds", counting},
                {"seconds", seconds}});
  } else {
    std::printf("%s: %zu tokens from %.1f MB of text (%zu different words) in %.1f s, %.1f of them counting words\n",
                o.output.c_str(), spec.tokens.size(), static_cast<double>(counted.bytes) / 1e6, counted.words.words(),
                seconds, counting);
    if (static_cast<int64_t>(spec.tokens.size()) < o.vocab)
      std::printf("no other pair of tokens comes up %llu times: give it more text, or a lower --min-count\n",
                  static_cast<unsigned long long>(o.least));
  }
  return 0;
}

}  // namespace

Run tokenizer_train_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Train a byte-level BPE tokenizer on text: tokenizer.json and tokenizer_config.json in a folder");
  cli.example("sigma tokenizer train texts/ -o my-tokenizer --vocab 32000");
  cli.example("sigma tokenizer train corpus.jsonl.zst -o chat --special '<|im_start|>' --special '<|im_end|>'");
  cli.example("sigma tokenize -m my-tokenizer -p 'Hello, world!'");
  cli.option(
      "INPUT", o->inputs,
      "Files, or folders of them; plain or compressed (zst, gz, xz, bz2); - is standard input. Of a JSONL file the "
      "\"text\" of every line is read");
  cli.option("-o,--output", o->output, "The folder", Cli::Need::required);
  cli.option("--vocab", o->vocab, "Tokens in all, 1000 to 131072");
  cli.choice("--pre", o->pre, {"gpt2", "smollm", "llama3", "qwen2"},
             "How text is cut into words; smollm: gpt2 with every digit apart, qwen2: llama3 with every digit apart");
  cli.option("--end", o->end, "The token that ends a text, id 0");
  cli.option("--special", o->specials, "Further special tokens, ids from 1 (may be given several times)");
  cli.option("--min-count", o->least, "A pair that comes up less often becomes no token");
  cli.choice("--format", o->format, {"auto", "text", "jsonl"}, "What the files are; auto: .jsonl and .json are JSONL");
  cli.threads(o->threads);
  cli.json(o->json);
  return [o] {
    if (o->inputs.empty()) throw UsageError("sigma tokenizer train", "files to read", "none");
    return run(*o);
  };
}

}  // namespace sigma
