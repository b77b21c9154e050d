// Stage 6: the documents that stay, shuffled and cut into shards of tokens.
#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>

#include "base/file.h"
#include "base/rng.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/text_util.h"
#include "data/shard.h"
#include "net/digest.h"

namespace sigma::corpus {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kForm = "pack 1";

std::string verdict_reason(const Decision& decision, const CorpusConfig& config) {
  switch (decision.verdict) {
    case Verdict::same_text:
      return "same text";
    case Verdict::near_duplicate:
      return "near duplicate";
    case Verdict::contaminated:
      return "repeats the evaluation file " + fs::path(config.evaluation_files.at(decision.other)).filename().string();
    case Verdict::only_boilerplate:
      return "too short without repeated paragraphs";
    case Verdict::kept:
      break;
  }
  return {};
}

// One document of a part's tokens: where it goes in the shuffled order.
struct Place {
  uint64_t order;  // a hash of seed and id
  uint32_t part, index;
  bool operator<(const Place& o) const {
    return order != o.order ? order < o.order : part != o.part ? part < o.part : index < o.index;
  }
};

// What the stage keeps of each document beside its tokens (.places).
struct Kept {
  uint64_t order, tokens_end;
  uint32_t validation, padding;
};

class Packer {
 public:
  Packer(Build& build, const std::vector<RepeatedParagraph>& repeated, const std::vector<Decision>& decisions)
      : build_(build),
        repeated_(repeated),
        decisions_(decisions),
        config_(build.options().config),
        tokenizer_(build.options().tokenizer) {
    const TokenizerSpec* spec = tokenizer_ != nullptr ? &tokenizer_->spec() : nullptr;
    if (spec != nullptr && spec->eos) end_of_text_ = *spec->eos;
  }

  std::string path(const Part& part) const { return build_.options().work + "/6-tokens/" + part.name; }
  std::string documents_path(const Part& part) const {
    return build_.options().work + "/documents/" + part.name + ".jsonl.zst";
  }

  std::string key(const Part& part) const {
    std::string verdicts;
    for (uint64_t d = part.first; d < part.first + part.documents; ++d)
      verdicts += fmt::format("{} {}\n", static_cast<int>(decisions_[d].verdict), decisions_[d].other);
    std::string vocabulary = "none";
    if (tokenizer_ != nullptr) {
      Digest digest(Digest::Kind::sha256);
      for (const std::string& token : tokenizer_->spec().tokens)
        digest.update(fmt::format("{} {}\n", token.size(), token));
      vocabulary = digest.hex();
    }
    return Build::key_of(
        {std::string(kForm), part.key, verdicts, vocabulary, fmt::format("{} {}", config_.seed, config_.validation)});
  }

  Tally run(const Part& part) {
    Tally tally;
    DocumentWriter documents(documents_path(part));
    FileWriter tokens(path(part) + ".tokens"), places(path(part) + ".places");
    uint64_t number = part.first, end = 0;
    read_documents(build_.options().work + "/2-clean/" + part.name + ".jsonl.zst", [&](Document& d) {
      const uint64_t self = number++;
      tally.in(d);
      const uint64_t dropped = drop_paragraphs(d.text, self, repeated_);
      tally.notes["repeated paragraphs left out"] += dropped;
      const Decision& decision = decisions_.at(self);
      if (decision.verdict != Verdict::kept) {
        const std::string note = decision.verdict == Verdict::near_duplicate
                                     ? fmt::format("Jaccard {:.3f} with #{}", decision.similarity, decision.other)
                                 : decision.verdict == Verdict::same_text ? fmt::format("as #{}", decision.other)
                                                                          : "";
        tally.drop(verdict_reason(decision, config_), d, note);
        return;
      }
      tally.out(d);
      documents.write(d);
      if (tokenizer_ == nullptr) return;
      const uint64_t id = hash_bytes(d.id, hash_bytes(d.source, config_.seed));
      std::vector<TokenId> ids = tokenizer_->encode(d.text, Specials::as_text);
      if (end_of_text_ >= 0) ids.push_back(end_of_text_);
      end += ids.size();
      const bool validation = Rng(id ^ 1).uniform() < config_.validation;
      const Kept kept{mix_bits(id), end, validation ? 1u : 0u, 0};
      tokens.write(std::as_bytes(std::span(ids)));
      places.write(std::as_bytes(std::span(&kept, 1)));
      tally.notes[validation ? "validation tokens" : "training tokens"] += ids.size();
      ++tally.notes[validation ? "validation documents" : "training documents"];
    });
    places.commit();
    tokens.commit();
    documents.commit();
    return tally;
  }

