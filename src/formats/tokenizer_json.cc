#include "formats/tokenizer_json.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "formats/json_cursor.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_alphabet.h"
#include "text/tokenizer_map.h"
#include "text/unicode.h"

namespace sigma {
namespace {

using Members = std::map<std::string, std::string_view, std::less<>>;

std::string dumped(const Json& json) {
  return printable(json.dump(-1, ' ', false, Json::error_handler_t::replace), 200);
}

// The members of an object as text.
Members members_of(std::string_view text, const std::string& where) {
  Members members;
  JsonCursor cursor(text, where);
  cursor.begin('{');
  for (std::string key; cursor.next_key(key);) {
    if (!members.emplace(key, cursor.skip()).second) {
      throw Error(where, "every member once", "\"" + printable(key) + "\" twice");
    }
  }
  cursor.finish();
  return members;
}

void refuse_unknown(const Members& members, std::span<const std::string_view> known, const std::string& where) {
  for (const auto& [key, value] : members) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw Error(where, "only members that are known", "\"" + printable(key) + "\"");
  }
}

// Null when there is no such member.
Json member(const Members& members, std::string_view key, const std::string& where) {
  const auto found = members.find(key);
  return found == members.end() ? Json() : parse_json(found->second, where + ", " + std::string(key));
}

const Json& at(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

bool is_blank(const Json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

// A boolean or string member; `fallback` when it is absent or null.
bool flag(const Json& object, const char* key, bool fallback, const std::string& where) {
  const Json& value = at(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) throw Error(where, fmt::format("true or false as \"{}\"", key), dumped(value));
  return value.get<bool>();
}

std::string text_at(const Json& object, const char* key, const std::string& where) {
  const Json& value = at(object, key);
  if (!value.is_string()) throw Error(where, fmt::format("a string as \"{}\"", key), dumped(value));
  return value.get<std::string>();
}

std::string type_of(const Json& object) {
  const Json& type = at(object, "type");
  return type.is_string() ? type.get<std::string>() : dumped(object);
}

// The steps of a Sequence, a single step as one, null as none.
std::vector<Json> steps_of(const Json& json, const char* list, const std::string& where) {
  if (json.is_null()) return {};
  if (type_of(json) != "Sequence") return {json};
  const Json& steps = at(json, list);
  if (!steps.is_array()) throw Error(where, fmt::format("a list of {}", list), dumped(steps));
  return {steps.begin(), steps.end()};
}

SpecialToken added_token(const Json& json, const std::string& where) {
  SpecialToken token;
  token.text = text_at(json, "content", where);
  const std::string here = where + ", added token \"" + printable(token.text) + "\"";
  if (flag(json, "single_word", false, here)) throw Error(here, "a token that may stand inside a word", "single_word");
  token.control = flag(json, "special", false, here);
  token.lstrip = flag(json, "lstrip", false, here);
  token.rstrip = flag(json, "rstrip", false, here);
  token.normalized = flag(json, "normalized", !token.control, here);
  return token;
}

TokenId token_id(const Json& json, const std::string& where) {
  constexpr uint64_t kLimit = 1u << 30;
  if (!json.is_number_unsigned() || json.get<uint64_t>() >= kLimit) {
    throw Error(where, fmt::format("a token id from 0 to {}", kLimit - 1), dumped(json));
  }
  return static_cast<TokenId>(json.get<uint64_t>());
}

std::vector<SpecialToken> added_tokens(const Json& json, const std::string& where) {
  std::vector<SpecialToken> tokens;
  if (!json.is_null() && !json.is_array()) throw Error(where, "a list of added_tokens", dumped(json));
  for (const Json& entry : json) {
    tokens.push_back(added_token(entry, where));
    tokens.back().id = token_id(at(entry, "id"), where);
  }
  return tokens;
}

// model.vocab and the added tokens: every id from 0 to their number - 1, each once.
class Vocabulary {
 public:
  Vocabulary(std::string_view vocab, const std::vector<SpecialToken>& added, const std::string& where) : where_(where) {
    for (const SpecialToken& token : added) {
      if (!added_.emplace(token.text, token.id).second) {
        throw Error(where, "every added token once", "\"" + printable(token.text) + "\" twice");
      }
    }
    read(vocab);
    size_t only_added = 0;
    for (const SpecialToken& token : added) only_added += !in_vocab_.contains(token.text);
    tokens.resize(entries_.size() + only_added);
    filled_.resize(tokens.size());
    for (const auto& [key, id] : entries_) place(id, key, bytes_of(key, id));
    for (const SpecialToken& token : added) {
      if (!in_vocab_.contains(token.text)) place(token.id, token.text, token.text);
    }
  }
  std::vector<std::string> tokens;

 private:
  void read(std::string_view vocab) {
    JsonCursor cursor(vocab, where_ + ", vocab");
    cursor.begin('{');
    for (std::string key; cursor.next_key(key);) {
      const int64_t id = cursor.integer();
      if (const auto special = added_.find(key); special != added_.end()) {
        if (special->second != id) {
          throw Error(where_,
                      fmt::format("the added token \"{}\" to have its id in the vocabulary, {}", printable(key), id),
                      fmt::format("{}", special->second));
        }
        in_vocab_.emplace(key, id);
      }
      entries_.emplace_back(std::move(key), id);
    }
  }

  std::string bytes_of(const std::string& key, int64_t id) const {
    std::string bytes;
    if (bytes_of_alphabet(key, bytes)) return bytes;
    if (in_vocab_.contains(key)) return key;  // spelt as it is, not in the alphabet
    throw Error(fmt::format("{}, token {}", where_, id), "characters of the byte alphabet (byte-level BPE)",
                "\"" + printable(key) + "\"");
  }

  void place(int64_t id, const std::string& key, std::string bytes) {
    if (static_cast<uint64_t>(id) >= tokens.size()) {
      throw Error(where_, fmt::format("{} tokens with ids from 0 to {}", tokens.size(), tokens.size() - 1),
                  fmt::format("\"{}\" with id {}", printable(key), id));
    }
    const auto i = static_cast<size_t>(id);
    if (filled_[i]) throw Error(where_, "every token id once", fmt::format("{} again, \"{}\"", id, printable(key)));
    filled_[i] = true;
    tokens[i] = std::move(bytes);
  }

  std::string where_;
  std::unordered_map<std::string, int64_t> added_, in_vocab_;
  std::vector<std::pair<std::string, int64_t>> entries_;
  std::vector<bool> filled_;
};

// Pairs of tokens, each "left right" or ["left", "right"].
void read_merges(TokenizerSpec& spec, std::string_view text, const std::string& where) {
  const TokenMap vocabulary = vocabulary_of(spec);
  JsonCursor cursor(text, where);
  std::string left, right, bytes;
  const auto id_of = [&](const std::string& token) {
    const TokenId id = bytes_of_alphabet(token, bytes) ? vocabulary.find(bytes) : -1;
    if (id < 0) {
      throw Error(fmt::format("{}, merge {}", where, spec.merges.size()), "tokens of the vocabulary",
                  "\"" + printable(token) + "\"");
    }
    return id;
  };
  cursor.begin('[');
  while (cursor.next_element()) {
    if (cursor.at('[')) {
      cursor.begin('[');
      if (!cursor.next_element()) cursor.fail("two tokens");
      cursor.string(left);
      if (!cursor.next_element()) cursor.fail("two tokens");
      cursor.string(right);
      if (cursor.next_element()) cursor.fail("two tokens");
    } else {
      cursor.string(left);
      if (left.starts_with("#version")) continue;  // the first line of a merges.txt, taken over
      const size_t space = left.find(' ');
      if (space == std::string::npos) cursor.fail("two tokens with a space between them");
      right.assign(left, space + 1);
      left.resize(space);
    }
    spec.merges.emplace_back(id_of(left), id_of(right));
  }
  cursor.finish();
}

void read_model(TokenizerSpec& spec, std::string_view text, const std::string& where) {
  constexpr std::string_view kKnown[] = {"type",
                                         "dropout",
                                         "unk_token",
                                         "continuing_subword_prefix",
                                         "end_of_word_suffix",
                                         "fuse_unk",
                                         "byte_fallback",
                                         "ignore_merges",
                                         "vocab",
                                         "merges"};
  const Members members = members_of(text, where);
  if (const auto type = members.find("type"); type != members.end() && type->second != "\"BPE\"") {
    throw Error(where, "a model of type BPE", printable(type->second));
  }
  refuse_unknown(members, kKnown, where);
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
    const Json value = member(members, key, where);
    const bool off = is_blank(value) || value == false || value == 0;
    if (!off) throw Error(where, fmt::format("no {}", key), dumped(value));
  }
  for (const char* key : {"vocab", "merges"}) {
    if (!members.contains(key)) throw Error(where, fmt::format("\"{}\"", key), "none");
  }
  spec.tokens = std::move(Vocabulary(members.at("vocab"), spec.specials, where).tokens);
  read_merges(spec, members.at("merges"), where);
  const Json ignore_merges = member(members, "ignore_merges", where);
  spec.ignore_merges = flag({{"ignore_merges", ignore_merges}}, "ignore_merges", false, where);
  // With a token for every byte nothing is unknown, and an unknown token changes nothing.
  const Json unknown = member(members, "unk_token", where);
  if (is_blank(unknown)) return;
  std::vector<bool> covered(256);
  for (const std::string& token : spec.tokens) {
    if (token.size() == 1) covered[static_cast<unsigned char>(token[0])] = true;
  }
  if (std::find(covered.begin(), covered.end(), false) != covered.end()) {
    throw Error(where, "no unk_token, or a token for every byte", dumped(unknown));
  }
}

void read_normalizer(TokenizerSpec& spec, const Json& json, const std::string& where) {
  for (const Json& step : steps_of(json, "normalizers", where)) {
    if (type_of(step) != "NFC") throw Error(where, "no normalizer but NFC", type_of(step));
    spec.nfc = true;
  }
}

// What a step does, in words that tell apart what must be told apart.
std::string describe(const Json& step, const std::string& where) {
  const std::string type = type_of(step);
  const auto split = [](std::string_view pattern) { return "Split(" + std::string(pattern) + ")"; };
  if (type == "ByteLevel") {
    if (flag(step, "add_prefix_space", true, where)) return "ByteLevel with add_prefix_space";
    const bool use_regex = flag(step, "use_regex", true, where);
    return use_regex ? split(pattern_of(PreTokenizer::gpt2)) + " + bytes" : "bytes";
  }
  if (type == "Digits" && flag(step, "individual_digits", false, where)) return "each digit";
  if (type == "Split" && at(step, "behavior") == "Isolated" && !flag(step, "invert", false, where) &&
      at(at(step, "pattern"), "Regex").is_string()) {
    return split(at(at(step, "pattern"), "Regex").get<std::string>());
  }
  return dumped(step);
}

void read_pre_tokenizer(TokenizerSpec& spec, const Json& json, const std::string& where) {
  std::string found;
  for (const Json& step : steps_of(json, "pretokenizers", where)) {
    found += (found.empty() ? "" : " + ") + describe(step, where);
  }
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::llama3, PreTokenizer::qwen2}) {
    std::string known = pre == PreTokenizer::smollm ? "each digit + " : "";
    known.append("Split(").append(pattern_of(pre)).append(") + bytes");
    if (found != known) continue;
    spec.pre = pre;
    return;
  }
  throw Error(where, "the pre-tokenizer of GPT-2, SmolLM2, Llama 3 or Qwen 2",
              found.empty() ? "none" : printable(found, 240));
}

