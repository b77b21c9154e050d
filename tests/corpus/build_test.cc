// Whole builds of a small corpus: planted documents are found, nothing is lost on the way, and the bytes do not depend
// on threads or on how often the build was killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/rng.h"
#include "corpus/stages.h"
#include "corpus/store.h"
#include "data/shard.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

namespace fs = std::filesystem;

// English of a kind: sentences of common words, the same for the same seed.
std::string prose(uint64_t seed, int sentences) {
  static const char* const kWords[] = {
      "the",  "of",      "and",    "to",     "in",    "is",     "that",    "for",     "it",      "with",   "be",
      "have", "kernel",  "module", "system", "file",  "server", "network", "option",  "value",   "memory", "page",
      "user", "process", "device", "driver", "table", "query",  "node",    "cluster", "default", "when",   "this"};
  Rng rng(seed);
  std::string out;
  for (int s = 0; s < sentences; ++s) {
    for (int w = 0; w < 12; ++w) out.append(w == 0 ? "The " : " ").append(kWords[rng.below(std::size(kWords))]);
    out += s % 5 == 4 ? ".\n\n" : ". ";
  }
  return out;
}

Tokenizer byte_tokenizer() {
  TokenizerSpec spec;
  for (int i = 0; i < 256; ++i) spec.tokens.emplace_back(1, static_cast<char>(i));
  spec.tokens.emplace_back("<eos>");
  spec.specials = {{.id = 256, .text = "<eos>"}};
  spec.eos = 256;
  return Tokenizer(std::move(spec));
}

class CorpusBuild : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_.path("in"));
    for (int i = 0; i < 40; ++i) put(fmt::format("doc{:02}", i), prose(static_cast<uint64_t>(i), 30));
    put("same-a", prose(500, 30));
    put("same-b", "  " + prose(500, 30) + "\n\n\n");
    std::string near = prose(0, 30);
    near.replace(near.find(". The "), 6, ". However the ");
    put("near-00", near);
    put("evaluated", prose(600, 10) +
                         " What is the default port of the database that everyone forgets to change at once? " +
                         prose(601, 10));
    put("short", "Too few words.");
    put("german",
        "Der Dateiname und die Optionen werden von dem Programm nicht mehr verwendet, wenn sie auf einem anderen "
        "Rechner liegen. Das ist so, weil es keine "
        "Verbindung gibt und der Benutzer sich nicht anmelden kann, ohne ein Passwort einzugeben, das er vorher selbst "
        "gesetzt hat. Alles andere ist egal.");
    put("mail", "Write to jane.doe@company.com for the details. " + prose(700, 12));
    write_file(folder_.path("eval.jsonl"),
               "{\"q\":\"What is the default port of the database that everyone forgets to change at once?\"}\n");
  }
  void put(const std::string& name, const std::string& text) { write_file(folder_.path("in/" + name + ".txt"), text); }

  BuildOptions options(const std::string& work, int threads) {
    write_file(
        folder_.path("c.toml"),
        "name = 'test'\nseed = 3\n[[source]]\nkind = 'folder'\npath = 'in'\n[evaluation]\nfiles = ['eval.jsonl']\n"
        "[shards]\nvalidation = 0.2\n");
    BuildOptions o;
    o.config = read_corpus_config(folder_.path("c.toml"));
    o.work = folder_.path(work);
    o.version = "test";
    o.threads = threads;
    o.tokenizer = &tokenizer_;
    return o;
  }
  std::map<std::string, std::string> results(const std::string& work) {
    std::map<std::string, std::string> out;
    for (const char* part : {"documents", "shards"})
      for (const auto& entry : fs::directory_iterator(folder_.path(work) + "/" + part))
        out[entry.path().filename()] = read_file(entry.path());
    out["manifest"] = read_file(folder_.path(work) + "/manifest.json");
    out["details"] = read_file(folder_.path(work) + "/details.json");
    return out;
  }
  test::TempFolder folder_;
  Tokenizer tokenizer_ = byte_tokenizer();
};

const Json& source_of(const Json& manifest, std::string_view stage) {
  for (const Json& s : manifest.at("stages"))
    if (s.at("stage") == stage) return s.at("sources").at("folder");
  throw std::runtime_error("no such stage");
}

