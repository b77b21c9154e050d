#include "kernels/packed.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/packed_wide.h"
#include "tensor/quant.h"

namespace sigma {

namespace {

// Source rows are read in runs of this many blocks, so that the part of the panel being filled stays in the L1 cache.
constexpr int64_t kRun = 8;

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// put(block of one row, its place in the panel): the conversions of 32 weights of output n.
void put(const BlockQ8_0& from, PackedQ8& to, int n) {
  to.d[n] = from.d;
  for (int g = 0; g < 8; ++g) {
    uint32_t quad;
    std::memcpy(&quad, from.q + 4 * g, 4);
    quad ^= 0x80808080u;  // two's complement to biased by 128
    std::memcpy(to.q[g][n], &quad, 4);
  }
}

void put(const BlockQ4_0& from, PackedQ4& to, int n) {
  to.d[n] = from.d;
  for (int g = 0; g < 4; ++g) std::memcpy(to.q[g][n], from.q + 4 * g, 4);
}

void put(const BlockQ4_1& from, PackedQ4Min& to, int n) {
  to.d[n] = from.d;
  to.m[n] = from.m;
  for (int g = 0; g < 4; ++g) std::memcpy(to.q[g][n], from.q + 4 * g, 4);
}

void put(const WideBlock& from, PackedQ8Wide& to, int n) {
  to.d[0][n] = from.d[0];
  to.d[1][n] = from.d[1];
  to.m[n] = from.m;
  for (int g = 0; g < 8; ++g) std::memcpy(to.q[g][n], from.q + 4 * g, 4);
}

// A panel of 32-weight blocks that lie in the file as Source and are packed as Packed.
template <class Source, class Packed>
void pack_panel_blocks(const MatrixSource& source, int64_t row, int rows, std::byte* panel) {
  auto* to = reinterpret_cast<Packed*>(panel);
  const int64_t blocks = source.cols / kBlock;
  for (int64_t begin = 0; begin < blocks; begin += kRun) {
    const int64_t end = std::min(begin + kRun, blocks);
    for (int n = 0; n < rows; ++n) {
      const std::byte* from = source.row(row + n);
      for (int64_t b = begin; b < end; ++b)
        put(load<Source>(from + b * static_cast<int64_t>(sizeof(Source))), to[b], n);
    }
  }
}

// Formats that only the wide layout holds.
void pack_panel_wide(const MatrixSource& source, int64_t row, int rows, std::byte* panel) {
  auto* to = reinterpret_cast<PackedQ8Wide*>(panel);
  const int64_t blocks = source.cols / kBlock;
  for (int n = 0; n < rows; ++n) {
    const std::byte* from = source.row(row + n);
    for (int64_t b = 0; b < blocks; ++b) put(wide_block(source.format, from, b), to[b], n);
  }
}

// Plain numbers, `kTogether` consecutive k of one output side by side.
template <class T, int kTogether, class Packed>
void pack_panel_plain(const MatrixSource& source, int64_t row, int rows, std::byte* panel) {
  static_assert(sizeof(Packed) == sizeof(T) * kPanel * kBlock);
  auto* to = reinterpret_cast<T*>(panel);
  for (int64_t begin = 0; begin < source.cols; begin += kBlock) {
    const int64_t end = std::min<int64_t>(begin + kBlock, source.cols);
    for (int n = 0; n < rows; ++n) {
      const std::byte* from = source.row(row + n);
      for (int64_t k = begin; k < end; ++k) {
        const int64_t at = (k / kTogether * kPanel + n) * kTogether + k % kTogether;
        std::memcpy(to + at, from + k * static_cast<int64_t>(sizeof(T)), sizeof(T));
      }
    }
  }
}

struct Packing {
  Layout layout;
  int64_t block_bytes;
  void (*pack_panel)(const MatrixSource& source, int64_t row, int rows, std::byte* panel);
};

Packing packing_of(Format format) {
  switch (format) {
    case Format::f32:
      return {Layout::f32, sizeof(PackedF32), pack_panel_plain<float, 1, PackedF32>};
    case Format::f16:
      return {Layout::f16, sizeof(PackedF16), pack_panel_plain<f16, 1, PackedF16>};
    case Format::bf16:
      return {Layout::bf16, sizeof(PackedBf16), pack_panel_plain<bf16, 2, PackedBf16>};
    case Format::q8_0:
      return {Layout::q8, sizeof(PackedQ8), pack_panel_blocks<BlockQ8_0, PackedQ8>};
    case Format::q4_0:
      return {Layout::q4, sizeof(PackedQ4), pack_panel_blocks<BlockQ4_0, PackedQ4>};
    case Format::q4_1:
      return {Layout::q4_min, sizeof(PackedQ4Min), pack_panel_blocks<BlockQ4_1, PackedQ4Min>};
    default:
      return {Layout::q8_wide, sizeof(PackedQ8Wide), pack_panel_wide};
  }
}

}  // namespace

PackedMatrix pack_panels(ThreadPool& threads, const MatrixSource& source) {
  const Packing packing = packing_of(source.format);
  const int64_t panels = ceil_div(source.rows, kPanel);
  const int64_t panel_bytes = ceil_div(source.cols, kBlock) * packing.block_bytes;
  PackedMatrix packed;
  packed.rows = source.rows;
  packed.cols = source.cols;
  packed.source = source.format;
  packed.layout = static_cast<int>(packing.layout);
  packed.storage = Buffer(static_cast<size_t>(panels * panel_bytes));
  threads.run(panels, [&](int64_t panel) {
    const int64_t row = panel * kPanel;
    const int rows = static_cast<int>(std::min<int64_t>(kPanel, source.rows - row));
    packing.pack_panel(source, row, rows, packed.storage.data() + panel * panel_bytes);
  });
  return packed;
}

}  // namespace sigma
