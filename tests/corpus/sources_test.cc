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
    return std::system(("cd '" + folder_.path() + "' && { " + command + "; } >/dev/null 2>&1").c_str()) == 0;
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
}

TEST_F(Sources, StackExchangeIn7z) {
  const std::string archive = read_file(std::string(SIGMA_TEST_DATA) + "/corpus/posts.7z");
  const Read r = read("stack_exchange", write("a.7z", archive));
  ASSERT_EQ(r.documents.size(), 1u);
  EXPECT_EQ(r.documents[0].text, "# Port\n\nWhich port?\n\n## Accepted answer\n\n5432\n");
  for (const size_t size : {size_t{10}, archive.size() / 2, archive.size() - 1}) {
    const Read cut = read("stack_exchange", write("cut.7z", archive.substr(0, size)));
    EXPECT_TRUE(cut.documents.empty());
    EXPECT_EQ(cut.skips.at("a damaged input"), 1) << size;
  }
}

TEST_F(Sources, StackExchangeCutAndBombs) {
  const std::string cut = write("Posts.xml", kPosts.substr(0, kPosts.size() - 250));  // within a row
  const Read r = read("stack_exchange", cut);
  EXPECT_EQ(r.documents.size(), 1u);  // what came before the damage
  EXPECT_EQ(r.skips.at("a damaged input"), 1);
  std::string bomb = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\">";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string("<!ENTITY ") + c + " \"";
    for (int i = 0; i < 10; ++i) bomb += std::string("&") + static_cast<char>(c - 1) + ";";
    bomb += "\">";
  }
  const std::string bombed = write("Bomb.xml", bomb + "]><posts><row Id=\"1\" PostTypeId=\"1\" Body=\"&j;\"/></posts>");
  const Read b = read("stack_exchange", bombed);
  EXPECT_TRUE(b.documents.empty());
  EXPECT_EQ(b.skips.at("a damaged input"), 1);
  EXPECT_EQ(read("stack_exchange", write("x.7z", "7z\xbc\xaf\x27\x1c not an archive")).skips.at("a damaged input"), 1);
  EXPECT_EQ(read("stack_exchange", write("Empty.xml", "")).skips.at("a damaged input"), 1);
}

TEST_F(Sources, GhArchive) {
  const std::string path = write(
      "2024-01-01-0.json",
      R"({"id":"1","type":"IssuesEvent","actor":{"login":"ann"},"repo":{"name":"o/r"},"payload":{"action":"opened","issue":{"number":7,"title":"Crash","body":"It crashes.","labels":[{"name":"bug"}],"created_at":"2024"}}}
{"id":"2","type":"IssueCommentEvent","actor":{"login":"bob"},"repo":{"name":"o/r"},"payload":{"action":"created","issue":{"number":7,"title":"Crash","body":"It crashes.","labels":[]},"comment":{"id":5,"body":"Fixed in 2.1"}}}
{"id":"3","type":"IssueCommentEvent","actor":{"login":"ci[bot]"},"repo":{"name":"o/r"},"payload":{"issue":{"number":7,"title":"Crash"},"comment":{"id":6,"body":"spam"}}}
{"id":"4","type":"IssueCommentEvent","actor":{"login":"bob"},"repo":{"name":"o/r"},"payload":{"issue":{"number":8,"pull_request":{}},"comment":{"body":"LGTM"}}}
{"id":"5","type":"PushEvent","repo":{"name":"o/r"},"payload":{}}
not json
{"id":"6","type":"IssuesEvent"}
)");
  const Read r = read("gh_archive", path);
  ASSERT_EQ(r.documents.size(), 1u);
  EXPECT_EQ(r.documents[0].id, "o/r#7");
  EXPECT_EQ(r.documents[0].text, "# Crash\n\nIt crashes.\n\n## Comment\n\nFixed in 2.1\n");
  EXPECT_EQ(r.skips.size(), 5u);
}

