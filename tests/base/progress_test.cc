#include "base/progress.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fcntl.h>
#include <string>
#include <thread>

namespace sigma {
namespace {

// Standard error is a terminal while this lives; what it showed is taken with text().
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY)), saved_(::dup(STDERR_FILENO)) {
    EXPECT_GE(master_, 0);
    EXPECT_EQ(::grantpt(master_), 0);
    EXPECT_EQ(::unlockpt(master_), 0);
    const int slave = ::open(::ptsname(master_), O_RDWR | O_NOCTTY);
    EXPECT_GE(slave, 0);
    ::dup2(slave, STDERR_FILENO);
    ::close(slave);
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  std::string text() const {
    std::string all;
    char buffer[4096];
    for (ssize_t n = ::read(master_, buffer, sizeof buffer); n > 0; n = ::read(master_, buffer, sizeof buffer))
      all.append(buffer, static_cast<size_t>(n));
    return all;
  }

 private:
  int master_, saved_;
};

TEST(Progress, IsSilentWhereNobodyLooks) {
  testing::internal::CaptureStderr();
  {
    Progress progress("fetch", 100, "B");
    progress.update(50);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Progress, IsSilentWhenItIsQuick) {
  const Terminal terminal;
  {
    Progress progress("fetch", 100, "B");
    progress.update(100);
  }
  EXPECT_EQ(terminal.text(), "");
}

TEST(Progress, ShowsShareAmountAndRate) {
  const Terminal terminal;
  {
    Progress known("fetch", 4096, "B"), unknown("count", 0, "rows"), wrong("more", 10, "rows");
    std::this_thread::sleep_for(std::chrono::milliseconds(1010));
    known.update(1024);
    unknown.update(77);
    wrong.update(30);  // more than it was told: full, and no fault
  }
  const std::string text = terminal.text();
  EXPECT_NE(text.find("fetch [######                  ]  25% 1.0 KiB of 4.0 KiB, "), std::string::npos) << text;
  EXPECT_NE(text.find(" s left"), std::string::npos) << text;
  EXPECT_NE(text.find("count 77 rows, "), std::string::npos) << text;
  EXPECT_NE(text.find("more [########################] 100% 30 rows of 10 rows, "), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.size() - 2), "\r\n");
}

}  // namespace
}  // namespace sigma
