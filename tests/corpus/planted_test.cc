// Known answers: documents planted in a corpus, of which each stage must find those that it is for and no others.
// Prints the recall and precision that docs/corpus.md tells.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "base/file.h"
#include "base/rng.h"
#include "corpus/clean.h"
#include "corpus/minhash.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "corpus/words.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

const char* const kWords[] = {
    "the",  "of",      "and",    "to",     "in",    "is",     "that",    "for",     "it",      "with",   "be",
    "have", "kernel",  "module", "system", "file",  "server", "network", "option",  "value",   "memory", "page",
    "user", "process", "device", "driver", "table", "query",  "node",    "cluster", "default", "when",   "this"};

std::vector<std::string> words_of(uint64_t seed, int count) {
  Rng rng(seed);
  std::vector<std::string> words;
  for (int i = 0; i < count; ++i) words.emplace_back(kWords[rng.below(std::size(kWords))]);
  return words;
}

std::string text_of(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i)
    text.append(words[i]).append(i % 60 == 59 ? ".\n\n" : i % 12 == 11 ? ".\n" : " ");
  return text + "\n";
}

std::vector<uint64_t> shingles_of(const std::string& text) {
  std::vector<uint64_t> words, shingles;
  append_word_hashes(words, text);
  make_shingles(shingles, words);
  return shingles;
}

// A copy with so many words changed, at places spread over it.
std::string changed(const std::vector<std::string>& words, int changes) {
  std::vector<std::string> copy = words;
  for (int c = 0; c < changes; ++c)
    copy[(static_cast<size_t>(c) * 2 + 1) * copy.size() / (2 * static_cast<size_t>(changes))] =
        fmt::format("changed{}", c);
  return text_of(copy);
}

struct Score {
  int planted = 0, found = 0;   // of those that should be
  int controls = 0, wrong = 0;  // of those that should not
  void print(const char* what) const {
    std::printf("%-52s recall %4d / %4d   precision %4d / %4d (%d controls)\n", what, found, planted, found,
                found + wrong, controls);
  }
};

// Texts by id of what a build kept, and of what it dropped the reasons.
struct Built {
  std::set<std::string> kept;
  std::map<std::string, std::string> texts;
  Json manifest;
};

class Planted : public testing::Test {
 protected:
  void plant(const std::string& id, const std::string& text) {
    lines_ += Json({{"id", id}, {"text", text}}).dump() + "\n";
  }
  Built build(const std::string& more) {
    write_file(folder_.path("in.jsonl"), lines_);
    write_file(folder_.path("c.toml"), "[[source]]\nkind = 'json_lines'\npath = 'in.jsonl'\n" + more);
    BuildOptions options{
        .config = read_corpus_config(folder_.path("c.toml")), .work = folder_.path("work"), .version = "test"};
    options.threads = 2;
    Built built{.kept = {}, .texts = {}, .manifest = build_corpus(options)};
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path("work/documents")))
      read_documents(entry.path(), [&](Document& d) {
        built.kept.insert(d.id);
        built.texts[d.id] = d.text;
      });
    return built;
  }
  test::TempFolder folder_;
  std::string lines_;
};

TEST_F(Planted, SameTexts) {
  constexpr int kTexts = 100;
  for (int i = 0; i < kTexts; ++i) {
    const std::string text = text_of(words_of(static_cast<uint64_t>(i), 300));
    plant(fmt::format("first{}", i), text);
    std::string layout = "  ";  // other case, layout and punctuation
    for (const char c : text) layout += c == '\n' ? ' ' : c == '.' ? ';' : static_cast<char>(std::toupper(c));
    plant(fmt::format("copy{}", i), i % 2 == 0 ? text : layout);
    plant(fmt::format("other{}", i), text + "One word more.\n");  // a near duplicate, not the same
  }
  const Built built = build("[duplicates]\njaccard = 1.1\nparagraph_repeats = 0\n");
  Score score{kTexts, 0, 2 * kTexts, 0};
  for (int i = 0; i < kTexts; ++i) {
    score.found += built.kept.contains(fmt::format("copy{}", i)) ? 0 : 1;
    for (const char* name : {"first", "other"})
      score.wrong += built.kept.contains(fmt::format("{}{}", name, i)) ? 0 : 1;
  }
  score.print("same texts (layout, case, punctuation differ)");
  EXPECT_EQ(score.found, score.planted);
  EXPECT_EQ(score.wrong, 0);
}