  // Shards of one split, in shuffled order; what the manifest says of each.
  Json write_shards(const std::vector<Part>& parts, uint32_t validation, const std::string& name) {
    std::vector<Place> order;
    std::vector<MappedFile> tokens, places;
    for (uint32_t p = 0; p < parts.size(); ++p) {
      tokens.emplace_back(path(parts[p]) + ".tokens");
      places.emplace_back(path(parts[p]) + ".places");
      const std::span<const Kept> kept = records(places.back());
      for (uint32_t i = 0; i < kept.size(); ++i)
        if (kept[i].validation == validation) order.push_back({kept[i].order, p, i});
    }
    std::sort(order.begin(), order.end());
    Json shards = Json::array();
    const std::string folder = build_.folder("shards");
    std::unique_ptr<ShardWriter> writer;
    std::string prefix;
    const auto finish = [&] {
      if (!writer) return;
      const uint64_t documents = writer->documents(), count = writer->tokens();
      writer->commit();
      writer.reset();
      shards.push_back({{"file", fs::path(prefix).filename().string()},
                        {"documents", documents},
                        {"tokens", count},
                        {"sha256_bin", digest(prefix + ".bin")},
                        {"sha256_idx", digest(prefix + ".idx")}});
    };
    for (const Place& place : order) {
      const std::span<const Kept> kept = records(places[place.part]);
      const uint64_t begin = place.index == 0 ? 0 : kept[place.index - 1].tokens_end,
                     end = kept[place.index].tokens_end;
      const std::span<const std::byte> bytes = tokens[place.part].bytes();
      if (begin > end || end * sizeof(TokenId) > bytes.size())
        throw Error(tokens[place.part].path(), "tokens of every document", "a file that is cut");
      if (writer && writer->tokens() >= static_cast<uint64_t>(config_.shard_tokens)) finish();
      if (!writer) {
        prefix = folder + fmt::format("/{}-{:05}", name, shards.size());
        writer = std::make_unique<ShardWriter>(prefix, token_type_for(tokenizer_->vocab_size()));
      }
      writer->add({reinterpret_cast<const TokenId*>(bytes.data()) + begin, end - begin});
    }
    finish();
    remove_later_shards(folder, name, shards.size());
    return shards;
  }

 private:
  static std::span<const Kept> records(const MappedFile& file) {
    return {reinterpret_cast<const Kept*>(file.bytes().data()), file.bytes().size() / sizeof(Kept)};
  }
  static std::string digest(const std::string& path) {
    const MappedFile file(path);
    Digest digest(Digest::Kind::sha256);
    digest.update(file.text());
    return digest.hex();
  }
  // An earlier run with smaller shards may have left more of them.
  static void remove_later_shards(const std::string& folder, const std::string& name, size_t count) {
    for (size_t i = count; fs::remove(folder + fmt::format("/{}-{:05}.idx", name, i)); ++i)
      fs::remove(folder + fmt::format("/{}-{:05}.bin", name, i));
  }

  Build& build_;
  const std::vector<RepeatedParagraph>& repeated_;
  const std::vector<Decision>& decisions_;
  const CorpusConfig& config_;
  const Tokenizer* tokenizer_;
  TokenId end_of_text_ = -1;
};

}  // namespace

Json pack_stage(Build& build, const std::vector<Part>& parts, const std::vector<RepeatedParagraph>& repeated,
                const std::vector<Decision>& decisions) {
  build.folder("6-tokens");
  build.folder("documents");
  Packer packer(build, repeated, decisions);
  std::vector<Tally> tallies(parts.size());
  build.parallel("tokens", parts.size(), [&](size_t i, int) {
    const std::string key = packer.key(parts[i]);
    const std::string path = packer.path(parts[i]) + ".json";
    Json record = Build::record(path, key);
    const bool done = !record.is_null();
    if (!done) {
      record = {{"tally", packer.run(parts[i]).json()}};
      Build::write_record(path, key, record);
    }
    tallies[i] = Tally::from_json(record.at("tally"));
    const std::lock_guard lock(build.mutex);
    ++(done ? build.tasks_kept : build.tasks_done);
  });
  std::vector<Tally>& stage = build.tally("pack");
  Tally all;
  for (size_t i = 0; i < parts.size(); ++i) {
    stage[parts[i].source].merge(tallies[i]);
    all.merge(tallies[i]);
  }
  Json result = {{"documents", all.documents_out}, {"text_bytes", all.bytes_out}, {"categories", all.categories}};
  if (build.options().tokenizer != nullptr) {
    result["tokens"] = all.notes["training tokens"] + all.notes["validation tokens"];
    result["training_shards"] = packer.write_shards(parts, 0, "train");
    result["validation_shards"] = packer.write_shards(parts, 1, "validation");
  }
  return result;
}

}  // namespace sigma::corpus
