#include "train/instructions.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "base/numeric.h"
#include "data/order.h"
#include "text/literal_text.h"

namespace sigma {

namespace {

bool is_message(const Json& m) {
  return m.is_object() && m.contains("role") && m["role"].is_string() && m.contains("content") &&
         m["content"].is_string();
}

bool is_answer(const Json& m) { return m["role"] == "assistant"; }

// 64-bit FNV-1a over words: tells data sets apart, not adversaries.
struct Fingerprint {
  uint64_t h = 0xcbf29ce484222325ull;
  void add(uint64_t word) {
    h = (h ^ word) * 0x100000001b3ull;
    h ^= h >> 31;
  }
};

}  // namespace

Json parse_conversation(std::string_view line, const std::string& where) {
  const Json j = parse_json(line, where);
  if (!j.is_object()) throw Error(where, "an object with messages, or with prompt and answer", printable(line));
  Json messages = Json::array();
  if (j.contains("messages")) {
    messages = j["messages"];
    if (!messages.is_array()) throw Error(where, "messages as a list", printable(messages.dump()));
  } else if (j.contains("prompt") && j.contains("answer")) {
    messages.push_back({{"role", "user"}, {"content", j["prompt"]}});
    messages.push_back({{"role", "assistant"}, {"content", j["answer"]}});
  } else {
    throw Error(where, "messages, or prompt and answer", printable(line));
  }
  for (const Json& m : messages)
    if (!is_message(m)) throw Error(where, "messages of a role and a content, both text", printable(m.dump()));
  if (std::none_of(messages.begin(), messages.end(), is_answer))
    throw Error(where, "a message of the assistant to learn from", "none");
  return messages;
}

ConversationEncoder::ConversationEncoder(const Tokenizer& tokenizer, const std::string& name)
    : tokenizer_(tokenizer), name_(name) {
  const std::string& source = tokenizer.spec().chat_template;
  if (!source.empty()) template_ = std::make_shared<const ChatTemplate>(source, name + ": chat template");
}

std::string ConversationEncoder::render(const Json& messages, size_t count, bool ask) const {
  const TokenizerSpec& spec = tokenizer_.spec();
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? std::string(tokenizer_.token_bytes(*id, Specials::parse)) : std::string();
  };
  Json first = Json::array();
  for (size_t i = 0; i < count; ++i) first.push_back(messages[i]);
  return template_->render({{"messages", first},
                            {"add_generation_prompt", ask},
                            {"bos_token", text_of(spec.bos)},
                            {"eos_token", text_of(spec.eos)}});
}

Conversation ConversationEncoder::plain(const Json& messages, const std::string& where) const {
  Conversation c;
  for (const Json& m : messages) {
    const auto text = m["content"].get<std::string>();
    std::vector<TokenId> ids = c.tokens.empty() ? tokenizer_.encode_prompt(text, Specials::as_text)
                                                : tokenizer_.encode(text, Specials::as_text);
    if (is_answer(m)) {
      if (!tokenizer_.spec().eos) throw Error(name_, "an end-of-sequence token that ends answers", "none");
      ids.push_back(*tokenizer_.spec().eos);
    }
    c.tokens.insert(c.tokens.end(), ids.begin(), ids.end());
    c.answer.resize(c.tokens.size(), is_answer(m) ? 1 : 0);
  }
  if (c.tokens.empty()) throw Error(where, "text", "none");
  return c;
}

Conversation ConversationEncoder::encode(const Json& messages, const std::string& where) const {
  if (!template_) return plain(messages, where);
  const TokenizerSpec& spec = tokenizer_.spec();
  const LiteralText literal(spec.specials, messages);
  const Json marked = literal.marked(messages);
  // Where parts of the conversation end in the marked text, and whether each is an answer.
  const std::string all = render(marked, marked.size(), false);
  std::vector<std::pair<size_t, bool>> ends;
  for (size_t i = 0; i < marked.size(); ++i) {
    if (!is_answer(marked[i])) continue;
    const std::string prompt = render(marked, i, true), answered = render(marked, i + 1, false);
    if (!all.starts_with(prompt) || !all.starts_with(answered) || answered.size() <= prompt.size())
      throw Error(where, "a chat template that puts each answer behind its prompt", name_ + " has another one");
    ends.emplace_back(prompt.size(), false);
    ends.emplace_back(answered.size(), true);
  }
  Conversation c;
  size_t begin = 0;
  for (const auto& [end, answer] : ends) {
    const auto [text, breaks] = literal.unmark(all.substr(begin, end - begin));
    std::vector<TokenId> ids;
    if (begin == 0) {
      ids = tokenizer_.encode_prompt(text, Specials::parse, breaks);
      if (spec.add_eos && !ids.empty()) ids.pop_back();
    } else {
      ids = tokenizer_.encode(text, Specials::parse, breaks);
    }
    // Of an answer nothing is learnt that follows its last control token: the engine has stopped by then.
    size_t learnt = answer ? ids.size() : 0;
    const auto control = [&](TokenId id) {
      return std::any_of(spec.specials.begin(), spec.specials.end(),
                         [&](const SpecialToken& s) { return s.id == id && s.control; });
    };
    const auto last = std::find_if(ids.rbegin(), ids.rend(), control);
    if (answer && last != ids.rend()) learnt = static_cast<size_t>(ids.rend() - last);
    for (size_t i = 0; i < ids.size(); ++i) {
      c.tokens.push_back(ids[i]);
      c.answer.push_back(i < learnt ? 1 : 0);
    }
    begin = end;
  }
  return c;
}