TEST_F(Planted, NearDuplicates) {
  constexpr int kPairs = 100, kLength = 800;
  const std::pair<double, int> kLevels[] = {{0.95, 0}, {0.9, 0}, {0.85, 0}, {0.8, 0}, {0.75, 0}, {0.7, 0}, {0.5, 0}};
  std::vector<double> expected;
  uint64_t seed = 0;
  for (const auto& [level, unused] : kLevels) {
    // k changes far apart leave S - 5 k of S shingles on both sides: J = (S - 5 k) / (S + 5 k); at least the level.
    const auto changes = static_cast<int>((kLength - 4) * (1 - level) / (5 * (1 + level)));
    double found = 0;
    for (int i = 0; i < kPairs; ++i) {
      const std::vector<std::string> words = words_of(++seed + 10000, kLength);
      const std::string a = text_of(words), b = changed(words, changes);
      const double exact = jaccard(shingles_of(a), shingles_of(b));
      EXPECT_NEAR(exact, level, 0.02);
      found += exact >= 0.8 ? 1 - std::pow(1 - std::pow(exact, kRows), kBands) : 0;
      plant(fmt::format("a{}-{}", level, i), a);
      plant(fmt::format("b{}-{}", level, i), b);
    }
    expected.push_back(found);
  }
  const Built built = build("[duplicates]\nparagraph_repeats = 0\n");
  for (size_t l = 0; l < std::size(kLevels); ++l) {
    const double level = kLevels[l].first;
    int found = 0;
    for (int i = 0; i < kPairs; ++i) {
      const int kept = (built.kept.contains(fmt::format("a{}-{}", level, i)) ? 1 : 0) +
                       (built.kept.contains(fmt::format("b{}-{}", level, i)) ? 1 : 0);
      ASSERT_GE(kept, 1);
      found += 2 - kept;
    }
    std::printf("near duplicates, J = %.2f: %3d of %d pairs are one document (the curve: %.1f)\n", level, found, kPairs,
                expected[l]);
    const double p = expected[l] / kPairs;
    EXPECT_NEAR(found, expected[l], 4 * std::sqrt(kPairs * p * (1 - p)) + 1e-9) << level;
  }
}

TEST_F(Planted, ContaminatedDocuments) {
  constexpr int kQuestions = 60;
  std::string evaluation;
  for (int i = 0; i < kQuestions; ++i) {
    std::vector<std::string> question = words_of(static_cast<uint64_t>(i) + 500, 12);
    question[5] = fmt::format("question{}", i);
    const auto embed = [&](const std::vector<std::string>& middle) {
      std::vector<std::string> words = words_of(static_cast<uint64_t>(i) + 900, 200);
      words.insert(words.begin() + 100, middle.begin(), middle.end());
      words.insert(words.begin() + 100 + static_cast<ptrdiff_t>(middle.size()), "end");  // nor the twelfth by chance
      words.push_back(fmt::format("document{}", middle.size()));
      return text_of(words);
    };
    evaluation += Json({{"question", text_of(question)}}).dump() + "\n";
    plant(fmt::format("contaminated{}", i), embed(question));  // all its 12 words, layout apart
    plant(fmt::format("control{}", i), embed({question.begin(), question.end() - 1}));
  }
  write_file(folder_.path("eval.jsonl"), evaluation);
  const Built built =
      build("[evaluation]\nfiles = ['eval.jsonl']\n[duplicates]\njaccard = 1.1\nparagraph_repeats = 0\n");
  Score score{kQuestions, 0, kQuestions, 0};
  for (int i = 0; i < kQuestions; ++i) {
    score.found += built.kept.contains(fmt::format("contaminated{}", i)) ? 0 : 1;
    score.wrong += built.kept.contains(fmt::format("control{}", i)) ? 0 : 1;
  }
  score.print("contaminated documents (12 words; controls: 11)");
  EXPECT_EQ(score.found, score.planted);
  EXPECT_EQ(score.wrong, 0);
}

TEST_F(Planted, Boilerplate) {
  constexpr int kDocuments = 60;
  const std::string licence =
      "Permission is granted to copy, distribute and modify this document under the terms of the licence that is "
      "printed "
      "at its end, with no invariant sections.\n\n";
  const std::vector<std::string> navigation = {"Prev | Up | Next", "Edit on GitHub", "Table of Contents",
                                               "[ Previous ] [ Next ]"};
  const std::vector<std::string> content = {"next-server 10.0.0.1", "up  how long the system has been up",
                                            "The next section edits the table of contents.",
                                            "-p, --previous  the one before"};
  for (int i = 0; i < kDocuments; ++i) {
    std::string text = i % 3 == 0 ? licence : "";
    text += navigation[static_cast<size_t>(i) % 4] + "\n" + text_of(words_of(static_cast<uint64_t>(i) + 3000, 200));
    text += content[static_cast<size_t>(i) % 4] + "\n" + navigation[static_cast<size_t>(i + 1) % 4] + "\n";
    plant(fmt::format("{}", i), text);
  }
  const Built built = build("");
  Score lines{2 * kDocuments, 0, kDocuments, 0}, paragraphs{kDocuments / 3 - 1, 0, kDocuments, 0};
  ASSERT_EQ(built.texts.size(), static_cast<size_t>(kDocuments));
  int licences = 0;
  for (int i = 0; i < kDocuments; ++i) {
    const std::string& text = built.texts.at(fmt::format("{}", i));
    for (const int k : {i, i + 1})
      lines.found += text.find(navigation[static_cast<size_t>(k) % 4]) == std::string::npos ? 1 : 0;
    lines.wrong += text.find(content[static_cast<size_t>(i) % 4]) == std::string::npos ? 1 : 0;
    licences += text.find("Permission is granted") != std::string::npos ? 1 : 0;
    const std::string own = text_of(words_of(static_cast<uint64_t>(i) + 3000, 200));
    paragraphs.wrong += text.find(own.substr(own.rfind("\n\n", own.size() - 3) + 2, 50)) == std::string::npos ? 1 : 0;
  }
  paragraphs.found = kDocuments / 3 - licences;
  lines.print("navigation lines (controls: options, prose)");
  paragraphs.print("paragraphs in more than 8 documents");
  EXPECT_EQ(lines.found, lines.planted);
  EXPECT_EQ(lines.wrong, 0);
  EXPECT_EQ(paragraphs.found, paragraphs.planted);
  EXPECT_EQ(paragraphs.wrong, 0);
}

