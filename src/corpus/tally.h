// What a stage did with the documents of one source: every one that came in either goes out or is counted under the
// reason why it does not, with samples for people to look at.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus/document.h"

namespace sigma::corpus {

struct Sample {
  uint64_t rank = 0;  // a hash of the id: the samples are those of the least ranks, whatever the order of the documents
  std::string id, title, category, text, note;
};

struct Tally {
  static constexpr int kLengths = 32;    // histogram of text bytes by powers of two
  static constexpr int kShares = 20;     // histograms of shares, in steps of 5%
  static constexpr size_t kSamples = 4;  // of each reason
  struct Drop {
    uint64_t documents = 0, bytes = 0;
    std::string example;  // of the first
    std::vector<Sample> samples;
  };
  uint64_t documents_in = 0, bytes_in = 0, documents_out = 0, bytes_out = 0;
  std::map<std::string, Drop> drops;
  std::map<std::string, uint64_t> notes;  // whatever else was counted
  std::array<uint64_t, kLengths> lengths{};
  std::map<std::string, std::array<uint64_t, kShares>> shares;
  std::map<std::string, std::array<uint64_t, 2>> categories;  // documents and bytes that go out
  std::vector<Sample> kept;

  void in(const Document& document) { ++documents_in, bytes_in += document.text.size(); }
  void out(const Document& document);
  void drop(const std::string& reason, const Document& document, const std::string& note = "");
  void skip(const std::string& reason, const std::string& what);  // something that never became a document
  void share(const std::string& name, double value);
  void merge(const Tally& other);  // that of what comes after

  Json json() const;
  static Tally from_json(const Json& json);
};

}  // namespace sigma::corpus