std::vector<Conversation> read_instructions(const std::vector<std::string>& paths, const ConversationEncoder& encoder,
                                            ThreadPool& threads) {
  struct Line {
    std::string_view text;
    std::string where;
  };
  std::vector<MappedFile> files;
  std::vector<Line> lines;
  for (const std::string& path : paths) {
    files.emplace_back(path);
    const std::string_view text = files.back().text();
    int64_t number = 1;
    for (size_t begin = 0; begin < text.size(); ++number) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = text.substr(begin, end - begin);
      if (line.find_first_not_of(" \t\r") != std::string_view::npos)
        lines.push_back({line, fmt::format("{} line {}", path, number)});
      begin = end + 1;
    }
  }
  std::vector<Conversation> conversations(lines.size());
  std::mutex mutex;
  size_t failed = lines.size();
  std::exception_ptr error;  // of the first line that has one
  threads.run(static_cast<int64_t>(lines.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    try {
      conversations[at] = encoder.encode(parse_conversation(lines[at].text, lines[at].where), lines[at].where);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (at < failed) error = std::current_exception();
      failed = std::min(failed, at);
    }
  });
  if (error) std::rethrow_exception(error);
  return conversations;
}

namespace {

using Row = std::vector<uint32_t>;  // conversations, in order

// Conversations in the given order, each in the row that is being filled if there is room, else in the next.
std::vector<Row> fill_rows(const std::vector<Conversation>& all, const std::vector<uint32_t>& order, int64_t context) {
  std::vector<Row> rows;
  int64_t used = context;
  for (const uint32_t i : order) {
    const auto length = static_cast<int64_t>(all[i].tokens.size());
    if (used + length > context) {
      rows.emplace_back();
      used = 0;
    }
    rows.back().push_back(i);
    used += length;
  }
  return rows;
}

RowSource source_of(std::shared_ptr<const std::vector<Conversation>> all, std::vector<Row> rows, int64_t context,
                    const std::string& fingerprint) {
  auto shared = std::make_shared<const std::vector<Row>>(std::move(rows));
  return {[all = std::move(all), shared, context](TrainRows& out, uint64_t position, int64_t count) {
            const auto size = static_cast<size_t>(count * context);
            out.tokens.assign(size, 0);
            out.targets.assign(size, -1);
            out.starts.assign(size, 0);
            for (int64_t r = 0; r < count; ++r) {
              int64_t at = 0;
              const uint64_t row = position + static_cast<uint64_t>(r);
              const auto index = [&](int64_t place) { return static_cast<size_t>(r * context + place); };
              if (row < shared->size())
                for (const uint32_t i : (*shared)[row]) {
                  const Conversation& c = (*all)[i];
                  const auto start = static_cast<int32_t>(at);
                  for (size_t t = 0; t < c.tokens.size(); ++t, ++at) {
                    out.tokens[index(at)] = c.tokens[t];
                    out.starts[index(at)] = start;
                    if (t + 1 < c.tokens.size() && c.answer[t + 1] != 0) out.targets[index(at)] = c.tokens[t + 1];
                  }
                }
              for (; at < context; ++at) out.starts[index(at)] = static_cast<int32_t>(at);  // padding sees itself
            }
          },
          fingerprint};
}

}  // namespace

InstructionRows pack_instructions(std::vector<Conversation> conversations, const InstructionOptions& options) {
  InstructionRows result;
  const auto context = static_cast<size_t>(options.context);
  Fingerprint fingerprint;
  auto all = std::make_shared<std::vector<Conversation>>();
  for (Conversation& c : conversations) {
    result.cut += c.tokens.size() > context ? 1 : 0;
    c.tokens.resize(std::min(c.tokens.size(), context));
    c.answer.resize(c.tokens.size());
    if (std::find(c.answer.begin() + (c.answer.empty() ? 0 : 1), c.answer.end(), 1) == c.answer.end()) {
      ++result.left_out;
      continue;
    }
    fingerprint.add(c.tokens.size());
    for (size_t i = 0; i < c.tokens.size(); ++i) fingerprint.add(static_cast<uint64_t>(c.tokens[i]) * 2 + c.answer[i]);
    all->push_back(std::move(c));
  }
  result.conversations = static_cast<int64_t>(all->size());
  std::vector<uint32_t> train, held;
  for (uint32_t i = 0; i < all->size(); ++i) {
    // Every 1/share-th conversation.
    const double before = std::floor(i * options.validation), after = std::floor((i + 1) * options.validation);
    (after > before ? held : train).push_back(i);
  }
  if (train.empty()) throw Error("instructions", "at least one conversation with an answer in its first row", "none");
  std::vector<Row> rows;
  const auto whole = static_cast<int64_t>(std::floor(options.epochs));
  for (int64_t epoch = 0; epoch <= whole; ++epoch) {
    const double share = epoch < whole ? 1.0 : options.epochs - static_cast<double>(whole);
    const Permutation order(train.size(), options.seed * 0x9e3779b97f4a7c15ull + static_cast<uint64_t>(epoch));
    std::vector<uint32_t> chosen;
    for (uint64_t i = 0; i < static_cast<uint64_t>(std::llround(share * static_cast<double>(train.size()))); ++i)
      chosen.push_back(train[order(i)]);
    const std::vector<Row> more = fill_rows(*all, chosen, options.context);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  fingerprint.add(static_cast<uint64_t>(options.validation * 1e6));
  const std::string print = fmt::format("{:016x}", fingerprint.h);
  result.train_rows = round_up(static_cast<int64_t>(rows.size()), options.batch_rows);
  result.train = source_of(all, std::move(rows), options.context, print);
  std::vector<Row> held_rows = fill_rows(*all, held, options.context);
  result.validation_rows = static_cast<int64_t>(held_rows.size());
  result.validation = source_of(all, std::move(held_rows), options.context, print);
  return result;
}

}  // namespace sigma