// TemplateProcessing: one token before the text, one after it, or none.
void read_template(TokenizerSpec& spec, const Json& json, const std::string& where) {
  bool after = false;
  const Json& pieces = at(json, "single");
  if (!pieces.is_array()) throw Error(where, "a list as \"single\"", dumped(pieces));
  for (const Json& piece : pieces) {
    if (at(piece, "Sequence").is_object() && !after) {
      after = true;
      continue;
    }
    const Json& name = at(at(piece, "SpecialToken"), "id");
    if (!name.is_string() || (after ? spec.add_eos : spec.add_bos)) {
      throw Error(where, "at most one token before the text and one after it", dumped(pieces));
    }
    const Json& ids = at(at(at(json, "special_tokens"), name.get<std::string>().c_str()), "ids");
    if (!ids.is_array() || ids.size() != 1) throw Error(where, "one id for " + dumped(name), dumped(ids));
    (after ? spec.eos : spec.bos) = token_id(ids[0], where);
    (after ? spec.add_eos : spec.add_bos) = true;
  }
  if (!after) throw Error(where, "the text among the pieces", dumped(pieces));
}

void read_post_processor(TokenizerSpec& spec, const Json& json, const std::string& where) {
  for (const Json& step : steps_of(json, "processors", where)) {
    const std::string type = type_of(step);
    if (type == "TemplateProcessing") {
      read_template(spec, step, where);
    } else if (type != "ByteLevel") {
      throw Error(where, "a post-processor made of TemplateProcessing and ByteLevel", type);
    }
  }
}

