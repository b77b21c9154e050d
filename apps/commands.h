// The list of subcommands. Each stands in the file of its name; adding one is a file, a line here and one in
// commands.cc.
#pragma once

#include <vector>

#include "apps/cli.h"

namespace sigma {

Run pull_command(Cli& cli);
Run list_command(Cli& cli);
Run rm_command(Cli& cli);
Run generate_command(Cli& cli);
Run chat_command(Cli& cli);
Run inspect_command(Cli& cli);
Run convert_command(Cli& cli);
Run new_command(Cli& cli);
Run perplexity_command(Cli& cli);
Run tokenize_command(Cli& cli);
Run detokenize_command(Cli& cli);
Run tokenizer_train_command(Cli& cli);
Run data_tokenize_command(Cli& cli);
Run train_command(Cli& cli);
Run sft_command(Cli& cli);
Run plot_command(Cli& cli);
Run corpus_command(Cli& cli);
Run bench_command(Cli& cli);

const std::vector<Command>& all_commands();

}  // namespace sigma
