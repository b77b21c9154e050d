// How things fail. Error: the world is wrong (a file, a configuration, a request, the machine); caught in main and in
// request handlers. SIGMA_CHECK: our code is wrong; prints both values and aborts. An expected answer ("no free page",
// "end of data") is a return value and neither of these.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "base/fmt.h"

namespace sigma {

// "[where] expected X, found Y": one line for people, three fields for machines.
class Error : public std::runtime_error {
 public:
  Error(std::string where, std::string expected, std::string found);
  const std::string& where() const { return where_; }
  const std::string& expected() const { return expected_; }
  const std::string& found() const { return found_; }

 private:
  std::string where_, expected_, found_;
};

// The command line is wrong: exit status 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void check_failed(const char* file, int line, const char* expression, const std::string& values);

// Text from outside made safe to print on one line: control characters and invalid bytes escaped, cut after `limit`.
std::string printable(std::string_view text, size_t limit = 80);

}  // namespace sigma

#define SIGMA_CHECK(cond)                                   \
  do {                                                      \
    if (!(cond)) [[unlikely]]                               \
      ::sigma::check_failed(__FILE__, __LINE__, #cond, ""); \
  } while (0)

#define SIGMA_CHECK_OP_(op, a, b)                                                                                 \
  do {                                                                                                            \
    const auto& sigma_a_ = (a);                                                                                   \
    const auto& sigma_b_ = (b);                                                                                   \
    if (!(sigma_a_ op sigma_b_)) [[unlikely]]                                                                     \
      ::sigma::check_failed(__FILE__, __LINE__, #a " " #op " " #b, fmt::format("{} and {}", sigma_a_, sigma_b_)); \
  } while (0)
#define SIGMA_CHECK_EQ(a, b) SIGMA_CHECK_OP_(==, a, b)
#define SIGMA_CHECK_LE(a, b) SIGMA_CHECK_OP_(<=, a, b)
#define SIGMA_CHECK_LT(a, b) SIGMA_CHECK_OP_(<, a, b)
