#include "data/vocabulary.h"

#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "net/digest.h"

namespace sigma {

Vocabulary vocabulary_of(const TokenizerSpec& spec, const std::string& name) {
  Digest digest(Digest::Kind::sha256);
  for (const std::string& token : spec.tokens) {
    digest.update(fmt::format("{} ", token.size()));
    digest.update(token);
  }
  return {name, static_cast<int64_t>(spec.tokens.size()), digest.hex()};
}

std::string vocabulary_path(const std::string& prefix) { return prefix + ".vocab.json"; }

void write_vocabulary(const std::string& prefix, const Vocabulary& v) {
  const Json j = {{"tokenizer", v.name}, {"vocab", v.tokens}, {"vocab_sha256", v.fingerprint}};
  write_file(vocabulary_path(prefix), j.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<Vocabulary> read_vocabulary(const std::string& prefix) {
  const std::string path = vocabulary_path(prefix);
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json j = read_json(path);
  const auto has = [&](const char* key, auto is) { return j.is_object() && j.contains(key) && (j[key].*is)(); };
  if (!has("tokenizer", &Json::is_string) || !has("vocab", &Json::is_number_unsigned) ||
      !has("vocab_sha256", &Json::is_string) || j["vocab"].get<uint64_t>() > std::numeric_limits<int32_t>::max())
    throw Error(path, "the vocabulary of a shard: tokenizer, vocab and vocab_sha256", printable(j.dump(), 60));
  return Vocabulary{j["tokenizer"], j["vocab"], j["vocab_sha256"]};
}

void require_vocabulary(const std::string& prefix, const Vocabulary& expected, int64_t most) {
  const std::optional<Vocabulary> found = read_vocabulary(prefix);
  if (!found) return;
  const std::string those = fmt::format("those of {}, {} tokens", printable(found->name, 200), found->tokens);
  if (most > 0 && found->tokens > most)
    throw Error(vocabulary_path(prefix), fmt::format("ids of at most {} tokens, the model's vocabulary", most), those);
  if (!expected.fingerprint.empty() && expected.fingerprint != found->fingerprint)
    throw Error(vocabulary_path(prefix),
                fmt::format("ids of the run's tokenizer {}, {} tokens", printable(expected.name, 200), expected.tokens),
                those + (found->tokens == expected.tokens ? ", other ones" : ""));
}

}  // namespace sigma