// Of every kind: texts with it in a sentence, and texts with what only looks like it.
TEST(PlantedInTexts, PersonalData) {
  Rng rng(1);
  const auto pick = [&](std::initializer_list<const char*> list) {
    return std::string(*(list.begin() + rng.below(list.size())));
  };
  const auto letters = [&](size_t count, std::string_view from) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += from[rng.below(from.size())];
    return out;
  };
  constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz", kHex = "0123456789abcdef",
                             kAny = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  Score emails, addresses, secrets;
  for (int i = 0; i < 200; ++i) {
    const std::string before = pick({"Write to ", "From: Jane <", "see (", "maintainer=", "contact: "});
    const std::string after = pick({" for help.", ">", ")", ", or call", "\n"});
    const auto masked = [&](const std::string& what) {
      std::string text = before + what + after;
      const Masked m = mask_personal(text);
      return std::tuple(m, text.find(what) == std::string::npos);
    };
    const std::string host = letters(4 + rng.below(8), kLower);
    const std::string email = letters(1 + rng.below(6), kLower) + pick({"", ".", "_", "-", "+"}) + letters(3, kLower) +
                              "@" + host + pick({".org", ".com", ".de", ".co.uk", ".kernel.org"});
    ++emails.planted, emails.found += std::get<1>(masked(email)) ? 1 : 0;
    const std::string no_email =
        pick({"getty@tty1.service", "git@github.com:", "root@localhost", "user@example.com", "@Override ", "name@"});
    ++emails.controls, emails.wrong += std::get<0>(masked(no_email)).emails > 0 ? 1 : 0;

    const auto octet = [&](int low, int high) {
      return low + static_cast<int>(rng.below(static_cast<uint64_t>(high - low)));
    };
    const std::string address =
        fmt::format("{}.{}.{}.{}", octet(60, 99), octet(20, 250), octet(20, 250), octet(20, 250));
    ++addresses.planted, addresses.found += std::get<1>(masked(address)) ? 1 : 0;
    const std::string no_address =
        pick({"10.", "192.168.", "172.16.", "version 81.", "libfoo-2.30.", "libfoo==81.30."}) +
        fmt::format("{}.{}", octet(1, 250), octet(1, 250));
    ++addresses.controls, addresses.wrong += std::get<0>(masked(no_address)).addresses > 0 ? 1 : 0;

    const std::string secret =
        i % 4 == 0   ? "AKIA" + letters(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        : i % 4 == 1 ? "ghp_" + letters(36, kAny)
        : i % 4 == 2 ? "sk-" + letters(48, kAny)
                     : "-----BEGIN RSA PRIVATE KEY-----\n" + letters(400, kAny) + "\n-----END RSA PRIVATE KEY-----";
    ++secrets.planted, secrets.found += std::get<1>(masked(secret)) ? 1 : 0;
    const std::string no_secret =
        i % 4 == 0   ? "sk-" + letters(8, kLower)
        : i % 4 == 1 ? letters(40, kHex)  // a commit
        : i % 4 == 2 ? "sha256:" + letters(64, kHex)
                     : "-----BEGIN CERTIFICATE-----\n" + letters(400, kAny) + "\n-----END CERTIFICATE-----";
    ++secrets.controls, secrets.wrong += std::get<0>(masked(no_secret)).secrets > 0 ? 1 : 0;
  }
  emails.print("e-mail addresses");
  addresses.print("public IP addresses");
  secrets.print("keys and tokens");
  EXPECT_GE(emails.found, emails.planted * 99 / 100);
  EXPECT_EQ(addresses.found, addresses.planted);
  EXPECT_GE(secrets.found, secrets.planted * 99 / 100);
  EXPECT_EQ(emails.wrong + addresses.wrong + secrets.wrong, 0);
}

}  // namespace
}  // namespace sigma::corpus