TEST_F(Sources, Warc) {
  const std::string html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>T</title><p>Body text</p>";
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<p>Hi\r\n9\r\n "
      "there</p>\r\n0\r\n\r\n";
  const std::string missing = "HTTP/1.1 404 No\r\nContent-Type: text/html\r\n\r\n<p>gone</p>";
  const auto record = [](const std::string& type, const std::string& body, int number) {
    return fmt::format(
        "WARC/1.0\r\nWARC-Type: {}\r\nWARC-Target-URI: http://a/{}\r\nWARC-Date: "
        "2024-01-01T00:00:00Z\r\nContent-Length: "
        "{}\r\n\r\n{}\r\n\r\n",
        type, number, body.size(), body);
  };
  const std::string all = record("warcinfo", "x: y", 0) + record("response", html, 1) + record("response", chunked, 2) +
                          record("response", missing, 3) + record("conversion", "Plain text", 4);
  const Read r = read("warc", write("a.warc", all));
  EXPECT_EQ(r.fault, "");
  ASSERT_EQ(r.documents.size(), 3u);
  EXPECT_EQ(r.documents[0].text, "Body text\n");
  EXPECT_EQ(r.documents[0].title, "T");
  EXPECT_EQ(r.documents[0].url, "http://a/1");
  EXPECT_EQ(r.documents[1].text, "Hi there\n");
  EXPECT_EQ(r.documents[2].text, "Plain text");
  EXPECT_EQ(r.skips.at("warc: a record of another type"), 1);
  EXPECT_EQ(r.skips.at("warc: not an answer with status 200"), 1);
  const Read cut = read("warc", write("b.warc", all.substr(0, all.size() - 10)));
  EXPECT_EQ(cut.documents.size(), 2u);
  EXPECT_NE(cut.fault, "");
  EXPECT_NE(read("warc", write("c.warc", "WARC/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n")).fault, "");
  ASSERT_TRUE(make("gzip -k a.warc"));
  EXPECT_EQ(read("warc", folder_.path("a.warc.gz")).documents.size(), 3u);
}

TEST_F(Sources, Arxiv) {
  write("p/2101.00001/main.tex",
        "\\documentclass{article}\\title{Raw}\\begin{document}\n\\input{part}\nEnd of it.\\end{document}");
  write("p/2101.00001/part.tex", "\\section{One}Text of the part.");
  write("p/2101.00002.tex", "\\documentclass{article}\\begin{document}Alone.\\end{document}");
  const std::string metadata =
      write("meta.jsonl",
            "{\"id\":\"2101.00001\",\"title\":\"On\\n  Caches\",\"abstract\":\" We study. \",\"categories\":\"cs.OS\","
            "\"license\":\"CC-BY\"}\n");
  ASSERT_TRUE(
      make("mkdir t && tar -C p/2101.00001 -czf t/2101.00001.gz . && gzip -c p/2101.00002.tex > t/2101.00002.gz && "
           "echo %PDF > t/2101.00003.pdf && echo broken > t/2101.00004.gz && tar -cf a.tar t"));
  const Read r = read("arxiv", folder_.path("a.tar"), metadata);
  EXPECT_EQ(r.fault, "");
  ASSERT_EQ(r.documents.size(), 2u);
  const Document& first = r.documents[0].id == "2101.00001" ? r.documents[0] : r.documents[1];
  EXPECT_EQ(first.title, "On Caches");
  EXPECT_EQ(first.licence, "CC-BY");
  EXPECT_EQ(first.url, "https://arxiv.org/abs/2101.00001");
  EXPECT_EQ(first.text, "Abstract: We study.\n\n\n\n\n# One\n\nText of the part.\nEnd of it.");
  EXPECT_EQ(r.skips.at("arxiv: not a LaTeX source"), 1);
  EXPECT_EQ(r.skips.at("arxiv: no LaTeX"), 1);
}

