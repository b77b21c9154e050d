#include "model/hub.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "model/hub_cache.h"
#include "support/hub_server.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

class HubTest : public testing::Test {
 protected:
  HubTest() {
    ::setenv("no_proxy", "*", 1);
    fs::remove_all(cache_);
    hub_.files["config.json"] = {.content = "{}"};
    hub_.files["tokenizer.json"] = {.content = "{\"model\":{}}"};
    hub_.files["README.md"] = {.content = "# A model"};
    hub_.files["onnx/model.safetensors"] = {.content = "other", .large = true};
    hub_.files["consolidated.safetensors"] = {.content = "twice", .large = true};
    hub_.files["model.safetensors"] = {.content = random_bytes(400000), .large = true};
  }
  ~HubTest() override { fs::remove_all(cache_); }

  HubSettings settings() { return hub_.settings(cache_); }
  std::string content(const std::string& path) { return read_file(cache_ + "/hub/org/model/" + path); }
  std::string failure(const std::string& name) {
    try {
      pull_model(settings(), name);
    } catch (const Error& e) {
      return e.what();
    }
    return "no failure";
  }

  std::string cache_ =
      testing::TempDir() + "sigma_hub_test_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  HubServer hub_;
};

TEST_F(HubTest, FoldersArePulledListedResolvedAndRemoved) {
  const std::vector<CachedModel> pulled = pull_model(settings(), "org/model");
  ASSERT_EQ(pulled.size(), 1U);
  EXPECT_EQ(pulled[0].name, "org/model");
  EXPECT_EQ(pulled[0].kind, "folder");
  EXPECT_EQ(pulled[0].bytes, 400000 + 2 + 12U);
  EXPECT_EQ(content("model.safetensors"), hub_.files["model.safetensors"].content);
  EXPECT_EQ(content("tokenizer.json"), hub_.files["tokenizer.json"].content);
  for (const char* other : {"README.md", "onnx", "consolidated.safetensors", "model.safetensors.partial"}) {
    EXPECT_FALSE(fs::exists(pulled[0].path + "/" + other)) << other;
  }
  EXPECT_EQ(resolve_model("org/model", settings()), pulled[0].path);
  EXPECT_EQ(to_json(list_models(settings())), to_json(pulled));

  const size_t requests = hub_.api_requests().size();
  pull_model(settings(), "org/model");  // there already
  EXPECT_EQ(hub_.api_requests().size(), requests);

  EXPECT_EQ(remove_model(settings(), "org/model").size(), 1U);
  EXPECT_TRUE(list_models(settings()).empty());
  EXPECT_FALSE(fs::exists(cache_ + "/hub/org"));
  EXPECT_THROW(resolve_model("org/model", settings()), Error);
}

TEST_F(HubTest, ShardsAreTakenWithTheirIndex) {
  hub_.files.erase("model.safetensors");
  for (const char* name : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    hub_.files[name] = {.content = random_bytes(1000), .large = true};
  }
  hub_.files["model.safetensors.index.json"] = {.content = "{\"weight_map\":{}}"};
  pull_model(settings(), "org/model");
  for (const char* name : {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                           "model.safetensors.index.json", "config.json"}) {
    EXPECT_EQ(content(name), hub_.files[name].content);
  }
  EXPECT_FALSE(fs::exists(cache_ + "/hub/org/model/consolidated.safetensors"));
}

TEST_F(HubTest, RevisionsHaveFoldersOfTheirOwn) {
  const std::vector<CachedModel> pulled = pull_model(settings(), "org/model@refs/pr/1");
  EXPECT_EQ(pulled[0].name, "org/model@refs/pr/1");
  EXPECT_EQ(hub_.api_requests()[0].target, "/api/models/org/model/revision/refs%2Fpr%2F1?blobs=true");
  EXPECT_EQ(list_models(settings())[0].name, "org/model@refs/pr/1");
  EXPECT_THROW(resolve_model("org/model", settings()), Error);
  remove_model(settings(), "org/model@refs/pr/1");
  EXPECT_TRUE(list_models(settings()).empty());
}

