// Every kind of source on a small fixture in its true format (made here, not taken from anywhere), and on damaged ones.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "corpus/config.h"
#include "corpus/source.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

namespace fs = std::filesystem;

class Collector : public Sink {
 public:
  void document(Document& d) override { documents.push_back(d); }
  void skip(const std::string& reason, const std::string&) override { ++skips[reason]; }
  std::vector<Document> documents;
  std::map<std::string, int> skips;
};

struct Read {
  std::vector<Document> documents;
  std::map<std::string, int> skips;
  std::string fault;
};

class Sources : public testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view bytes) {
    fs::create_directories(fs::path(folder_.path(name)).parent_path());
    write_file(folder_.path(name), bytes);
    return folder_.path(name);
  }
  // A shell command in the test's folder, for the programs that make archives.
  bool make(const std::string& command) {
    return std::system(("cd '" + folder_.path() + "' && " + command + " >/dev/null 2>&1").c_str()) == 0;
  }

  Read read(const std::string& kind, const std::string& path, const std::string& metadata = "") {
    SourceConfig config{.name = "test", .kind = kind, .url_prefix = "https://x", .paths = {path}, .metadata = metadata};
    Read result;
    for (Unit& unit : list_units(config)) {
      unit.scratch = folder_.path("scratch");
      Collector sink;
      try {
        source_kind(kind, "test").read(config, unit, sink);
      } catch (const Error& e) {
        result.fault = e.what();
      }
      for (Document& d : sink.documents) result.documents.push_back(std::move(d));
      for (const auto& [reason, count] : sink.skips) result.skips[reason] += count;
    }
    return result;
  }
  test::TempFolder folder_;
};

constexpr std::string_view kPosts = R"(<?xml version="1.0" encoding="utf-8"?>
<posts>
  <row Id="1" PostTypeId="1" AcceptedAnswerId="4" CreationDate="2020-01-01T00:00:00" Score="5" Body="&lt;p&gt;How do I list &lt;code&gt;files&lt;/code&gt;?&lt;/p&gt;" Title="List files" Tags="&lt;bash&gt;" ContentLicense="CC BY-SA 4.0" />
  <row Id="2" PostTypeId="1" Score="1" Body="&lt;p&gt;No one knows&lt;/p&gt;" Title="Open" Tags="" />
  <row Id="3" PostTypeId="2" ParentId="1" Score="9" Body="&lt;p&gt;Use find&lt;/p&gt;" />
  <row Id="4" PostTypeId="2" ParentId="1" Score="2" Body="&lt;p&gt;Use ls&lt;/p&gt;" />
  <row Id="5" PostTypeId="2" ParentId="1" Score="-3" Body="&lt;p&gt;Use telepathy&lt;/p&gt;" />
  <row Id="6" PostTypeId="2" ParentId="99" Score="3" Body="&lt;p&gt;lost&lt;/p&gt;" />
  <row Id="7" PostTypeId="5" Body="wiki" />
</posts>
)";

TEST_F(Sources, StackExchange) {
  const std::string xml = write("Posts.xml", kPosts);
  const Read r = read("stack_exchange", xml);
  EXPECT_EQ(r.fault, "");
  ASSERT_EQ(r.documents.size(), 1u);
  EXPECT_EQ(r.documents[0].text,
            "# List files\n\nHow do I list `files`?\n\n## Accepted answer\n\nUse ls\n\n## Answer\n\nUse find\n");
  EXPECT_EQ(r.documents[0].licence, "CC BY-SA 4.0");
  EXPECT_EQ(r.documents[0].url, "https://x/questions/1");
  EXPECT_EQ(r.skips, (std::map<std::string, int>{{"stack_exchange: answers to a question that is not there", 1},
                                                 {"stack_exchange: neither question nor answer", 1},
                                                 {"stack_exchange: no answer that anyone found good", 1}}));