// A token named by tokenizer_config.json: a string, or an object with the string as "content"; null: none.
std::optional<TokenId> named_token(TokenizerSpec& spec, const TokenMap& vocabulary, const Json& config, const char* key,
                                   const std::string& where) {
  const Json& value = at(config, key);
  if (value.is_null()) return std::nullopt;
  const std::string text = value.is_string() ? value.get<std::string>() : text_at(value, "content", where);
  for (const SpecialToken& special : spec.specials) {
    if (special.text == text) return special.id;
  }
  const TokenId id = vocabulary.find(text);
  if (id < 0) throw Error(where, fmt::format("a token of the vocabulary as {}", key), "\"" + printable(text) + "\"");
  spec.specials.push_back({.id = id, .text = text});
  return id;
}

// "chat_template": one template, or a list of named ones with a default.
std::string chat_template_of(const Json& json, const std::string& where) {
  if (json.is_null()) return {};
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_array()) throw Error(where, "a string or a list as chat_template", dumped(json));
  for (const Json& entry : json) {
    if (json.size() == 1 || at(entry, "name") == "default") return text_at(entry, "template", where);
  }
  throw Error(where, "a chat template named default", json.empty() ? "none" : "others");
}

// added_tokens_decoder repeats the added tokens by id; where it differs it wins, as in `transformers`.
void read_added_decoder(TokenizerSpec& spec, const Json& json, const std::string& where) {
  if (json.is_null()) return;
  if (!json.is_object()) throw Error(where, "an object as added_tokens_decoder", dumped(json));
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < spec.specials.size(); ++i) known.emplace(spec.specials[i].text, i);
  for (const auto& [key, value] : json.items()) {
    SpecialToken token = added_token(value, where);
    const auto found = known.find(token.text);
    const bool number = !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    token.id = number ? std::stoi(key) : -1;
    const auto i = static_cast<size_t>(token.id);
    const bool same_id = found == known.end() || spec.specials[found->second].id == token.id;
    if (!number || i >= spec.tokens.size() || !same_id || (found == known.end() && spec.tokens[i] != token.text)) {
      throw Error(where, "the added tokens of tokenizer.json",
                  fmt::format("\"{}\" with id {}", printable(token.text), printable(key)));
    }
    if (found == known.end()) {
      spec.specials.push_back(std::move(token));
    } else {
      spec.specials[found->second] = std::move(token);
    }
  }
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& where) {
  constexpr std::string_view kKnown[] = {"version",       "truncation",     "padding", "added_tokens", "normalizer",
                                         "pre_tokenizer", "post_processor", "decoder", "model"};
  const Members members = members_of(text, where);
  refuse_unknown(members, kKnown, where);
  TokenizerSpec spec;
  spec.specials = added_tokens(member(members, "added_tokens", where), where);
  if (!members.contains("model")) throw Error(where, "\"model\"", "none");
  read_model(spec, members.at("model"), where + ", model");
  read_normalizer(spec, member(members, "normalizer", where), where + ", normalizer");
  read_pre_tokenizer(spec, member(members, "pre_tokenizer", where), where + ", pre_tokenizer");
  read_post_processor(spec, member(members, "post_processor", where), where + ", post_processor");
  const Json decoder = member(members, "decoder", where);
  if (!decoder.is_null() && type_of(decoder) != "ByteLevel")
    throw Error(where, "a ByteLevel decoder", type_of(decoder));
  return spec;
}