TEST_F(CorpusBuild, PlantedDocumentsAreFoundAndNothingIsLost) {
  const Json manifest = build_corpus(options("work", 2));
  std::map<std::string, std::string> texts;
  for (const auto& entry : fs::directory_iterator(folder_.path("work/documents")))
    read_documents(entry.path(), [&](Document& d) { texts[d.id] = d.text; });
  EXPECT_TRUE(texts.contains("same-a.txt") && !texts.contains("same-b.txt"));
  EXPECT_NE(texts.contains("doc00.txt"), texts.contains("near-00.txt"));
  EXPECT_FALSE(texts.contains("evaluated.txt") || texts.contains("short.txt") || texts.contains("german.txt"));
  EXPECT_EQ(texts.size(), 42u);  // 40 documents (one of them or its near duplicate), same-a, mail
  EXPECT_EQ(texts.at("mail.txt").substr(0, 25), "Write to user@example.com");

  // Each stage's documents go out or are counted with a reason, and the next stage begins with what went out.
  uint64_t expected = source_of(manifest, "extract").at("documents_out");
  EXPECT_EQ(expected, 47u);
  for (const char* stage : {"clean", "pack"}) {
    const Json& s = source_of(manifest, stage);
    EXPECT_EQ(s.at("documents_in"), expected);
    uint64_t dropped = 0;
    for (const auto& [reason, drop] : s.at("drops").items()) dropped += drop.at("documents").get<uint64_t>();
    expected = s.at("documents_out");
    EXPECT_EQ(s.at("documents_in").get<uint64_t>(), expected + dropped) << stage;
  }
  EXPECT_EQ(expected, texts.size());
  const Json& drops = source_of(manifest, "pack").at("drops");
  EXPECT_EQ(drops.at("same text").at("documents"), 1);
  EXPECT_EQ(drops.at("near duplicate").at("documents"), 1);
  EXPECT_EQ(drops.at("repeats the evaluation file eval.jsonl").at("documents"), 1);

  // Shards: every document once, on one side of the split, with its end of text.
  std::multiset<std::string> shard_texts, document_texts;
  uint64_t validation = 0;
  for (const std::string& prefix : shard_prefixes(folder_.path("work/shards"))) {
    const Shard shard(prefix);
    if (prefix.find("validation") != std::string::npos) validation += shard.documents();
    for (uint64_t d = 0; d < shard.documents(); ++d) {
      const uint64_t begin = shard.document_begin(d), end = shard.document_begin(d + 1);
      std::vector<int32_t> ids(end - begin);
      shard.read(ids.data(), begin, end - begin);
      EXPECT_EQ(ids.back(), 256);
      ids.pop_back();
      shard_texts.insert(tokenizer_.decode(ids));
    }
  }
  for (const auto& [id, text] : texts) document_texts.insert(text);
  EXPECT_EQ(shard_texts, document_texts);
  EXPECT_GT(validation, 1u);
  EXPECT_LT(validation, 20u);
}

TEST_F(CorpusBuild, SameBytesForAnyThreads) {
  build_corpus(options("one", 1));
  build_corpus(options("four", 4));
  EXPECT_TRUE(results("one") == results("four"));
}

TEST_F(CorpusBuild, RepeatedParagraphsStayOnce) {
  const std::string licence =
      "This program is free software; you can redistribute it and modify it under the terms of the licence, which is "
      "printed at the end of the book.\n\n";
  for (int i = 0; i < 40; ++i) put(fmt::format("doc{:02}", i), licence + prose(static_cast<uint64_t>(i), 30));
  build_corpus(options("work", 1));
  int with = 0;
  for (const auto& entry : fs::directory_iterator(folder_.path("work/documents")))
    read_documents(entry.path(),
                   [&](Document& d) { with += d.text.find("free software") != std::string::npos ? 1 : 0; });
  EXPECT_EQ(with, 1);
}

// Killed again and again, a moment later each time.
TEST_F(CorpusBuild, KilledAndContinuedGivesTheSameBytes) {
  const auto start = std::chrono::steady_clock::now();
  build_corpus(options("whole", 1));
  const std::chrono::microseconds step(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start) / 25);
  int killed = 0;
  for (int attempt = 1; attempt <= 200; ++attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        build_corpus(options("killed", 2));
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    std::this_thread::sleep_for(attempt * step);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++killed;
  }
  EXPECT_GT(killed, 0);
  EXPECT_TRUE(results("whole") == results("killed"));
}

TEST_F(CorpusBuild, FinishedWorkIsNotRepeated) {
  build_corpus(options("work", 1));
  const auto stamp = [&] { return fs::last_write_time(folder_.path("work/1-extract/00000-0000.jsonl.zst")); };
  const auto before = stamp();
  BuildOptions changed = options("work", 1);
  changed.config.filters.min_words = 2;  // the rules of a later stage
  const Json manifest = build_corpus(changed);
  EXPECT_EQ(stamp(), before);
  EXPECT_FALSE(source_of(manifest, "clean").at("drops").contains("too short"));
  put("doc00", prose(900, 30));  // an input
  build_corpus(changed);
  EXPECT_NE(stamp(), before);
}

