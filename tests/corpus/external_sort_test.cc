#include "corpus/external_sort.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/rng.h"
#include "support/temp_folder.h"

namespace sigma::corpus {
namespace {

TEST(ExternalSort, SameAsInMemory) {
  const test::TempFolder folder;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{1023}, size_t{1024}, size_t{1025}, size_t{10000}}) {
    ExternalSorter<uint64_t> sorter(folder.path("run"), 0);  // 1,024 records at a time
    std::vector<uint64_t> expected, got;
    Rng rng(count);
    for (size_t i = 0; i < count; ++i) {
      expected.push_back(rng.below(5000));
      sorter.add(expected.back());
    }
    std::sort(expected.begin(), expected.end());
    sorter.finish([&](uint64_t value) { got.push_back(value); });
    EXPECT_EQ(got, expected) << count;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ExternalSort, NoPlaceToSpill) {
  ExternalSorter<uint64_t> sorter("/nonexistent/run", 0);
  for (int i = 0; i < 1024; ++i) sorter.add(1);
  EXPECT_THROW(sorter.add(1), Error);
}

}  // namespace
}  // namespace sigma::corpus