TEST_F(HubTest, OneFileIsChosenAmongSeveral) {
  hub_.files.clear();
  hub_.files["m-q4.gguf"] = {.content = random_bytes(100), .large = true};
  hub_.files["sub folder/m-q8.gguf"] = {.content = random_bytes(200), .large = true};
  EXPECT_NE(failure("org/model").find("the choice of one file: --file NAME, found m-q4.gguf, sub folder/m-q8.gguf"),
            std::string::npos);
  EXPECT_NE(failure("org/model:m-q5.gguf").find("the file m-q5.gguf"), std::string::npos);
  const std::vector<CachedModel> first = pull_model(settings(), "org/model:sub folder/m-q8.gguf");
  EXPECT_EQ(first[0].kind, "gguf");
  EXPECT_EQ(read_file(first[0].path), hub_.files["sub folder/m-q8.gguf"].content);
  EXPECT_EQ(resolve_model("org/model", settings()), first[0].path);
  pull_model(settings(), "org/model:m-q4.gguf");
  EXPECT_EQ(list_models(settings()).size(), 2U);
  EXPECT_EQ(resolve_model("org/model:m-q4.gguf", settings()), cache_ + "/hub/org/model/m-q4.gguf");
  EXPECT_THROW(resolve_model("org/model", settings()), Error);
  remove_model(settings(), "org/model:m-q4.gguf");
  EXPECT_EQ(resolve_model("org/model", settings()), first[0].path);
  remove_model(settings(), "org/model:sub folder/m-q8.gguf");
  EXPECT_TRUE(list_models(settings()).empty());
}

TEST_F(HubTest, AFolderFollowsOneOfItsFiles) {
  hub_.files["m.gguf"] = {.content = random_bytes(100), .large = true};
  pull_model(settings(), "org/model:m.gguf");
  pull_model(settings(), "org/model");
  const std::vector<CachedModel> both = list_models(settings());
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].kind, "folder");
  EXPECT_EQ(both[1].name, "org/model:m.gguf");
  EXPECT_EQ(resolve_model("org/model", settings()), cache_ + "/hub/org/model");
}

TEST_F(HubTest, CutsAndFailuresOnTheWayAreMended) {
  hub_.cuts = 2;
  hub_.failures = 2;
  pull_model(settings(), "org/model");
  EXPECT_EQ(content("model.safetensors"), hub_.files["model.safetensors"].content);
  EXPECT_NE(hub_.content_requests()[1].get_header_value("Range"), "");
}

TEST_F(HubTest, AnInterruptedPullGoesOn) {
  hub_.cuts = 1000;
  EXPECT_NE(failure("org/model").find("expected an answer"), std::string::npos);
  const std::vector<CachedModel> partial = list_models(settings());
  ASSERT_EQ(partial.size(), 1U);
  EXPECT_EQ(partial[0].kind, "partial");
  EXPECT_THROW(resolve_model("org/model", settings()), Error);
  hub_.cuts = 0;
  const size_t before = hub_.content_requests().size();
  pull_model(settings(), "org/model");
  EXPECT_EQ(content("model.safetensors"), hub_.files["model.safetensors"].content);
  ASSERT_EQ(hub_.content_requests().size(), before + 1);
  EXPECT_NE(hub_.content_requests()[before].get_header_value("Range"), "");
  EXPECT_EQ(list_models(settings())[0].kind, "folder");
}

TEST_F(HubTest, WhatAnotherRevisionLeftIsFetchedAnew) {
  make_folders(cache_ + "/hub/org/model");
  write_file(cache_ + "/hub/org/model/model.safetensors.partial", random_bytes(5000) + "not of this file");
  pull_model(settings(), "org/model");
  EXPECT_EQ(content("model.safetensors"), hub_.files["model.safetensors"].content);
}

TEST_F(HubTest, WrongChecksumsLeaveNothingBehind) {
  hub_.files["model.safetensors"].digest = sha256("something else");
  EXPECT_NE(failure("org/model").find("expected the checksum " + sha256("something else")), std::string::npos);
  EXPECT_FALSE(fs::exists(cache_ + "/hub/org/model/model.safetensors"));
  EXPECT_FALSE(fs::exists(cache_ + "/hub/org/model/model.safetensors.partial"));
  hub_.files["model.safetensors"].digest.clear();
  hub_.files["config.json"].digest = git_blob("something else");
  EXPECT_NE(failure("org/model").find("expected the checksum " + git_blob("something else")), std::string::npos);
  hub_.files["config.json"].digest = "none";
  EXPECT_NE(failure("org/model").find("a checksum of config.json"), std::string::npos);
}

TEST_F(HubTest, TokensOpenRepositories) {
  hub_.token = "secret";
  HubSettings without = settings();
  without.token.clear();
  try {
    pull_model(without, "org/model");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("HF_TOKEN"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("the status 401: Access to model org/model is restricted."),
              std::string::npos);
  }
  pull_model(settings(), "org/model");
  for (const httplib::Request& request : hub_.content_requests()) {
    EXPECT_FALSE(request.has_header("Authorization"));  // the token is the endpoint's alone
  }
}