void apply_tokenizer_config(TokenizerSpec& spec, const Json& config, const std::string& where) {
  if (!config.is_object()) throw Error(where, "an object", dumped(config));
  read_added_decoder(spec, at(config, "added_tokens_decoder"), where);
  const TokenMap vocabulary = vocabulary_of(spec);
  const auto bos = named_token(spec, vocabulary, config, "bos_token", where);
  const auto eos = named_token(spec, vocabulary, config, "eos_token", where);
  // What the post-processor adds was said by tokenizer.json already.
  if (bos && !spec.add_bos) spec.bos = bos;
  if (eos && !spec.add_eos) spec.eos = eos;
  spec.add_bos = flag(config, "add_bos_token", spec.add_bos, where);
  spec.add_eos = flag(config, "add_eos_token", spec.add_eos, where);
  if (spec.add_bos && !spec.bos) throw Error(where, "a bos_token to add", "none");
  if (spec.add_eos && !spec.eos) throw Error(where, "an eos_token to add", "none");
  spec.chat_template = chat_template_of(at(config, "chat_template"), where);
}

TokenizerSpec read_tokenizer_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  const std::string main = folder + "/tokenizer.json", config = folder + "/tokenizer_config.json";
  const std::string chat = folder + "/chat_template.jinja";
  TokenizerSpec spec = parse_tokenizer_json(MappedFile(main).text(), main);
  if (fs::exists(config)) apply_tokenizer_config(spec, read_json(config), config);
  if (fs::exists(chat)) {
    spec.chat_template = read_file(chat);
    if (!unicode::is_utf8(spec.chat_template)) throw Error(chat, "UTF-8 text", "other bytes");
  }
  return spec;
}

}  // namespace sigma
