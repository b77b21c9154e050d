#include "net/digest.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "support/temp_folder.h"

namespace sigma {
namespace {

TEST(Digest, KnownAnswers) {
  Digest empty(Digest::Kind::sha256);
  EXPECT_EQ(empty.hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Digest abc(Digest::Kind::sha256);
  abc.update("a");
  abc.update("");
  abc.update("bc");
  EXPECT_EQ(abc.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Digest blob(Digest::Kind::sha1);  // git hash-object of "hello\n"
  blob.update(std::string_view("blob 6\0", 7));
  blob.update("hello\n");
  EXPECT_EQ(blob.hex(), "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST(Digest, OfAFile) {
  const test::TempFolder folder;
  const std::string content(40'000'000, 'a');
  write_file(folder.path("a"), content);
  Digest whole(Digest::Kind::sha256);
  whole.update(content);
  EXPECT_EQ(sha256_of_file(folder.path("a")), whole.hex());
  write_file(folder.path("b"), "");
  EXPECT_EQ(sha256_of_file(folder.path("b")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_THROW(sha256_of_file(folder.path("c")), Error);
}

}  // namespace
}  // namespace sigma
