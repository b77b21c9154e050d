// Instruction tuning: conversations in JSON lines, through the model's chat template, to rows in which only the answers
// have a loss.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/parallel.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/rows.h"

namespace sigma {

// One line: {"messages": [{"role", "content"}, ...]}, or {"prompt", "answer"} which stands for a user's message and an
// assistant's. Other keys are left alone. The messages; Error for anything else, and for a conversation without an
// answer.
Json parse_conversation(std::string_view line, const std::string& where);

struct Conversation {
  std::vector<TokenId> tokens;
  std::vector<uint8_t> answer;  // 1: the model learns to say this token
};

// Conversations as tokens. The prompt is cut into tokens as the engine cuts it, the answer apart from it, with the end
// of the turn. A model without a template: the prompt, the answer and the end of text, one after another.
class ConversationEncoder {
 public:
  // tokenizer must outlive it. name: of the model, for messages.
  ConversationEncoder(const Tokenizer& tokenizer, const std::string& name);
  // Error when the template does not put every answer behind the prompt that asks for it.
  Conversation encode(const Json& messages, const std::string& where) const;

 private:
  Conversation plain(const Json& messages, const std::string& where) const;
  std::string render(const Json& messages, size_t count, bool ask) const;
  const Tokenizer& tokenizer_;
  std::string name_;
  std::shared_ptr<const ChatTemplate> template_;  // null: none
};

struct InstructionOptions {
  int64_t context = 0, batch_rows = 1;
  uint64_t seed = 0;
  double epochs = 1;
  double validation = 0;  // share of the conversations that training leaves out
};

// Conversations packed into rows, each to be seen apart from the others in its row, in an order of its own every epoch.
// The rows of all epochs, a whole number of batches (the last one filled up with rows that have no loss).
struct InstructionRows {
  RowSource train, validation;
  int64_t train_rows = 0, validation_rows = 0;
  int64_t conversations = 0, cut = 0, left_out = 0;  // cut: longer than a row; left out: no answer in the first row
};
InstructionRows pack_instructions(std::vector<Conversation> conversations, const InstructionOptions& options);

// Every conversation of the files, in order.
std::vector<Conversation> read_instructions(const std::vector<std::string>& paths, const ConversationEncoder& encoder,
                                            ThreadPool& threads);

}  // namespace sigma
