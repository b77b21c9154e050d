#include <algorithm>

#include "base/file.h"
#include "formats/tokenizer_json.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_alphabet.h"

namespace sigma {
namespace {

// How tokens are spelt in the file: special tokens as they are, the others in the byte alphabet.
std::vector<std::string> spellings(const TokenizerSpec& spec) {
  std::vector<std::string> names;
  names.reserve(spec.tokens.size());
  for (const std::string& token : spec.tokens) names.push_back(alphabet_of_bytes(token));
  for (const SpecialToken& special : spec.specials) names[static_cast<size_t>(special.id)] = special.text;
  return names;
}

Json added_token(const SpecialToken& token) {
  return {{"content", token.text},  {"single_word", false},           {"lstrip", token.lstrip},
          {"rstrip", token.rstrip}, {"normalized", token.normalized}, {"special", token.control}};
}

std::vector<SpecialToken> by_id(std::vector<SpecialToken> specials) {
  std::sort(specials.begin(), specials.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return specials;
}

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer(PreTokenizer pre) {
  const auto sequence = [](Json first, Json second) {
    return Json{{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(first), std::move(second)})}};
  };
  if (pre == PreTokenizer::gpt2) return byte_level(true);
  if (pre == PreTokenizer::smollm) {
    return sequence({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
  }
  return sequence(
      {{"type", "Split"}, {"pattern", {{"Regex", pattern_of(pre)}}}, {"behavior", "Isolated"}, {"invert", false}},
      byte_level(false));
}

Json post_processor(const TokenizerSpec& spec, const std::vector<std::string>& names) {
  if (!spec.add_bos && !spec.add_eos) return byte_level(true);
  Json single = Json::array(), pair = Json::array(), tokens = Json::object();
  const auto add_token = [&](TokenId id, int sequence) {
    const std::string& name = names[static_cast<size_t>(id)];
    tokens[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
    const Json piece = {{"SpecialToken", {{"id", name}, {"type_id", sequence}}}};
    if (sequence == 0) single.push_back(piece);
    pair.push_back(piece);
  };
  for (const int sequence : {0, 1}) {
    if (spec.add_bos) add_token(*spec.bos, sequence);
    const Json text = {{"Sequence", {{"id", sequence == 0 ? "A" : "B"}, {"type_id", sequence}}}};
    if (sequence == 0) single.push_back(text);
    pair.push_back(text);
    if (spec.add_eos) add_token(*spec.eos, sequence);
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

}  // namespace

Json tokenizer_json(const TokenizerSpec& spec) {
  const std::vector<std::string> names = spellings(spec);
  Json added = Json::array(), merges = Json::array();
  for (const SpecialToken& token : by_id(spec.specials)) {
    Json entry = {{"id", token.id}};
    entry.update(added_token(token));
    added.push_back(std::move(entry));
  }
  for (const auto& [left, right] : spec.merges) {
    merges.push_back(Json::array({names[static_cast<size_t>(left)], names[static_cast<size_t>(right)]}));
  }
  // As a list: an object looks for the key among all before it at each insertion.
  Json::object_t vocab;
  std::vector<Json::object_t::value_type>& entries = vocab;
  entries.reserve(names.size());
  std::string bytes;
  for (size_t id = 0; id < names.size(); ++id) {
    // A special token that spells other bytes in the alphabet ("\u00e9") is an added token only.
    if (bytes_of_alphabet(names[id], bytes) && bytes != spec.tokens[id]) continue;
    entries.emplace_back(names[id], id);
  }

  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", spec.ignore_merges}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  Json json = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", std::move(added)},
               {"normalizer", spec.nfc ? Json{{"type", "NFC"}} : Json()},
               {"pre_tokenizer", pre_tokenizer(spec.pre)},
               {"post_processor", post_processor(spec, names)},
               {"decoder", byte_level(true)}};
  json["model"] = std::move(model);
  return json;
}

Json tokenizer_config_json(const TokenizerSpec& spec) {
  const std::vector<std::string> names = spellings(spec);
  Json decoder = Json::object();
  for (const SpecialToken& token : by_id(spec.specials)) decoder[std::to_string(token.id)] = added_token(token);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"added_tokens_decoder", std::move(decoder)}};
  if (spec.bos) config["bos_token"] = names[static_cast<size_t>(*spec.bos)];
  if (spec.eos) config["eos_token"] = names[static_cast<size_t>(*spec.eos)];
  if (!spec.chat_template.empty()) config["chat_template"] = spec.chat_template;
  return config;
}

void write_tokenizer_folder(const TokenizerSpec& spec, const std::string& folder) {
  write_file(folder + "/tokenizer.json", tokenizer_json(spec).dump(1) + "\n");
  write_file(folder + "/tokenizer_config.json", tokenizer_config_json(spec).dump(2) + "\n");
}

}  // namespace sigma
