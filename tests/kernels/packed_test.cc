// The packed layouts hold every weight of every format exactly, in the place packed.h says.
#include "kernels/packed.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/weights.h"

namespace sigma::test {
namespace {

// Weight (n of the panel, k of the block) as packed.h's table has it.
float weight(const PackedQ8& b, int n, int k) {
  return to_f32(b.d[n]) * static_cast<float>(b.q[k / 4][n][k % 4] - 128);
}
int half_byte(const uint8_t (&q)[4][kPanel][4], int n, int k) {
  const int both = q[k % 16 / 4][n][k % 4];
  return k < 16 ? both & 15 : both >> 4;
}
float weight(const PackedQ4& b, int n, int k) { return to_f32(b.d[n]) * static_cast<float>(half_byte(b.q, n, k) - 8); }
float weight(const PackedQ4Min& b, int n, int k) {
  return to_f32(b.d[n]) * static_cast<float>(half_byte(b.q, n, k)) + to_f32(b.m[n]);
}
float weight(const PackedQ8Wide& b, int n, int k) {
  return b.d[k / 16][n] * static_cast<float>(b.q[k / 4][n][k % 4] - 128) + b.m[n];
}
float weight(const PackedBf16& b, int n, int k) { return to_f32(b.w[k / 2][n][k % 2]); }
float weight(const PackedF16& b, int n, int k) { return to_f32(b.w[k][n]); }
float weight(const PackedF32& b, int n, int k) { return b.w[k][n]; }

template <class Block>
float weight(const PackedMatrix& packed, int64_t row, int64_t k) {
  const int64_t blocks = ceil_div(packed.cols, kBlock);
  const auto* panel = packed.storage.as<Block>() + row / kPanel * blocks;
  return weight(panel[k / kBlock], static_cast<int>(row % kPanel), static_cast<int>(k % kBlock));
}

float packed_weight(const PackedMatrix& packed, int64_t row, int64_t k) {
  switch (static_cast<Layout>(packed.layout)) {
    case Layout::q8:
      return weight<PackedQ8>(packed, row, k);
    case Layout::q4:
      return weight<PackedQ4>(packed, row, k);
    case Layout::q4_min:
      return weight<PackedQ4Min>(packed, row, k);
    case Layout::q8_wide:
      return weight<PackedQ8Wide>(packed, row, k);
    case Layout::bf16:
      return weight<PackedBf16>(packed, row, k);
    case Layout::f16:
      return weight<PackedF16>(packed, row, k);
    case Layout::f32:
      return weight<PackedF32>(packed, row, k);
  }
  return 0.0f;
}

class Packed : public testing::TestWithParam<int> {
 protected:
  Format format = static_cast<Format>(GetParam());
  int64_t rows = 45;
  int64_t cols = format_info(format).block_elements == 1 ? 77 : 3 * format_info(format).block_elements;
  Rng rng{3};
  std::vector<std::byte> source = random_weights(format, rows, cols, rng);
  ThreadPool threads{2};

  // Row r of the packed matrix is source row order[r] (r itself without one); what fills up the last panel is zero.
  void check(const PackedMatrix& packed, std::span<const int32_t> order) {
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = 0; r < round_up(rows, kPanel); ++r) {
      if (r < rows) {
        const int64_t from = order.empty() ? r : order[static_cast<size_t>(r)];
        format_info(format).dequantise(source.data() + from * format_row_bytes(format, cols), row.data(), cols);
      } else {
        row.assign(row.size(), 0.0f);
      }
      for (int64_t k = 0; k < cols; ++k)
        ASSERT_EQ(packed_weight(packed, r, k), row[static_cast<size_t>(k)]) << "row " << r << ", k " << k;
      for (int64_t k = cols; k < round_up(cols, kBlock); ++k) ASSERT_EQ(packed_weight(packed, r, k), 0.0f);
    }
  }
};

TEST_P(Packed, HoldsEveryWeight) {
  const PackedMatrix packed = pack_panels(threads, {format, rows, cols, source.data(), {}});
  EXPECT_EQ(packed.rows, rows);
  EXPECT_EQ(packed.cols, cols);
  EXPECT_EQ(packed.source, format);
  check(packed, {});
}

TEST_P(Packed, TakesRowsInAnotherOrder) {
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) order[static_cast<size_t>(r)] = static_cast<int32_t>(r * 7 % rows);
  check(pack_panels(threads, {format, rows, cols, source.data(), order}), order);
}

INSTANTIATE_TEST_SUITE_P(Formats, Packed, testing::Range(0, kFormatCount), [](const auto& test) {
  return std::string(format_info(static_cast<Format>(test.param)).name);
});

TEST(Packed, KeepsTheFilesBytesForTheCommonFormats) {
  ThreadPool threads(1);
  Rng rng(5);
  for (const Format format : {Format::q8_0, Format::q4_0, Format::q4_1, Format::bf16, Format::f16, Format::f32}) {
    const std::vector<std::byte> source = random_weights(format, 64, 96, rng);
    EXPECT_EQ(pack_panels(threads, {format, 64, 96, source.data(), {}}).storage.size(), source.size());
  }
}

}  // namespace
}  // namespace sigma::test