TEST_F(Sources, Papers) {
  const Read r = read(
      "papers",
      write(
          "s.jsonl",
          R"({"corpusid":12,"content":{"source":{"oainfo":{"license":"CCBY"}},"text":"Über Caches\nText.","annotations":{"title":"[{\"start\":0,\"end\":11}]"}}}
{"id":"34","text":"peS2o text","source":"s2orc","created":"2020"}
{"text":"no id"}
{"corpusid":13,"content":{"text":null}}
)"));
  ASSERT_EQ(r.documents.size(), 2u);
  EXPECT_EQ(r.documents[0].title, "Über Caches");
  EXPECT_EQ(r.documents[0].licence, "CCBY");
  EXPECT_EQ(r.documents[1].text, "peS2o text");
  EXPECT_EQ(r.skips.size(), 2u);
}

TEST_F(Sources, Discourse) {
  write(
      "t/1.json",
      R"({"id":9,"title":"Slow disk","slug":"slow-disk","post_stream":{"posts":[{"post_type":1,"cooked":"<p>It is slow</p>"},{"post_type":3,"cooked":"closed"},{"post_type":1,"cooked":"<p>Check <code>smartctl</code></p>"}]}})");
  write("t/2.json", "{}");
  write("t/3.json", "{cut");
  const Read r = read("discourse", folder_.path("t"));
  ASSERT_EQ(r.documents.size(), 1u);
  EXPECT_EQ(r.documents[0].text, "# Slow disk\n\nIt is slow\n\n## Reply\n\nCheck `smartctl`\n");
  EXPECT_EQ(r.skips, (std::map<std::string, int>{{"discourse: a damaged file", 1}, {"discourse: not a topic", 1}}));
}

TEST_F(Sources, Mbox) {
  const Read r = read(
      "mbox",
      write(
          "l.mbox",
          "From a@b Mon Jan  1 00:00:00 2024\nSubject: =?utf-8?Q?caf=C3=A9_is_slow?=\nMessage-ID: <1@x>\n"
          "Content-Transfer-Encoding: quoted-printable\n\nA line that is =\njoined.\n>From escaped\n-- \nsignature\n\n"
          "From c@d Mon Jan  1 00:00:00 2024\nSubject: Re: two\nContent-Type: multipart/alternative; "
          "boundary=\"B\"\n\n--B\nContent-Type: text/html\n\n<p>no</p>\n--B\nContent-Type: text/plain\n"
          "Content-Transfer-Encoding: base64\n\nWWVzLgo=\n--B--\n\nFrom e@f Mon Jan  1 00:00:00 2024\nSubject: none\n"
          "Content-Type: image/png\n\nxxxx\n"));
  ASSERT_EQ(r.documents.size(), 2u);
  EXPECT_EQ(r.documents[0].title, "café is slow");
  EXPECT_EQ(r.documents[0].text, "Subject: café is slow\n\nA line that is joined.\nFrom escaped\n");
  EXPECT_EQ(r.documents[1].text, "Subject: Re: two\n\nYes.\n");
  EXPECT_EQ(r.skips.at("mbox: a message without plain text"), 1);
  EXPECT_NE(read("mbox", write("m.mbox", "nothing")).fault, "");
}

TEST_F(Sources, JsonLines) {
  const Read r =
      read("json_lines",
           write("d.jsonl",
                 "{\"id\":\"a\",\"text\":\"one\",\"metadata\":{\"license\":\"MIT\",\"n\":3}}\n\n{\"id\":\"b\"}\n[1]\n"
                 "{\"id\":\"c\",\"text\":\"caf\xe9\"}\n"));
  ASSERT_EQ(r.documents.size(), 2u);
  EXPECT_EQ(r.documents[0].licence, "MIT");
  EXPECT_EQ(r.documents[1].text, "café");  // bytes that are not UTF-8 are mended
  EXPECT_EQ(r.skips, (std::map<std::string, int>{{"json_lines: a line that is not a JSON object", 1},
                                                 {"json_lines: a line without text", 1}}));
  ASSERT_TRUE(
      make("head -c 70000000 /dev/zero | tr '\\0' x > long.jsonl && echo >> long.jsonl && cat d.jsonl >> long.jsonl"));
  const Read longer = read("json_lines", folder_.path("long.jsonl"));
  EXPECT_EQ(longer.fault, "");
  EXPECT_EQ(longer.documents.size(), 2u);
  EXPECT_EQ(longer.skips.at("json_lines: a line beyond 64 MiB"), 1);
}

