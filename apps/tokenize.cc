// sigma tokenize / detokenize: text to token ids and back.
#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "base/error.h"
#include "model/checkpoint.h"
#include "model/hub.h"

namespace sigma {

namespace {

struct Options {
  std::string model, file = "-";
  std::optional<std::string> text, tokens;
  bool specials = false, bos = false, json = false;
};

int tokenize(const Options& o) {
  const Tokenizer tokenizer(load_tokenizer_spec(resolve_model(o.model)));
  const std::string text = o.text ? *o.text : read_text(o.file);
  const Specials specials = o.specials ? Specials::parse : Specials::as_text;
  const std::vector<TokenId> ids = o.bos ? tokenizer.encode_prompt(text, specials) : tokenizer.encode(text, specials);
  if (o.json) {
    print_json({{"tokens", ids}});
    return 0;
  }
  std::string line;
  for (const TokenId id : ids) line += fmt::format("{}{}", line.empty() ? "" : ",", id);
  std::printf("%s\n", line.c_str());
  return 0;
}

int detokenize(const Options& o) {
  const Tokenizer tokenizer(load_tokenizer_spec(resolve_model(o.model)));
  const std::vector<TokenId> ids = parse_token_list(o.tokens ? *o.tokens : read_text(o.file));
  for (const TokenId id : ids)
    if (id < 0 || id >= tokenizer.vocab_size())
      throw Error("sigma detokenize", fmt::format("token ids from 0 to {}", tokenizer.vocab_size() - 1),
                  fmt::format("{}", id));
  const std::string text = tokenizer.decode(ids, o.specials ? Specials::parse : Specials::as_text);
  if (o.json) {
    print_json({{"text", text}});
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return 0;
}

}  // namespace

Run tokenize_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Text to token ids");
  cli.example("sigma tokenize -m smollm2 -p 'Hello, world!'");
  cli.example("sigma tokenize -m folder-with-tokenizer.json -f notes.txt --json");
  cli.option("-m,--model", o->model, "A model, or a folder with just a tokenizer.json", Cli::Need::required);
  cli.option("-f,--file", o->file, "The text; - is standard input");
  cli.option("-p,--prompt", o->text, "The text itself");
  cli.flag("--specials", o->specials, "Special tokens written in the text become those tokens");
  cli.flag("--bos", o->bos, "Add what the model's post-processor adds (beginning of text)");
  cli.json(o->json);
  return [o] { return tokenize(*o); };
}

Run detokenize_command(Cli& cli) {
  auto o = std::make_shared<Options>();
  cli.summary("Token ids to text");
  cli.example("sigma detokenize -m smollm2 --tokens 19556,28,905,17");
  cli.example("sigma tokenize -m smollm2 -f notes.txt | sigma detokenize -m smollm2");
  cli.option("-m,--model", o->model, "A model, or a folder with just a tokenizer.json", Cli::Need::required);
  cli.option("--tokens", o->tokens, "The ids: 1,2,3");
  cli.option("-f,--file", o->file, "A file with the ids; - is standard input");
  cli.flag("--specials", o->specials, "Show control tokens too");
  cli.json(o->json);
  return [o] { return detokenize(*o); };
}

}  // namespace sigma
