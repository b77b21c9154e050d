#include "data/documents.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

using Texts = std::vector<std::string>;

// {"text": "zstd says hello"} and {"text": "twice"}, compressed.
const unsigned char kZstd[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x5d, 0x01, 0x00, 0x44, 0x02, 0x7b, 0x22, 0x74,
                               0x65, 0x78, 0x74, 0x22, 0x3a, 0x20, 0x22, 0x7a, 0x73, 0x74, 0x64, 0x20, 0x73, 0x61,
                               0x79, 0x73, 0x20, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x22, 0x7d, 0x0a, 0x74, 0x77, 0x69,
                               0x63, 0x65, 0x22, 0x7d, 0x0a, 0x01, 0x00, 0xfc, 0x36, 0x9d, 0x2c, 0xee, 0xcc, 0xc9};

Texts read_all(const std::vector<std::string>& files, TextFormat format = TextFormat::automatic) {
  DocumentReader reader(files, format, DocumentReader::LongTexts::cut);
  Texts texts;
  bool open = false;
  TextBatch batch;
  while (reader.next(batch)) {
    if (batch.jsonl) for_each_text(batch, [&](std::string_view text) { texts.emplace_back(text); });
    for (const TextBatch::Piece& piece : batch.pieces) {
      if (!open) texts.emplace_back();
      texts.back() += batch.bytes.substr(piece.begin, piece.size);
      open = !piece.ends_document;
    }
  }
  EXPECT_FALSE(open);
  EXPECT_EQ(reader.files_read(), files.size());
  return texts;
}

std::string refusal(const std::string& path, TextFormat format = TextFormat::automatic) {
  try {
    read_all({path}, format);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Documents, TextsAreWholeFiles) {
  const test::TempFolder folder;
  std::string large;
  for (int i = 0; large.size() < 5 * TextBatch::kBytes; ++i) large += fmt::format("word {} of a long text\r\n", i);
  const Texts texts = {"one", "", large, "{\"text\": \"no JSONL\"}\n", std::string(3 * TextBatch::kBytes, 'x'), "end"};
  std::vector<std::string> files;
  for (const std::string& text : texts) {
    files.push_back(folder.path(fmt::format("{}.txt", files.size())));
    write_file(files.back(), text);
  }
  EXPECT_EQ(read_all(files), texts);
  EXPECT_EQ(files_of({folder.path()}), files);
  EXPECT_EQ(files_of({files[1], files[0]}), (Texts{files[1], files[0]}));
}

TEST(Documents, AJsonlFileHasOneInEveryLine) {
  const test::TempFolder folder;
  const std::string lines =
      "{\"id\": 1, \"text\": \"a\\nb\\u00e9\", \"metadata\": {\"text\": \"not this\", \"list\": [1, {\"text\": 2}]}}\n"
      "\n  \r\n"
      "{\"metadata\": {\"text\": \"nor this\"}, \"text\": \"\"}\r\n"
      "{\"text\": \"last\", \"x\": null}";
  write_file(folder.path("a.jsonl"), lines);
  write_file(folder.path("b.txt"), "plain");
  const Texts expected = {"a\nb\xc3\xa9", "", "last"};
  EXPECT_EQ(read_all({folder.path("a.jsonl")}), expected);
  EXPECT_EQ(read_all({folder.path("a.jsonl")}, TextFormat::text), Texts{lines});
  EXPECT_EQ(read_all({folder.path("b.txt"), folder.path("a.jsonl"), folder.path("b.txt")}),
            (Texts{"plain", expected[0], expected[1], expected[2], "plain"}));
}

TEST(Documents, LinesMayBeLongerThanABatchAndManyInOne) {
  const test::TempFolder folder;
  Texts texts;
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    texts.emplace_back(i == 7 ? 3 * TextBatch::kBytes : static_cast<size_t>(i * 37), static_cast<char>('a' + i % 26));
    lines += "{\"text\": \"" + texts.back() + "\"}\n";
  }
  write_file(folder.path("a.json"), lines);
  EXPECT_EQ(read_all({folder.path("a.json")}), texts);
}

TEST(Documents, CompressedFilesAreRead) {
  const test::TempFolder folder;
  const std::string bytes(reinterpret_cast<const char*>(kZstd), sizeof kZstd);
  write_file(folder.path("a.jsonl.zst"), bytes);
  EXPECT_EQ(read_all({folder.path("a.jsonl.zst")}), (Texts{"zstd says hello", "twice"}));
  write_file(folder.path("b.jsonl.zst"), bytes.substr(0, bytes.size() - 6));
  EXPECT_NE(refusal(folder.path("b.jsonl.zst")).find("b.jsonl.zst"), std::string::npos);
}

TEST(Documents, BadLinesAreNamed) {
  const test::TempFolder folder;
  const std::string good = "{\"text\": \"x\"}\n";
  for (const char* bad :
       {"{\"text\": 3}", "{\"body\": \"x\"}", "[\"text\"]", "\"text\"", "{\"text\": \"x\"", "{\"text\": \"\xff\"}",
        "{\"text\": \"x\"} {}", "{\"metadata\": {\"text\": \"x\"}}", "{\"text\": [\"x\"]}"}) {
    write_file(folder.path("a.jsonl"), good + "\n" + good + bad + "\n" + good);
    EXPECT_TRUE(refusal(folder.path("a.jsonl"))
                    .starts_with("[" + folder.path("a.jsonl, line 4] expected a JSON object with a string \"text\"")))
        << bad << ": " << refusal(folder.path("a.jsonl"));
  }
}

TEST(Documents, WhatIsNotThereIsNamed) {
  const test::TempFolder folder;
  EXPECT_THROW(files_of({folder.path("none")}), Error);
  EXPECT_THROW(files_of({folder.path()}), Error) << "an empty folder";
  EXPECT_NE(refusal(folder.path("none")), "accepted");
}

}  // namespace
}  // namespace sigma
