// Every kind of source on its input cut short at many places and changed in many ways: what comes out is text, a skip
// has a reason, and what a cut takes away is told.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/rng.h"
#include "corpus/source.h"
#include "support/temp_folder.h"
#include "text/unicode.h"

namespace sigma::corpus {
namespace {

namespace fs = std::filesystem;

std::string prose(int number) {
  return fmt::format(
      "Paragraph {0} tells how the option --level={0} of the server is set, what its default is and why one would ever "
      "change it on a machine with {0} processors.",
      number);
}

struct Input {
  std::string kind, file, bytes;
  bool tells_cuts;  // false: a form in which a shorter file is a whole one (text, mailboxes)
};

std::string stack_exchange_rows(int questions) {
  std::string xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<posts>\n";
  for (int i = 1; i <= questions; ++i)
    xml += fmt::format(
        "  <row Id=\"{}\" PostTypeId=\"1\" AcceptedAnswerId=\"{}\" Score=\"5\" Body=\"&lt;p&gt;{}&lt;/p&gt;\" "
        "Title=\"Q\" "
        "Tags=\"&lt;a&gt;\" />\n  <row Id=\"{}\" PostTypeId=\"2\" ParentId=\"{}\" Score=\"2\" "
        "Body=\"&lt;p&gt;{}&lt;/p&gt;\" "
        "/>\n",
        i, i + 1000, prose(i), i + 1000, i, prose(i + 1));
  return xml + "</posts>\n";
}

std::string mailbox(int messages) {
  std::string box;
  for (int i = 0; i < messages; ++i)
    box += fmt::format(
        "From a@b Mon Jan  1 00:00:00 2024\nSubject: =?utf-8?Q?caf=C3=A9_{0}?=\nMessage-ID: <{0}@x>\n"
        "Content-Type: multipart/mixed; boundary=\"B{0}\"\n\n--B{0}\nContent-Type: text/plain\n"
        "Content-Transfer-Encoding: quoted-printable\n\n{1} =C3=A9=\n\n> quoted\n--B{0}--\n\n",
        i, prose(i));
  return box;
}

std::string web_archive(int pages) {
  std::string all;
  for (int i = 0; i < pages; ++i) {
    const std::string page = fmt::format("<title>T</title><p>{}</p>", prose(i));
    const std::string body =
        i % 2 == 0 ? "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
                   : fmt::format(
                         "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}"
                         "\r\n0\r\n\r\n",
                         page.size(), page);
    all += fmt::format(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/{}\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n", i,
        body.size(), body);
  }
  return all;
}

std::string issues(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    for (const char* type : {"IssuesEvent", "IssueCommentEvent"})
      lines += fmt::format(
          "{{\"id\":\"{0}\",\"type\":\"{1}\",\"actor\":{{\"login\":\"ann\"}},\"repo\":{{\"name\":\"o/"
          "r\"}},\"payload\":{{"
          "\"issue\":{{\"number\":{0},\"title\":\"T\",\"body\":\"{2}\",\"labels\":[]}},\"comment\":{{\"id\":{0},"
          "\"body\":\"{2}"
          "\"}}}}}}\n",
          i, type, prose(i));
  return lines;
}

class Damage : public testing::TestWithParam<const char*> {
 protected:
  bool make(const std::string& command) {
    return std::system(("cd '" + folder_.path() + "' && { " + command + "; } >/dev/null 2>&1").c_str()) == 0;
  }
  std::string made(const std::string& name) { return read_file(folder_.path(name)); }

  // A sound input of the kind; without bytes when a program that makes it is missing.
  Input input(const std::string& what) {
    if (what == "stack_exchange") return {what, "Posts.xml", stack_exchange_rows(12), true};
    if (what == "stack_exchange_in_7z")
      return {"stack_exchange", "a.7z", read_file(std::string(SIGMA_TEST_DATA) + "/corpus/posts.7z"), true};
    if (what == "gh_archive") return {what, "a.json", issues(12), true};
    if (what == "mbox") return {what, "a.mbox", mailbox(10), false};
    if (what == "warc") return {what, "a.warc", web_archive(10), true};
    if (what == "warc_gz") {
      write_file(folder_.path("w.warc"), web_archive(10));
      return make("gzip -k w.warc") ? Input{"warc", "a.warc.gz", made("w.warc.gz"), true} : Input{};
    }
    if (what == "papers" || what == "json_lines") {
      std::string lines;
      for (int i = 0; i < 12; ++i)
        lines += what == "papers"
                     ? fmt::format(
                           "{{\"corpusid\":{},\"content\":{{\"text\":\"{}\",\"annotations\":{{\"title\":"
                           "\"[{{\\\"start\\\":0,\\\"end\\\":9}}]\"}}}}}}\n",
                           i + 1, prose(i))
                     : fmt::format("{{\"id\":\"{}\",\"text\":\"{}\",\"metadata\":{{\"a\":\"b\"}}}}\n", i, prose(i));
      return {what, "a.jsonl", lines, true};
    }
    if (what == "discourse")
      return {what, "a.json",
              fmt::format(
                  "{{\"id\":9,\"title\":\"T\",\"post_stream\":{{\"posts\":[{{\"cooked\":\"<p>{}</p>\"}},{{\"cooked\":"
                  "\"<p>{}</p>\"}}]}}}}",
                  prose(1), prose(2)),
              true};
    if (what == "folder")
      return {what, "a.html", "<title>T</title><h1>One</h1><p>" + prose(1) + "</p><pre>x = 1</pre><ul><li>a</ul>",
              false};
    if (what == "arxiv") {
      for (int i = 0; i < 3; ++i)
        write_file(
            folder_.path(fmt::format("p{}.tex", i)),
            fmt::format("\\documentclass{{article}}\\begin{{document}}\\section{{One}} {} $x^2$ \\end{{document}}",
                        prose(i)));
      return make("mkdir t && for i in 0 1 2; do gzip -c p$i.tex > t/2101.0000$i.gz; done && tar -cf a.tar t")
                 ? Input{what, "b.tar", made("a.tar"), true}
                 : Input{};
    }
    fs::create_directories(folder_.path("d/DEBIAN"));
    fs::create_directories(folder_.path("d/usr/share/doc/tool"));
    write_file(folder_.path("d/DEBIAN/control"),
               "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n");
    write_file(folder_.path("d/usr/share/doc/tool/a.html"), "<p>" + prose(1) + "</p>");
    write_file(folder_.path("d/usr/share/doc/tool/b.md"), "# T\n\n" + prose(2) + "\n");
    return make("dpkg-deb --root-owner-group -b d a.deb") ? Input{"debian", "b.deb", made("a.deb"), true} : Input{};
  }

