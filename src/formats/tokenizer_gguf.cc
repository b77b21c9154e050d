#include "formats/tokenizer_gguf.h"

#include <array>

#include "base/error.h"
#include "text/tokenizer_alphabet.h"
#include "text/tokenizer_map.h"
#include "text/unicode.h"

namespace sigma {
namespace {

constexpr std::string_view kModel = "tokenizer.ggml.model", kPre = "tokenizer.ggml.pre";
constexpr std::string_view kTokens = "tokenizer.ggml.tokens", kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges", kChat = "tokenizer.chat_template";
constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id", kEos = "tokenizer.ggml.eos_token_id";
constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token", kAddEos = "tokenizer.ggml.add_eos_token";

enum TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct PreName {
  std::string_view name;
  PreTokenizer pre;
};
// The first name of each is the one written.
constexpr PreName kPreNames[] = {{"gpt-2", PreTokenizer::gpt2},    {"gpt2", PreTokenizer::gpt2},
                                 {"smollm", PreTokenizer::smollm}, {"llama-bpe", PreTokenizer::llama3},
                                 {"llama3", PreTokenizer::llama3}, {"llama-v3", PreTokenizer::llama3},
                                 {"qwen2", PreTokenizer::qwen2}};

// What a pre-tokenizer's name says beside the pattern.
bool implies_ignore_merges(PreTokenizer pre) { return pre == PreTokenizer::llama3; }
bool implies_nfc(PreTokenizer pre) { return pre == PreTokenizer::qwen2; }

PreTokenizer pre_named(std::string_view name, const std::string& where) {
  for (const PreName& known : kPreNames) {
    if (known.name == name) return known.pre;
  }
  throw Error(where, fmt::format("gpt-2, smollm, llama-bpe or qwen2 as {}", kPre), "\"" + printable(name) + "\"");
}

std::string_view name_of(PreTokenizer pre) {
  for (const PreName& known : kPreNames) {
    if (known.pre == pre) return known.name;
  }
  return {};
}

void read_tokens(TokenizerSpec& spec, const GgufFile& file) {
  const std::vector<std::string_view> texts = file.get_strings(kTokens);
  std::vector<int64_t> types(texts.size(), kNormal);
  if (file.has(kTypes)) types = file.get_ints(kTypes);
  if (types.size() != texts.size()) {
    throw Error(file.where(), fmt::format("{} token types", texts.size()), fmt::format("{}", types.size()));
  }
  spec.tokens.resize(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto fail = [&](const char* expected, const std::string& found) {
      throw Error(fmt::format("{}, token {}", file.where(), i), expected, found);
    };
    const auto text = [&] { return "\"" + printable(texts[i]) + "\""; };
    if (types[i] < kNormal || types[i] >= kByte) {
      fail("a token type of byte-level BPE, 1 to 5", fmt::format("{}", types[i]));
    }
    const bool ordinary = types[i] == kNormal || types[i] == kUnused;
    if (ordinary && bytes_of_alphabet(texts[i], spec.tokens[i])) continue;
    if (types[i] == kNormal) fail("characters of the byte alphabet (byte-level BPE)", text());
    if (!unicode::is_utf8(texts[i])) fail("UTF-8 text", text());
    spec.tokens[i] = texts[i];
    if (ordinary) continue;
    spec.specials.push_back(
        {.id = static_cast<TokenId>(i), .text = spec.tokens[i], .control = types[i] != kUserDefined});
  }
}

void read_merges(TokenizerSpec& spec, const GgufFile& file) {
  const TokenMap vocabulary = vocabulary_of(spec);
  const std::vector<std::string_view> merges = file.get_strings(kMerges);
  spec.merges.reserve(merges.size());
  std::string bytes;
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ');
    const auto id_of = [&](std::string_view token) {
      return bytes_of_alphabet(token, bytes) ? vocabulary.find(bytes) : -1;
    };
    const TokenId left = id_of(merge.substr(0, space));
    const TokenId right = space == std::string_view::npos ? -1 : id_of(merge.substr(space + 1));
    if (left < 0 || right < 0) {
      throw Error(fmt::format("{}, merge {}", file.where(), spec.merges.size()),
                  "two tokens of the vocabulary with a space between them", "\"" + printable(merge) + "\"");
    }
    spec.merges.emplace_back(left, right);
  }
}

std::optional<TokenId> id_at(const GgufFile& file, std::string_view key, size_t count) {
  if (!file.has(key)) return std::nullopt;
  const uint64_t id = file.get_uint(key);
  if (id >= count)
    throw Error(file.where(), fmt::format("a token id below {} as {}", count, key), fmt::format("{}", id));
  return static_cast<TokenId>(id);
}

}  // namespace

