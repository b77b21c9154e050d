#include "apps/commands.h"

namespace sigma {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = {
      {"pull", pull_command},
      {"list", list_command},
      {"rm", rm_command},
      {"generate", generate_command},
      {"chat", chat_command},
      {"inspect", inspect_command},
      {"convert", convert_command},
      {"new", new_command},
      {"perplexity", perplexity_command},
      {"tokenize", tokenize_command},
      {"detokenize", detokenize_command},
      {"tokenizer train", tokenizer_train_command},
      {"data tokenize", data_tokenize_command},
      {"train", train_command},
      {"sft", sft_command},
      {"plot", plot_command},
      {"corpus", corpus_command},
      {"bench", bench_command},
  };
  return commands;
}

}  // namespace sigma