TEST_F(HubTest, MissingRepositoriesAreSaidSo) {
  EXPECT_NE(failure("org/other").find("[org/other] expected a repository that may be read, found the status 404"),
            std::string::npos);
  hub_.files.clear();
  hub_.files["README.md"] = {.content = "no weights"};
  EXPECT_NE(failure("org/model").find("safetensors or GGUF weights, found README.md"), std::string::npos);
}

TEST_F(HubTest, HostileDescriptionsAreRefused) {
  const auto sibling = [](const Json& name, const Json& size) {
    return Json{{"siblings", {{{"rfilename", name}, {"size", size}, {"blobId", kHubCommit}}}}};
  };
  for (const Json& bad :
       {sibling("../model.safetensors", 1), sibling("/etc/model.safetensors", 1),
        sibling("a/../../model.safetensors", 1), sibling("", 1), sibling("a\\b.safetensors", 1),
        sibling(std::string("model.safetensors\0x", 19), 1), sibling(7, 1), sibling("model.safetensors", -1),
        sibling("model.safetensors", 1e300), sibling("model.safetensors", "1"), Json{{"siblings", 7}},
        sibling("model.safetensors", uint64_t{1} << 63), Json{{"sha", "main"}}, Json{{"sha", nullptr}},
        Json{{"sha", "../../../../../../../../../../etc/passwd"}}}) {
    hub_.extra = bad;
    EXPECT_NE(failure("org/model"), "no failure") << bad.dump();
  }
  hub_.extra = sibling("model.safetensors", uint64_t{1} << 44);  // no disk has room for it
  EXPECT_NE(failure("org/model").find("free bytes"), std::string::npos);
  hub_.extra = Json::object();
  EXPECT_EQ(failure("org/model"), "no failure");
}

TEST_F(HubTest, TwoPullsAtOnceDoTheWorkOnce) {
  std::string failures[2];
  std::vector<std::thread> threads;
  for (std::string& text : failures) threads.emplace_back([&] { text = failure("org/model"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures[0], "no failure");
  EXPECT_EQ(failures[1], "no failure");
  EXPECT_EQ(hub_.content_requests().size(), 1U);
  EXPECT_EQ(content("model.safetensors"), hub_.files["model.safetensors"].content);
}

TEST_F(HubTest, NamesThatAreNoNamesAreRefused) {
  for (const char* bad : {"", "smollm", "a/b/c", "../b", "a/..", "/etc", "/etc/passwd", "a/b@", "a/b@..", "a/b:",
                          "a/b:../c", "a/b:/c", "a b/c", "a/b@x y", ".a/b", "a/.b", "a/b\n", "https://host/a"}) {
    EXPECT_THROW(parse_model_name(bad), Error) << bad;
    EXPECT_THROW(remove_model(settings(), bad), Error) << bad;
    if (fs::exists(bad)) continue;
    EXPECT_THROW(resolve_model(bad, settings()), Error) << bad;
  }
  EXPECT_THROW(remove_model(settings(), "org/model"), Error);
  EXPECT_THROW(remove_model(settings(), "smollm2"), Error);
}

TEST_F(HubTest, PathsComeFirstAndNearNamesAreSuggested) {
  EXPECT_EQ(resolve_model(testing::TempDir(), settings()), testing::TempDir());
  const auto message = [&](const std::string& model) -> std::string {
    try {
      return resolve_model(model, settings());
    } catch (const Error& e) {
      return e.what();
    }
  };
  EXPECT_EQ(message("smolm2"),
            "[smolm2] expected a folder, a .gguf file or a pulled model, found none of them: did you mean smollm2?");
  EXPECT_NE(message("smollm2").find("`sigma pull smollm2`"), std::string::npos);
  pull_model(settings(), "org/model");
  EXPECT_NE(message("org/modle").find("did you mean org/model?"), std::string::npos);
  EXPECT_NE(message("else/where").find("`sigma pull else/where`"), std::string::npos);
}

TEST_F(HubTest, DamagedRecordsAreNotBelieved) {
  pull_model(settings(), "org/model");
  const std::string record = cache_ + "/hub/org/model/pulled.json";
  for (const char* bad :
       {"", "{", "[]", R"({"source":"","revision":"","whole":true,"files":[]})",
        R"({"source":"","revision":"","whole":true,"files":[{"name":"../x","bytes":1,"digest":""}]})"}) {
    write_file(record, bad);
    EXPECT_EQ(list_models(settings())[0].kind, "partial") << bad;
  }
  const size_t before = hub_.content_requests().size();
  pull_model(settings(), "org/model");
  EXPECT_EQ(hub_.content_requests().size(), before);  // the files were sound
  EXPECT_EQ(list_models(settings())[0].kind, "folder");
}

}  // namespace
}  // namespace sigma