  // The texts of its documents; `told`: something was skipped or refused.
  std::multiset<std::string> read(const Input& input, std::string_view bytes, bool& told) {
    class Checked : public Sink {
     public:
      void document(Document& d) override {
        EXPECT_FALSE(d.text.empty());
        EXPECT_FALSE(d.id.empty());
        texts.insert(d.text);
      }
      void skip(const std::string& reason, const std::string&) override {
        EXPECT_FALSE(reason.empty());
        EXPECT_LT(reason.size(), 80u) << reason;
        EXPECT_TRUE(unicode::is_utf8(reason));
        told = true;
      }
      std::multiset<std::string> texts;
      bool told = false;
    };
    const std::string path = folder_.path("input/" + input.file);
    fs::create_directories(folder_.path("input"));
    std::ofstream(path, std::ios::binary) << bytes;
    Checked sink;
    try {
      const SourceConfig config{.name = "test", .kind = input.kind, .url_prefix = "https://x", .paths = {path}};
      source_kind(input.kind, "test")
          .read(config,
                {.files = {path},
                 .base = folder_.path("input"),
                 .scratch = folder_.path("scratch"),
                 .bytes = bytes.size()},
                sink);
    } catch (const Error& e) {
      sink.told = true;
      EXPECT_NE(std::string(e.what()), "");
    }
    told = sink.told;
    return sink.texts;
  }
  // Nothing but the input lies there, whatever the input said.
  void expect_clean() {
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path("input")))
      files += entry.is_regular_file() ? 1 : 0;
    EXPECT_EQ(files, 1u);
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      EXPECT_FALSE(entry.path().filename().string().starts_with("scratch")) << entry.path();
  }
  test::TempFolder folder_;
};

TEST_P(Damage, IsSkippedOrRefused) {
  const Input whole = input(GetParam());
  if (whole.bytes.empty()) GTEST_SKIP() << "a program that makes this input is not installed";
  const bool quick = std::getenv("SIGMA_TEST_SWEEP") != nullptr;
  bool told = true;
  const std::multiset<std::string> expected = read(whole, whole.bytes, told);
  ASSERT_FALSE(expected.empty());
  ASSERT_FALSE(told);

  const size_t cuts = quick ? 20 : 150;
  for (size_t i = 0; i < cuts; ++i) {
    const size_t size = whole.bytes.size() * i / cuts;
    const std::multiset<std::string> texts = read(whole, std::string_view(whole.bytes).substr(0, size), told);
    EXPECT_LE(texts.size(), expected.size());
    if (whole.tells_cuts && texts != expected) {
      // The end of a line, a record or a tar's member is the one place where nothing shows that more was there.
      const bool boundary = size == 0 || whole.bytes[size - 1] == '\n' || whole.bytes[size] == '\n' ||
                            (whole.kind == "arxiv" && size % 512 == 0);
      EXPECT_TRUE(told || boundary) << "cut to " << size << " of " << whole.bytes.size();
    }
    size_t known = 0;  // all but the one that the cut went through are as they were
    for (const std::string& text : texts) known += expected.contains(text) ? 1 : 0;
    EXPECT_GE(known + 1, texts.size()) << "cut to " << size;
  }

  Rng rng(1);
  const int changes = quick ? 40 : 300;
  for (int i = 0; i < changes; ++i) {
    std::string bytes = whole.bytes;
    const size_t at = rng.below(bytes.size()), length = std::min<size_t>(1 + rng.below(64), bytes.size() - at);
    switch (i % 6) {
      case 0:
        bytes[at] = static_cast<char>(rng.next());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(rng.below(bytes.size()), bytes.substr(at, length));
        break;
      case 4:
        bytes.replace(at, length, length, static_cast<char>(rng.below(2) == 0 ? 0 : 0xff));
        break;
      default:  // a number becomes a large one
        for (size_t digit = at; digit < bytes.size(); ++digit)
          if (bytes[digit] >= '0' && bytes[digit] <= '9') {
            bytes.replace(digit, 1, "99999999999999999999");
            break;
          }
    }
    read(whole, bytes, told);
  }
  expect_clean();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Damage,
                         testing::Values("debian", "folder", "stack_exchange", "stack_exchange_in_7z", "gh_archive",
                                         "warc", "warc_gz", "arxiv", "papers", "discourse", "mbox", "json_lines"),
                         [](const auto& kind) { return std::string(kind.param); });

}  // namespace
}  // namespace sigma::corpus
