#include "bench/efficiency/results.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "bench/synthetic_study.h"
#include "support/temp_folder.h"

namespace sigma::bench {
namespace {

using sigma::test::TempFolder;

struct ResultsFiles : testing::Test {
  TempFolder folder;
  std::string path = folder.path("efficiency.jsonl");
  Results study = test::synthetic_study();
  const Json& request() const { return study.header.at("request"); }

  ResultsFile open() {
    return ResultsFile(path, request(), [&] { return study.header; });
  }
  std::string error_of(const std::string& text) {
    write_file(path, text);
    try {
      open();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ResultsFiles, GoOnWhereTheyStopped) {
  {
    ResultsFile file = open();
    file.add(to_json(study.steps[2]));
    for (const WholePart& part : study.whole) file.add(to_json(part));
    file.add(to_json(study.quality[1]));
    file.add(to_json(study.work));
  }
  const std::string whole = read_file(path);
  write_file(path, whole + R"({"kind": "step", "pre)");  // stopped in the middle of a line
  const Results again = open().results();
  EXPECT_EQ(read_file(path), whole);
  EXPECT_EQ(again.grid.samples, study.grid.samples);
  ASSERT_EQ(again.steps.size(), 1u);
  ResultsFile more = open();
  more.add(to_json(study.steps[2]));  // another pass
  EXPECT_EQ(more.results().steps.size(), 1u);
  EXPECT_EQ(more.results().steps[0].read.size(), 18u);
  EXPECT_EQ(more.results().steps[0].weights.at("bf16").keys.at("half_key").size(), 18u);
  EXPECT_EQ(to_json(again.steps[0]), to_json(study.steps[2]));
  EXPECT_NE(again.find(study.steps[2].prefix, 1), nullptr);
  ASSERT_TRUE(again.whole_done());
  EXPECT_EQ(to_json(again.whole[5]), to_json(study.whole[5]));
  EXPECT_EQ(again.quality[0].name, "v-top 100");
  EXPECT_EQ(to_json(again.work), to_json(study.work));
}

TEST_F(ResultsFiles, ThoseOfAnotherStudyAreRefused) {
  open();
  try {
    Json other = request();
    other["threads"] = 3;
    ResultsFile(path, other, [&] { return study.header; });
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--out"), std::string::npos);
  }
}

TEST_F(ResultsFiles, OneStudyAtATimeIsAtWork) {
  {
    const ResultsFile first = open();
    EXPECT_THROW(open(), Error);
  }
  open();
}

TEST_F(ResultsFiles, FaultsAreNamedByTheirLine) {
  const std::string header = study.header.dump() + "\n";
  EXPECT_NE(error_of(header + "{\"kind\": \"step\"}\n").find("efficiency.jsonl:2"), std::string::npos);
  EXPECT_NE(error_of(header + "{\"kind\": \"dance\"}\n").find("dance"), std::string::npos);
  EXPECT_NE(error_of(header + "nonsense\n").find("efficiency.jsonl:2"), std::string::npos);
  EXPECT_NE(error_of(to_json(study.steps[0]).dump() + "\n").find("header"), std::string::npos);
  EXPECT_NE(error_of(header + to_json(study.whole[1]).dump() + "\n").find("part 0"), std::string::npos);
  Json step = to_json(study.steps[0]);
  step["read_alone"].erase(0);
  EXPECT_NE(error_of(header + step.dump() + "\n").find("9 values"), std::string::npos);
  step = to_json(study.steps[0]);
  step["steps"].erase("q8_k");
  EXPECT_NE(error_of(header + step.dump() + "\n").find("q8_k"), std::string::npos);
  EXPECT_NE(error_of("[1]\n").find("efficiency.jsonl:1"), std::string::npos);
}

}  // namespace
}  // namespace sigma::bench
