// Stage 6: the documents that stay, shuffled and cut into shards of tokens.
#include <algorithm>
#include <filesystem>
#include <set>

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
constexpr uint64_t kReleasedTokens = uint64_t{1} << 24;  // read between two times that their memory is given back

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
    if (spec == nullptr) return;
    Digest digest(Digest::Kind::sha256);
    for (const std::string& token : spec->tokens) digest.update(fmt::format("{} {}\n", token.size(), token));
    vocabulary_ = digest.hex();
  }

  std::string path(const Part& part) const { return build_.options().work + "/6-tokens/" + part.name; }
  std::string documents_path(const Part& part) const {
    return build_.options().work + "/documents/" + part.name + ".jsonl.zst";
  }

  std::string key(const Part& part) const {
    std::string verdicts;
    for (uint64_t d = part.first; d < part.first + part.documents; ++d)
      verdicts += fmt::format("{} {}\n", static_cast<int>(decisions_[d].verdict), decisions_[d].other);
    return Build::key_of(
        {std::string(kForm), part.key, verdicts, vocabulary_, fmt::format("{} {}", config_.seed, config_.validation)});
  }

  Tally run(const Part& part) {
    Tally tally;
    DocumentWriter documents(documents_path(part));
    FileWriter tokens(path(part) + ".tokens"), places(path(part) + ".places");
    ParagraphFile paragraphs(build_.options(), part);
    uint64_t number = part.first, end = 0;
    read_documents(build_.options().work + "/2-clean/" + part.name + ".jsonl.zst", [&](Document& d) {
      const uint64_t self = number++;
      tally.in(d);
      const uint64_t dropped = drop_paragraphs(d.text, paragraphs.next(), self, repeated_);
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

  // Of an earlier build with other inputs.
  void remove_other_documents(const std::vector<Part>& parts) const {
    std::set<std::string> ours;
    for (const Part& part : parts) ours.insert(fs::path(documents_path(part)).filename().string());
    std::vector<fs::path> others;
    for (const auto& entry : fs::directory_iterator(build_.options().work + "/documents"))
      if (!ours.contains(entry.path().filename().string())) others.push_back(entry.path());
    for (const fs::path& path : others) fs::remove(path);
  }

  // Shards of both splits, in shuffled order; what the manifest says of them. `key`: of all that was packed.
  void write_shards(Json& result, const std::vector<Part>& parts, const std::string& key) {
    const Tokens all(*this, parts);
    const std::string folder = build_.folder("shards"), records = build_.folder("6-tokens");
    std::vector<ShardPlan> plans;
    std::vector<Task> tasks;
    for (const auto& [validation, split] : {std::pair{0u, "train"}, {1u, "validation"}}) {
      const std::vector<Place> order = all.order(validation);
      size_t count = 0;
      for (size_t begin = 0; begin < order.size(); ++count) {
        ShardPlan plan{fmt::format("{}-{:05}", split, count), {}};
        size_t end = begin;
        for (uint64_t tokens = 0; end < order.size() && tokens < static_cast<uint64_t>(config_.shard_tokens); ++end)
          tokens += all.of(order[end]).size();
        plan.places.assign(order.begin() + static_cast<ptrdiff_t>(begin), order.begin() + static_cast<ptrdiff_t>(end));
        begin = end;
        const std::string prefix = folder + "/" + plan.name;
        tasks.push_back({records + "/" + plan.name + ".json",
                         Build::key_of({key, fmt::format("{}", config_.shard_tokens)}),
                         {prefix + ".bin", prefix + ".idx"}});
        plans.push_back(std::move(plan));
      }
      result[split == std::string_view("train") ? "training_shards" : "validation_shards"] = Json::array();
      if (build_.first()) remove_later_shards(folder, split, count);
    }
    build_.perform(
        "shards", tasks,
        [&](size_t i, int) -> Json {
          ShardWriter writer(folder + "/" + plans[i].name, token_type_for(tokenizer_->vocab_size()));
          uint64_t released = 0;
          for (const Place& place : plans[i].places) {
            writer.add(all.of(place));
            if (writer.tokens() - released < kReleasedTokens) continue;
            all.release();
            released = writer.tokens();
          }
          const uint64_t documents = writer.documents(), tokens = writer.tokens();
          writer.commit();
          return {{"shard",
                   {{"file", plans[i].name},
                    {"documents", documents},
                    {"tokens", tokens},
                    {"sha256_bin", sha256_of_file(tasks[i].results[0])},
                    {"sha256_idx", sha256_of_file(tasks[i].results[1])}}}};
        },
        [&](size_t i, const Json& record) {
          result[plans[i].name.starts_with("train") ? "training_shards" : "validation_shards"].push_back(
              record.at("shard"));
        });
  }

 private:
  struct ShardPlan {
    std::string name;
    std::vector<Place> places;
  };

  // The tokens of all documents that stay.
  class Tokens {
   public:
    Tokens(const Packer& packer, const std::vector<Part>& parts) {
      for (const Part& part : parts) {
        tokens_.emplace_back(packer.path(part) + ".tokens");
        kept_.emplace_back(packer.path(part) + ".places");
      }
    }
    std::vector<Place> order(uint32_t validation) const {
      std::vector<Place> places;
      for (uint32_t part = 0; part < kept_.size(); ++part) {
        const std::span<const Kept> kept = kept_[part].all();
        for (uint32_t i = 0; i < kept.size(); ++i)
          if (kept[i].validation == validation) places.push_back({kept[i].order, part, i});
      }
      std::sort(places.begin(), places.end());
      return places;
    }
    std::span<const TokenId> of(const Place& place) const {
      const std::span<const Kept> kept = kept_[place.part].all();
      const uint64_t begin = place.index == 0 ? 0 : kept[place.index - 1].tokens_end,
                     end = kept[place.index].tokens_end;
      const std::span<const TokenId> all = tokens_[place.part].all();
      if (begin > end || end > all.size()) throw Error("6-tokens", "tokens of every document", "a file that is cut");
      return all.subspan(begin, end - begin);
    }

    void release() const {
      for (const auto& tokens : tokens_) tokens.release();
    }

   private:
    std::vector<Records<TokenId>> tokens_;
    std::vector<Records<Kept>> kept_;
  };

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
  std::string vocabulary_ = "none";
  TokenId end_of_text_ = -1;
};

}  // namespace

Json pack_stage(Build& build, const std::vector<Part>& parts, const std::vector<RepeatedParagraph>& repeated,
                const std::vector<Decision>& decisions) {
  build.folder("6-tokens");
  build.folder("documents");
  Packer packer(build, repeated, decisions);
  std::vector<Task> tasks;
  std::string keys;
  for (const Part& part : parts) {
    tasks.push_back({packer.path(part) + ".json",
                     packer.key(part),
                     {packer.documents_path(part), packer.path(part) + ".tokens", packer.path(part) + ".places"}});
    keys += tasks.back().key;
  }
  std::vector<Tally>& stage = build.tally("pack");
  Tally all;
  build.perform(
      "tokens", tasks,
      [&](size_t i, int) -> Json {
        return {{"tally", packer.run(parts[i]).json()}};
      },
      [&](size_t i, const Json& record) {
        const Tally tally = Tally::from_json(record.at("tally"));
        stage[parts[i].source].merge(tally);
        all.merge(tally);
      });
  if (build.first()) packer.remove_other_documents(parts);
  Json result = {{"documents", all.documents_out}, {"text_bytes", all.bytes_out}, {"categories", all.categories}};
  if (build.options().tokenizer != nullptr) {
    result["tokens"] = all.notes["training tokens"] + all.notes["validation tokens"];
    packer.write_shards(result, parts, keys);
  }
  return result;
}

}  // namespace sigma::corpus