TEST_F(Sources, Folder) {
  write("site/a.html", "<title>A</title><p>page</p>");
  write("site/b/c.md", "# C\ntext");
  write("site/logo.png", "\x89PNG");
  write("site/.git/config.txt", "hidden");
  write("site/bad.txt.gz", "\x1f\x8b broken");
  fs::create_symlink("/etc/passwd", folder_.path("site/passwd.txt"));
  const Read r = read("folder", folder_.path("site"));
  EXPECT_EQ(r.skips.at("folder: not a form of text"), 1);
  ASSERT_GE(r.documents.size(), 2u);
  EXPECT_EQ(r.documents[0].id, "a.html");
  for (const Document& d : r.documents) EXPECT_NE(d.id, "passwd.txt");
  EXPECT_THROW(read("folder", folder_.path("nowhere")), Error);
}

TEST_F(Sources, Debian) {
  if (std::system("command -v dpkg-deb >/dev/null && command -v mandoc >/dev/null") != 0)
    GTEST_SKIP() << "dpkg-deb or mandoc is not installed";
  write("d/DEBIAN/control",
        "Package: tool\nVersion: 1.0-1\nArchitecture: all\nMaintainer: x <x@example.com>\nSection: admin\n"
        "Description: x\n");
  write("d/usr/share/man/man1/tool.1", ".TH TOOL 1\n.SH NAME\ntool \\- does it\n");
  write("d/usr/share/man/man1/alias.1", ".so man1/tool.1\n");
  write("d/usr/share/man/de/man1/tool.1", ".TH TOOL 1\n");
  write("d/usr/share/doc/tool/html/tool.1.html", "<p>the page again</p>");
  write("d/usr/share/doc/tool/html/guide.html", "<p>the guide again</p>");
  write("d/usr/share/doc/tool/html/API-tool.html", "<title>tool</title><p>the page under another name</p>");
  write("d/usr/share/doc/tool/html/api.html", "<p>what the program says of itself</p>");
  write("d/usr/share/doc/tool/html/_sources/api.rst.txt", "API\n===\n\n.. automodule:: tool\n");
  write("d/usr/share/doc/tool/html/genindex.html", "<p>index</p>");
  write("d/usr/share/doc/tool/html/_sources/guide.rst.txt", "Guide\n=====\n\nThe guide.\n");
  write("d/usr/share/doc/tool/changelog.txt", "1.0");
  write("d/usr/share/doc/tool/copyright", "License: GPL-2+\n\nLicense: MIT\n");
  write("d/usr/bin/tool", "#!/bin/sh");
  ASSERT_TRUE(make("dpkg-deb --root-owner-group -b d tool_1.0-1_all.deb"));
  const std::string deb = folder_.path("tool_1.0-1_all.deb");
  const Read r = read("debian", deb);
  EXPECT_EQ(r.fault, "");
  ASSERT_EQ(r.documents.size(), 3u);
  EXPECT_EQ(r.documents[0].id, "tool:usr/share/doc/tool/html/_sources/guide.rst.txt");
  EXPECT_EQ(r.documents[1].id, "tool:usr/share/doc/tool/html/api.html");
  EXPECT_EQ(r.documents[2].id, "tool:usr/share/man/man1/tool.1");
  EXPECT_EQ(r.documents[2].licence, "GPL-2+, MIT");
  EXPECT_EQ(r.skips, (std::map<std::string, int>{{"debian: a list of changes or names", 1},
                                                 {"debian: a translation", 1},
                                                 {"debian: an index page", 1},
                                                 {"debian: another form of a manual", 4},
                                                 {"man: another name of a page", 1}}));
  const std::string bytes = read_file(deb);
  for (const size_t size : {size_t{0}, size_t{7}, size_t{100}, bytes.size() / 2, bytes.size() - 30}) {
    const Read cut = read("debian", write("cut.deb", bytes.substr(0, size)));
    EXPECT_NE(cut.fault, "") << size;
    EXPECT_TRUE(cut.documents.empty());
  }
}

}  // namespace
}  // namespace sigma::corpus
