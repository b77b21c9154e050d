#include "corpus/tally.h"

#include <algorithm>
#include <bit>

#include "corpus/text_util.h"

namespace sigma::corpus {

namespace {

constexpr size_t kExcerpt = 1500;

void offer(std::vector<Sample>& samples, size_t most, const Document& d, const std::string& note) {
  const uint64_t rank = hash_bytes(d.id, hash_bytes(d.source)) >> 12;  // exact in any JSON reader
  if (samples.size() == most && samples.back().rank <= rank) return;
  Sample sample{rank, d.id, d.title, d.category, std::string(cut_text(d.text, kExcerpt)), note};
  const auto at = std::upper_bound(samples.begin(), samples.end(), sample,
                                   [](const Sample& a, const Sample& b) { return a.rank < b.rank; });
  samples.insert(at, std::move(sample));
  if (samples.size() > most) samples.pop_back();
}

void merge_samples(std::vector<Sample>& samples, const std::vector<Sample>& others, size_t most) {
  samples.insert(samples.end(), others.begin(), others.end());
  std::stable_sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) { return a.rank < b.rank; });
  if (samples.size() > most) samples.resize(most);
}

Json samples_json(const std::vector<Sample>& samples) {
  Json out = Json::array();
  for (const Sample& s : samples)
    out.push_back({{"rank", s.rank},
                   {"id", s.id},
                   {"title", s.title},
                   {"category", s.category},
                   {"text", s.text},
                   {"note", s.note}});
  return out;
}

std::vector<Sample> samples_from(const Json& json) {
  std::vector<Sample> out;
  for (const Json& s : json)
    out.push_back({s.at("rank"), s.at("id"), s.at("title"), s.at("category"), s.at("text"), s.at("note")});
  return out;
}

}  // namespace

void Tally::out(const Document& document) {
  ++documents_out;
  bytes_out += document.text.size();
  ++lengths[std::min<size_t>(kLengths - 1, static_cast<size_t>(std::bit_width(document.text.size())))];
  auto& category = categories[document.category];
  ++category[0];
  category[1] += document.text.size();
  offer(kept, 2 * kSamples, document, "");
}

void Tally::drop(const std::string& reason, const Document& document, const std::string& note) {
  Drop& drop = drops[reason];
  if (drop.documents++ == 0) drop.example = document.id;
  drop.bytes += document.text.size();
  offer(drop.samples, kSamples, document, note);
}

void Tally::skip(const std::string& reason, const std::string& what) {
  Drop& drop = drops[reason];
  if (drop.documents++ == 0) drop.example = to_utf8(what);
}

void Tally::share(const std::string& name, double value) {
  ++shares[name][static_cast<size_t>(std::clamp(value * kShares, 0.0, kShares - 1.0))];
}

void Tally::merge(const Tally& other) {
  documents_in += other.documents_in;
  bytes_in += other.bytes_in;
  documents_out += other.documents_out;
  bytes_out += other.bytes_out;
  for (const auto& [reason, drop] : other.drops) {
    Drop& mine = drops[reason];
    if (mine.documents == 0) mine.example = drop.example;
    mine.documents += drop.documents;
    mine.bytes += drop.bytes;
    merge_samples(mine.samples, drop.samples, kSamples);
  }
  for (const auto& [name, count] : other.notes) notes[name] += count;
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] += other.lengths[i];
  for (const auto& [name, histogram] : other.shares)
    for (size_t i = 0; i < histogram.size(); ++i) shares[name][i] += histogram[i];
  for (const auto& [name, counts] : other.categories)
    for (size_t i = 0; i < 2; ++i) categories[name][i] += counts[i];
  merge_samples(kept, other.kept, 2 * kSamples);
}

Json Tally::json() const {
  Json dropped = Json::object();
  for (const auto& [reason, drop] : drops)
    dropped[reason] = {{"documents", drop.documents},
                       {"bytes", drop.bytes},
                       {"example", drop.example},
                       {"samples", samples_json(drop.samples)}};
  return {{"documents_in", documents_in}, {"bytes_in", bytes_in}, {"documents_out", documents_out},
          {"bytes_out", bytes_out},       {"drops", dropped},     {"notes", notes},
          {"lengths", lengths},           {"shares", shares},     {"categories", categories},
          {"kept", samples_json(kept)}};
}

Tally Tally::from_json(const Json& json) {
  Tally t;
  t.documents_in = json.at("documents_in");
  t.bytes_in = json.at("bytes_in");
  t.documents_out = json.at("documents_out");
  t.bytes_out = json.at("bytes_out");
  for (const auto& [reason, drop] : json.at("drops").items())
    t.drops[reason] = {drop.at("documents"), drop.at("bytes"), drop.at("example"), samples_from(drop.at("samples"))};
  t.notes = json.at("notes").get<std::map<std::string, uint64_t>>();
  t.lengths = json.at("lengths").get<std::array<uint64_t, kLengths>>();
  t.shares = json.at("shares").get<std::map<std::string, std::array<uint64_t, kShares>>>();
  t.categories = json.at("categories").get<std::map<std::string, std::array<uint64_t, 2>>>();
  t.kept = samples_from(json.at("kept"));
  return t;
}

}  // namespace sigma::corpus
