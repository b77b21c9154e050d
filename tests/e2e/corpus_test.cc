// `sigma corpus build` by several processes: the bytes of one alone, also when they were killed on the way and others,
// more or fewer, went on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "base/rng.h"
#include "support/command.h"
#include "support/temp_folder.h"

namespace sigma::test {
namespace {

namespace fs = std::filesystem;

class Corpus : public testing::Test {
 protected:
  void SetUp() override {
    // Enough files for several units and parts; some of them same or nearly the same, some beyond the rules.
    Rng rng(1);
    for (int source = 0; source < 5; ++source) {
      std::string lines;
      for (int i = 0; i < 40; ++i) {
        const uint64_t seed = i % 10 == 9 ? rng.below(20) : rng.next();
        std::string text = i % 13 == 12 ? "Too short." : prose(seed);
        if (i % 10 == 9) text.replace(text.find(". The "), 6, ". However the ");
        lines += Json{{"id", fmt::format("{}-{}", source, i)}, {"text", text}}.dump() + "\n";
      }
      for (uint64_t seed = 0; seed < 20; seed += 5)
        lines += Json{{"id", fmt::format("{}-s{}", source, seed)}, {"text", prose(seed)}}.dump() + "\n";
      fs::create_directories(folder.path("in"));
      write_file(folder.path(fmt::format("in/{}.jsonl", source)), lines);
    }
    write_file(folder.path("eval.txt"), prose(5).substr(0, 400));
    write_file(folder.path("c.toml"),
               "seed = 3\n[[source]]\nkind = 'json_lines'\npath = 'in'\n[evaluation]\nfiles = ['eval.txt']\n");
  }
  static std::string prose(uint64_t seed) {
    static const char* const kWords[] = {"the",    "of",     "and",    "to",     "in",      "is",     "that",  "for",
                                         "kernel", "module", "system", "file",   "server",  "option", "value", "memory",
                                         "page",   "user",   "with",   "device", "process", "table",  "query", "node"};
    Rng rng(seed);
    const std::string licence =
        "This text may be copied and changed by anybody who keeps this notice and says what was changed and when.\n\n";
    std::string out = seed % 3 == 0 ? licence : "";
    for (int s = 0; s < 30; ++s) {
      for (int w = 0; w < 12; ++w) out.append(w == 0 ? "The " : " ").append(kWords[rng.below(std::size(kWords))]);
      out += s % 5 == 4 ? ".\n\n" : ". ";
    }
    return out;
  }
  std::vector<std::string> build(const std::string& work) const {
    return {"corpus", "build", folder.path("c.toml"), "--work", folder.path(work), "--threads", "1", "--json"};
  }
  std::map<std::string, std::string> results(const std::string& work) const {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::directory_iterator(folder.path(work) + "/documents"))
      out[entry.path().filename()] = read_file(entry.path());
    for (const char* file : {"manifest.json", "details.json", "report.html"})
      out[file] = read_file(folder.path(work) + "/" + file);
    return out;
  }
  TempFolder folder;
};

TEST_F(Corpus, SeveralProcessesBuildWhatOneBuilds) {
  const CommandResult alone = run_sigma(build("alone"), folder.path());
  ASSERT_EQ(alone.status, 0) << alone.err;
  const auto expected = results("alone");
  for (const char* reason : {"near duplicate", "same text", "too short", "repeats the evaluation file"})
    EXPECT_NE(expected.at("manifest.json").find(reason), std::string::npos) << reason;
  for (const int count : {1, 2, 3}) {
    if (quick_sweep() && count != 2) continue;
    const std::string work = fmt::format("work{}", count);
    const auto together = run_sigmas(count, build(work), folder.path());
    if (!together) GTEST_SKIP() << "no mpirun";
    ASSERT_EQ(together->status, 0) << together->err;
    if (count > 1 && together->out.find("\"documents\"") != together->out.rfind("\"documents\""))
      GTEST_SKIP() << "built without MPI";
    EXPECT_EQ(together->out, alone.out);
    EXPECT_TRUE(results(work) == expected) << count;
  }
}

// Two processes are killed again and again, a little later each time; then three, two or one go on.
TEST_F(Corpus, KilledProcessesLeaveWhatOthersGoOnFrom) {
  ASSERT_EQ(run_sigma(build("alone"), folder.path()).status, 0);
  const std::string start = mpirun(2);
  if (start.empty()) GTEST_SKIP() << "no mpirun";
  int killed = 0;
  const int step = quick_sweep() ? 400000 : 100000;
  for (int attempt = 1; attempt <= 5; ++attempt) {
    // The second process dies by itself at some time: mpirun then ends the first.
    std::string command = start + " sh -c 'if [ $OMPI_COMM_WORLD_RANK = 1 ]; then (sleep " +
                          fmt::format("{:.3f}", 0.2 + attempt * step / 1e6) + "; kill -9 $$) & fi; exec \"$@\"' sh '" +
                          SIGMA_BINARY + "'";
    for (const std::string& word : build("killed")) command += " '" + word + "'";
    const int status = std::system((command + " > /dev/null 2>&1").c_str());
    if (WEXITSTATUS(status) == 0) break;
    ++killed;
  }
  EXPECT_GT(killed, 0);
  const auto last = run_sigmas(3, build("killed"), folder.path());
  ASSERT_EQ(last->status, 0) << last->err;
  EXPECT_TRUE(results("killed") == results("alone"));
  EXPECT_EQ(run_sigma(build("killed"), folder.path()).status, 0);
  EXPECT_TRUE(results("killed") == results("alone"));
}

TEST_F(Corpus, AFaultOfOneProcessEndsAllWithOneLine) {
  write_file(folder.path("c.toml"), "[[source]]\nkind = 'json_lines'\npath = 'nowhere'\n");
  const auto result = run_sigmas(2, build("work"), folder.path());
  if (!result) GTEST_SKIP() << "no mpirun";
  EXPECT_EQ(result->status, 1);
  EXPECT_NE(result->err.find("nowhere] expected a file or folder of the source, found nothing"), std::string::npos)
      << result->err;
}

}  // namespace
}  // namespace sigma::test
