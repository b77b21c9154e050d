#include "corpus/classifier.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

constexpr const char* kSql[] = {"table", "query", "index", "column", "transaction", "schema", "join", "select"};
constexpr const char* kNet[] = {"packet", "router", "firewall", "interface", "address", "socket", "route", "port"};

// Sentences about databases or about networks.
std::string text_about(std::string_view label, uint64_t seed, int sentences) {
  Rng rng(seed);
  std::string out;
  for (int s = 0; s < sentences; ++s) {
    const auto& words = label == "databases" ? kSql : kNet;
    out +=
        fmt::format("The {} is used with the {} of {} number {}, and that has to be set for each {} in it.\n",
                    words[rng.below(8)], words[rng.below(8)], words[rng.below(8)], seed * 100 + s, words[rng.below(8)]);
  }
  return out;
}

std::vector<Example> examples(int count) {
  std::vector<Example> out;
  for (int i = 0; i < count; ++i) {
    const std::string label = i % 2 == 0 ? "databases" : "networking";
    out.push_back({label, classifier_words(text_about(label, static_cast<uint64_t>(i), 8), kTrainedBytes)});
  }
  return out;
}

TEST(Classifier, SeesWordsOfLetters) {
  EXPECT_EQ(classifier_words("  a1b--c d\n\xc3\xa4\xe2\x94\x82x 42", 100), "a b c d \xc3\xa4 x");
  EXPECT_EQ(classifier_words("\xff\xfe ok \xc3", 100), "ok");
  EXPECT_EQ(classifier_words("one two three", 5), "one t");
  EXPECT_EQ(classifier_words("", 5), "");
}

TEST(Classifier, LearnsLabelsAndGivesTheSameBytes) {
  const test::TempFolder folder;
  train_classifier(folder.path("a.bin"), examples(200), 1);
  train_classifier(folder.path("b.bin"), examples(200), 1);
  train_classifier(folder.path("c.bin"), examples(200), 2);
  EXPECT_EQ(read_file(folder.path("a.bin")), read_file(folder.path("b.bin")));
  EXPECT_NE(read_file(folder.path("a.bin")), read_file(folder.path("c.bin")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("a.bin.scratch.examples")));
  const Classifier classifier(folder.path("a.bin"));
  for (const char* label : {"databases", "networking"}) {
    for (uint64_t seed = 1000; seed < 1020; ++seed) {
      const Classifier::Label found = classifier.label(classifier_words(text_about(label, seed, 5), kClassifierBytes));
      EXPECT_EQ(found.name, label);
      EXPECT_GT(found.probability, 0.9);
    }
  }
  EXPECT_EQ(classifier.label(classifier_words("12 34", kClassifierBytes)).name, "");
}

TEST(Classifier, RefusesWhatItCannotTrust) {
  const test::TempFolder folder;
  EXPECT_THROW(train_classifier(folder.path("none.bin"), {}, 1), Error);
  EXPECT_THROW(train_classifier(folder.path("one.bin"), std::vector<Example>{{"a", "words of it"}}, 1), Error);
  train_classifier(folder.path("a.bin"), examples(40), 1);
  const std::string bytes = read_file(folder.path("a.bin"));
  for (const size_t size : {size_t{0}, size_t{10}, bytes.size() / 2, bytes.size() - 1}) {
    write_file(folder.path("a.bin"), bytes.substr(0, size));
    EXPECT_THROW(Classifier(folder.path("a.bin")), Error) << size;
  }
  write_file(folder.path("other.bin"), bytes);  // without a record: nobody says where it comes from
  EXPECT_THROW(Classifier(folder.path("other.bin")), Error);
  EXPECT_THROW(Classifier(folder.path("missing.bin")), Error);
}

// A build that learns categories from two folders, labels a third, and is judged.
TEST(Classifier, LabelsABuildAndIsJudged) {
  const test::TempFolder folder;
  namespace fs = std::filesystem;
  const auto put = [&](const std::string& source, int i, std::string_view label) {
    fs::create_directories(folder.path(source));
    const std::string text =
        text_about(label, std::hash<std::string>{}(source) % 1000 + static_cast<uint64_t>(i) * 7, 8);
    write_file(folder.path(fmt::format("{}/{:03}.txt", source, i)), text);
    return text;
  };
  for (int i = 0; i < 120; ++i) put("db", i, "databases"), put("net", i, "networking");
  std::string judged = "id\thash\ttopic\n";
  for (int i = 0; i < 20; ++i) {
    const std::string label = i % 2 == 0 ? "databases" : "networking";
    const std::string text = put("forum", i, label);
    // One judgement says otherwise, one is about another text.
    judged += fmt::format("{:03}.txt\t{}\t{}\n", i + 500, text_fingerprint(i == 7 ? "another" : text),
                          i == 4 ? "networking" : label);
    fs::rename(folder.path(fmt::format("forum/{:03}.txt", i)), folder.path(fmt::format("forum/{:03}.txt", i + 500)));
  }
  write_file(folder.path("judged.tsv"), judged + "gone.txt\t0\tdatabases\n");
  write_file(folder.path("c.toml"),
             "judged = 'judged.tsv'\n[[source]]\nkind = 'folder'\nname = 'db'\npath = 'db'\ncategory = 'databases'\n"
             "[[source]]\nkind = 'folder'\nname = 'net'\npath = 'net'\ncategory = 'networking'\n"
             "[[source]]\nkind = 'folder'\nname = 'forum'\npath = 'forum'\ncategory = 'forums'\n"
             "[[classifier]]\nname = 'topic'\nlabels = 'category'\nkeep = ['databases']\n"
             "[duplicates]\njaccard = 1.1\n");
  BuildOptions o;
  o.config = read_corpus_config(folder.path("c.toml"));
  o.work = folder.path("work");
  o.threads = 2;
  const Json manifest = build_corpus(o);
  const Json& classifier = manifest.at("classifiers").at(0);
  EXPECT_EQ(classifier.at("labels"), "the categories of the documents' sources");
  EXPECT_GT(classifier.at("examples").at("databases"), 90);  // one in ten is held out
  EXPECT_LT(classifier.at("examples").at("databases"), 120);
  size_t documents = 0;
  for (const auto& entry : fs::directory_iterator(folder.path("work/documents")))
    read_documents(entry.path(), [&](Document& d) {
      ++documents;
      ASSERT_EQ(d.metadata.at(d.metadata.size() - 2).first, "topic");
      EXPECT_NE(d.metadata.at(d.metadata.size() - 2).second, "networking");
    });
  EXPECT_EQ(documents, 130u);  // those of the databases' folder, and half of the forum's
  const Json& agreement = manifest.at("judged");
  EXPECT_EQ(agreement.at("judged"), 21);
  EXPECT_EQ(agreement.at("changed"), 1);
  EXPECT_EQ(agreement.at("not_there"), 1);
  EXPECT_EQ(agreement.at("agreement").at("topic").at("documents"), 19);
  const Json& labels = agreement.at("agreement").at("topic").at("labels");
  EXPECT_EQ(labels.at("networking"),
            Json::parse(R"({"documents": 10, "labelled": 9, "right": 9, "precision": 1.0, "recall": 0.9})"));
  EXPECT_EQ(labels.at("databases").at("recall"), 1.0);
  EXPECT_EQ(agreement.at("agreement").at("rules and classifiers").at("labels").at("left out").at("right"), 9);
}

}  // namespace
}  // namespace sigma::corpus
