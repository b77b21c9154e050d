#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace sigma {
namespace {

namespace fs = std::filesystem;

// A folder of its own for each test.
class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "file_test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override { fs::remove_all(folder); }
  std::string path(const std::string& name) const { return folder + "/" + name; }
  size_t count() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {})); }

  std::string folder;
};

std::string found(const std::string& path) {
  try {
    const MappedFile file(path);
    return "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), path);
    return error.found();
  }
}

TEST_F(Files, MapsWhatWasWritten) {
  const std::string text = std::string("bytes\0and more", 14) + std::string(100000, 'x');
  write_file(path("a"), text);
  MappedFile file(path("a"));
  EXPECT_EQ(file.text(), text);
  EXPECT_EQ(file.bytes().size(), text.size());
  EXPECT_EQ(file.path(), path("a"));
  EXPECT_EQ(read_file(path("a")), text);
  file.release(file.bytes());
  file.release(file.bytes().subspan(1, 3));
  file.release({});
  EXPECT_EQ(file.text(), text) << "released pages come back from the file";
}

TEST_F(Files, MapsAnEmptyFile) {
  write_file(path("empty"), "");
  const MappedFile file(path("empty"));
  EXPECT_TRUE(file.bytes().empty());
  EXPECT_EQ(file.text(), "");
}

TEST_F(Files, MappingsMove) {
  write_file(path("a"), "one");
  write_file(path("b"), "two");
  MappedFile a(path("a")), b(path("b"));
  MappedFile c(std::move(a));
  EXPECT_EQ(c.text(), "one");
  c = std::move(b);
  EXPECT_EQ(c.text(), "two");
  EXPECT_EQ(c.path(), path("b"));
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST_F(Files, MapsNothingButRegularFiles) {
  EXPECT_EQ(found(path("missing")), "No such file or directory");
  EXPECT_EQ(found(folder), "a folder");
  EXPECT_EQ(found("/dev/null"), "a device");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(found(path("pipe")), "a device");  // and does not wait for a writer
}

TEST_F(Files, WritesOnCommitOnly) {
  write_file(path("a"), "old");
  {
    FileWriter writer(path("a"));
    writer.write("new text");
    EXPECT_EQ(writer.position(), 8u);
    EXPECT_EQ(read_file(path("a")), "old");
  }
  EXPECT_EQ(read_file(path("a")), "old");
  EXPECT_EQ(count(), 1u) << "the partial file stayed behind";
  FileWriter writer(path("a"));
  writer.write("new");
  writer.pad_to(8);
  writer.pad_to(8);
  EXPECT_EQ(writer.position(), 8u);
  writer.write(std::span<const std::byte>());
  writer.commit();
  EXPECT_EQ(read_file(path("a")), std::string("new\0\0\0\0\0", 8));
  EXPECT_EQ(count(), 1u);
}

TEST_F(Files, AnExceptionLeavesNothingBehind) {
  try {
    FileWriter writer(path("a"));
    writer.write("half");
    throw Error("x", "y", "z");
  } catch (const Error&) {
  }
  EXPECT_EQ(count(), 0u);
}

TEST_F(Files, WriterNamesThePathItCannotWrite) {
  const std::string target = path("no/such/folder");
  try {
    FileWriter writer(target);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), target);
    EXPECT_EQ(error.found(), "No such file or directory");
  }
}

TEST_F(Files, ATargetThatCannotBeReplacedIsAnError) {
  fs::create_directories(path("taken/by"));
  FileWriter writer(path("taken"));
  writer.write("text");
  EXPECT_THROW(writer.commit(), Error);
  EXPECT_EQ(count(), 1u);
}

// A file size limit stands for a full disk.
void write_beyond_limit(const std::string& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit { 8192, 8192 };
  ::setrlimit(RLIMIT_FSIZE, &limit);
  try {
    FileWriter writer(path);
    for (int i = 0; i < 100; ++i) writer.write(std::string(1000, 'x'));
    writer.commit();
    std::fprintf(stderr, "no error\n");
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  std::exit(fs::exists(path) ? 1 : 0);
}

TEST_F(Files, AFullDiskIsAnErrorAndLeavesNothing) {
  EXPECT_EXIT(write_beyond_limit(path("big")), testing::ExitedWithCode(0),
              "big. expected room for the whole file, found File too large");
  EXPECT_EQ(count(), 0u);
}

TEST(CacheFolder, ComesFromTheEnvironment) {
  ::setenv("SIGMA_CACHE", "/own", 1);
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(cache_folder(), "/own");
  ::setenv("SIGMA_CACHE", "", 1);
  EXPECT_EQ(cache_folder(), "/xdg/sigma");
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(cache_folder(), "/home/me/.cache/sigma");
  ::unsetenv("HOME");
  EXPECT_THROW(cache_folder(), Error);
}

}  // namespace
}  // namespace sigma
