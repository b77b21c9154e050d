#include "data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"

namespace sigma {
namespace {

TEST(Permutation, IsOneOfEverySize) {
  for (const uint64_t n : {1, 2, 3, 4, 5, 17, 64, 65, 1000, 4096, 5000}) {
    const Permutation permutation(n, 99);
    std::vector<bool> seen(n);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t j = permutation(i);
      ASSERT_LT(j, n);
      ASSERT_FALSE(seen[j]) << n;
      seen[j] = true;
    }
  }
}

TEST(Permutation, LooksRandomAndDependsOnItsKey) {
  constexpr uint64_t n = 10000;
  const Permutation a(n, 1), b(n, 2);
  // Neighbours land far apart: the mean distance of two random places is n / 3. Few places agree between keys.
  double distance = 0;
  int same = 0;
  for (uint64_t i = 0; i + 1 < n; ++i) {
    distance += std::abs(static_cast<double>(a(i)) - static_cast<double>(a(i + 1)));
    same += a(i) == b(i) ? 1 : 0;
  }
  EXPECT_NEAR(distance / static_cast<double>(n - 1), n / 3.0, n * 0.02);
  EXPECT_LT(same, 10);
}

TEST(Permutation, WorksBeyond32Bits) {
  const uint64_t n = (uint64_t{1} << 40) + 12345;
  const Permutation permutation(n, 5);
  std::set<uint64_t> seen;
  for (uint64_t i = n - 1000; i < n; ++i) {
    EXPECT_LT(permutation(i), n);
    seen.insert(permutation(i));
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Mixture, DealsByWeightEvenlyAndCountsEveryPart) {
  for (const std::vector<double>& weights : {std::vector<double>{1},
                                             {8, 1, 1},
                                             {4, 3, 3},
                                             {0.1, 0, 0.7, 0.2},
                                             {0, 1, 0},
                                             {1e-9, 1},
                                             {1, 1, 1, 1, 1, 1, 1}}) {
    const Mixture mixture(weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<uint64_t> counts(weights.size());
    for (uint64_t p = 0; p < 3000; ++p) {
      const auto [part, before] = mixture(p);
      ASSERT_EQ(before, counts[part]++) << p;
      for (size_t i = 0; i < weights.size(); ++i) {
        ASSERT_NEAR(static_cast<double>(counts[i]), static_cast<double>(p + 1) * weights[i] / sum,
                    static_cast<double>(weights.size()));
        EXPECT_TRUE(weights[i] > 0 || counts[i] == 0);
      }
    }
  }
}

TEST(Mixture, KeepsItsSharesFarOut) {
  const Mixture mixture({0.3, 0.7});
  const uint64_t far = uint64_t{1} << 50;
  uint64_t p = far;
  while (mixture(p).first != 0) ++p;
  EXPECT_NEAR(static_cast<double>(mixture(p).second) / static_cast<double>(far), 0.3, 1e-9);
}

TEST(Mixture, RefusesWeightsThatAreNone) {
  for (const std::vector<double>& weights :
       {std::vector<double>{}, {0}, {1, -1}, {std::nan("")}, {INFINITY}, {1e308, 1e308}}) {
    EXPECT_THROW(Mixture{weights}, Error);
  }
}

}  // namespace
}  // namespace sigma