bool has_gguf_tokenizer(const GgufFile& file) {
  return file.has(kModel) && file.get_string(kModel) != "none" && file.get_string(kModel) != "no_vocab";
}

TokenizerSpec tokenizer_from_gguf(const GgufFile& file) {
  const std::string_view model = file.get_string(kModel);
  if (model != "gpt2") {
    throw Error(file.where(), fmt::format("gpt2 (byte-level BPE) as {}", kModel), "\"" + printable(model) + "\"");
  }
  TokenizerSpec spec;
  spec.pre = pre_named(file.get_string(kPre), file.where());
  spec.nfc = implies_nfc(spec.pre);
  spec.ignore_merges = implies_ignore_merges(spec.pre);
  read_tokens(spec, file);
  read_merges(spec, file);
  spec.bos = id_at(file, kBos, spec.tokens.size());
  spec.eos = id_at(file, kEos, spec.tokens.size());
  // A Llama 3 file that does not say has a BOS added, by the format's custom.
  const bool bos_by_custom = spec.pre == PreTokenizer::llama3 && spec.bos.has_value();
  spec.add_bos = file.has(kAddBos) ? file.get_bool(kAddBos) : bos_by_custom;
  spec.add_eos = file.has(kAddEos) && file.get_bool(kAddEos);
  if (spec.add_bos && !spec.bos) throw Error(file.where(), fmt::format("{} to add", kBos), "none");
  if (spec.add_eos && !spec.eos) throw Error(file.where(), fmt::format("{} to add", kEos), "none");
  if (file.has(kChat)) spec.chat_template = file.get_string(kChat);
  if (!unicode::is_utf8(spec.chat_template)) throw Error(file.where(), "a chat template in UTF-8", "other bytes");
  return spec;
}

void tokenizer_to_gguf(const TokenizerSpec& spec, GgufWriter& writer) {
  const std::string_view pre = name_of(spec.pre);
  if (spec.ignore_merges != implies_ignore_merges(spec.pre) || spec.nfc != implies_nfc(spec.pre)) {
    throw Error("tokenizer",
                fmt::format("what GGUF means by {}: ignore_merges {}, NFC {}", pre, implies_ignore_merges(spec.pre),
                            implies_nfc(spec.pre)),
                fmt::format("ignore_merges {}, NFC {}", spec.ignore_merges, spec.nfc));
  }
  std::vector<std::string> texts, merges;
  std::vector<int32_t> types(spec.tokens.size(), kNormal);
  for (const std::string& token : spec.tokens) texts.push_back(alphabet_of_bytes(token));
  for (const auto& [left, right] : spec.merges) {
    merges.push_back(texts[static_cast<size_t>(left)] + " " + texts[static_cast<size_t>(right)]);
  }
  for (const SpecialToken& special : spec.specials) {
    const auto i = static_cast<size_t>(special.id);
    if (special.lstrip || special.rstrip) {
      throw Error("tokenizer", "special tokens that GGUF can describe",
                  "\"" + printable(special.text) + "\" with lstrip or rstrip");
    }
    texts[i] = special.text;
    types[i] = special.control ? kControl : kUserDefined;
  }
  const auto views = [](const std::vector<std::string>& strings) {
    return std::vector<std::string_view>(strings.begin(), strings.end());
  };
  writer.set(kModel, "gpt2");
  writer.set(kPre, pre);
  writer.set_array(kTokens, std::span<const std::string_view>(views(texts)));
  writer.set_array(kTypes, std::span<const int32_t>(types));
  writer.set_array(kMerges, std::span<const std::string_view>(views(merges)));
  if (spec.bos) writer.set(kBos, static_cast<uint32_t>(*spec.bos));
  if (spec.eos) writer.set(kEos, static_cast<uint32_t>(*spec.eos));
  writer.set(kAddBos, spec.add_bos);
  writer.set(kAddEos, spec.add_eos);
  if (!spec.chat_template.empty()) writer.set(kChat, std::string_view(spec.chat_template));
}

}  // namespace sigma