TEST_F(CorpusBuild, OneBuildAtATime) {
  fs::create_directories(folder_.path("work"));
  const int lock = ::open(folder_.path("work/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(lock, 0);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  EXPECT_THROW(build_corpus(options("work", 1)), Error);
  ::close(lock);
  build_corpus(options("work", 1));
}

TEST_F(CorpusBuild, DiskFull) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};  // bytes of any file
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      build_corpus(options("work", 1));
    } catch (const Error& e) {
      ::_exit(std::string(e.what()).find("room for the whole file") != std::string::npos ? 7 : 8);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST_F(CorpusBuild, NothingInTheSource) {
  fs::remove_all(folder_.path("in"));
  EXPECT_THROW(build_corpus(options("work", 1)), Error);
  fs::create_directories(folder_.path("in"));
  const Json manifest = build_corpus(options("work", 1));
  EXPECT_EQ(manifest.at("result").at("documents"), 0);
  EXPECT_EQ(source_of(manifest, "extract").at("drops").at("a source without inputs").at("documents"), 1);
}

TEST_F(CorpusBuild, DamagedAndEmptyInputsAreNamed) {
  fs::create_directories(folder_.path("lines"));
  write_file(folder_.path("lines/a.jsonl.gz"), std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03 damaged", 18));
  write_file(folder_.path("lines/b.jsonl"), "");
  write_file(folder_.path("lines/c.jsonl"), "{\"id\":\"c\",\"text\":\"" + std::string("one ") + "\"}\n");
  BuildOptions lines = options("work", 2);
  lines.config.sources = {{.name = "folder", .kind = "json_lines", .paths = {folder_.path("lines")}}};
  const Json manifest = build_corpus(lines);
  const Json& drops = source_of(manifest, "extract").at("drops");
  EXPECT_EQ(drops.at("a damaged input").at("documents"), 1);
  EXPECT_EQ(drops.at("an input without documents").at("documents"), 1);
  EXPECT_EQ(drops.at("an input without documents").at("example"), folder_.path("lines/b.jsonl"));
  const Json& inputs = manifest.at("inputs");
  ASSERT_EQ(inputs.size(), 3u);
  EXPECT_NE(inputs[0].at("damaged").get<std::string>().find("a.jsonl.gz"), std::string::npos);
  EXPECT_FALSE(inputs[1].contains("damaged") || inputs[2].contains("damaged"));
}

// What an earlier build of more inputs left is not taken for a part of this one.
TEST_F(CorpusBuild, DocumentsOfOtherInputsGo) {
  BuildOptions two = options("work", 1);
  fs::create_directories(folder_.path("more"));
  write_file(folder_.path("more/x.txt"), prose(5000, 30));
  two.config.sources.push_back(two.config.sources[0]);
  two.config.sources[1].name = "more";
  two.config.sources[1].paths = {folder_.path("more")};
  build_corpus(two);
  const auto files = [&] {
    return std::distance(fs::directory_iterator(folder_.path("work/documents")), fs::directory_iterator());
  };
  EXPECT_EQ(files(), 2);
  build_corpus(options("work", 1));
  EXPECT_EQ(files(), 1);
  fs::remove_all(folder_.path("work/shards"));  // what was taken away is made again
  build_corpus(options("work", 1));
  build_corpus(options("fresh", 1));
  EXPECT_TRUE(results("work") == results("fresh"));
}

TEST_F(CorpusBuild, ConfigurationFaultsNameTheirLine) {
  const auto fault = [&](const std::string& text) {
    write_file(folder_.path("bad.toml"), text);
    try {
      read_corpus_config(folder_.path("bad.toml"));
    } catch (const Error& e) {
      return std::string(e.what()).substr(folder_.path().size() + 2);
    }
    return std::string("none");
  };
  EXPECT_EQ(fault("[[source]]\nkind = 'folder'\npath = 'in'\n[filters]\nmin_wrods = 3\n"),
            "bad.toml:5] expected a known key such as min_words, found min_wrods");
  EXPECT_TRUE(
      fault("[[source]]\nkind = 'floppy'\n").starts_with("bad.toml:2] expected one of the kinds debian, folder,"));
  EXPECT_EQ(fault("[[source]]\nkind = 'folder'\n"), "bad.toml:1] expected a path of the source, found none");
  EXPECT_EQ(fault("name = 'x'\n"), "bad.toml] expected a [[source]], found none");
  EXPECT_TRUE(fault("[[source]]\nkind = 'folder'\npath = 'in'\ncategory = 'kernels'\n")
                  .starts_with("bad.toml:4] expected category to be one of papers"));
}

}  // namespace
}  // namespace sigma::corpus
