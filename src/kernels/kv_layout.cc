#include "kernels/kv_layout.h"

#include <cstring>

#include "base/error.h"
#include "base/numeric.h"

namespace sigma {

namespace {

template <class T>
T read_as(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Element i of token `slot` of the head of a K page that begins at `head`.
float key_element(const KvLayout& layout, const std::byte* head, int slot, int i) {
  const std::byte* block = head + slot / layout.key_block * layout.block_bytes;
  const int lane = slot % layout.key_block;
  switch (layout.format) {
    case Format::f32:
      return read_as<float>(block + (i * layout.key_block + lane) * 4);
    case Format::f16:
      return to_f32(read_as<f16>(block + (i * layout.key_block + lane) * 2));
    case Format::bf16:
      return to_f32(read_as<bf16>(block + (i / 2 * layout.key_block + lane) * 4 + i % 2 * 2));
    default: {
      const int q = read_as<uint8_t>(block + (i / 4 * layout.key_block + lane) * 4 + i % 4) - 128;
      const auto scale = read_as<f16>(block + layout.scales + (i / kQuantBlock * layout.key_block + lane) * 2);
      return to_f32(scale) * static_cast<float>(q);
    }
  }
}

float value_element(const KvLayout& layout, const std::byte* head, int slot, int i) {
  const std::byte* row = head + slot * layout.row_bytes;
  switch (layout.format) {
    case Format::f32:
      return read_as<float>(row + i * 4);
    case Format::f16:
      return to_f32(read_as<f16>(row + i * 2));
    case Format::bf16:
      return to_f32(read_as<bf16>(row + i * 2));
    default: {
      const std::byte* scales = head + layout.scales + slot * (layout.padded_dim / kQuantBlock) * 2;
      return to_f32(read_as<f16>(scales + i / kQuantBlock * 2)) * static_cast<float>(read_as<int8_t>(row + i));
    }
  }
}

int64_t element_bytes(Format format) {
  switch (format) {
    case Format::f32:
      return 4;
    case Format::f16:
    case Format::bf16:
      return 2;
    default:
      SIGMA_CHECK(format == Format::q8_0);
      return 1;
  }
}

}  // namespace

KvLayout kv_layout(CacheKind kind, const CacheShape& shape) {
  SIGMA_CHECK(shape.heads > 0 && shape.dim > 0 && shape.page_tokens > 0);
  KvLayout layout;
  layout.format = shape.format;
  layout.heads = shape.heads;
  layout.dim = shape.dim;
  layout.page_tokens = shape.page_tokens;
  const int64_t element = element_bytes(shape.format);
  const bool quantised = shape.format == Format::q8_0;
  if (kind == CacheKind::k) {
    const int multiple = quantised ? kQuantBlock : shape.format == Format::bf16 ? 2 : 1;
    layout.padded_dim = static_cast<int>(round_up(shape.dim, multiple));
    layout.key_block = shape.page_tokens % 32 == 0 ? 32 : 16;
    layout.key_step = layout.key_block * (shape.format == Format::f16 ? 2 : 4);
    layout.scales = layout.padded_dim * layout.key_block * element;
    const int64_t scale_bytes = quantised ? layout.padded_dim / kQuantBlock * layout.key_block * 2 : 0;
    layout.block_bytes = round_up(layout.scales + scale_bytes, 64);
    layout.head_bytes = ceil_div(shape.page_tokens, layout.key_block) * layout.block_bytes;
  } else {
    layout.padded_dim = static_cast<int>(round_up(shape.dim, kQuantBlock));
    layout.row_bytes = layout.padded_dim * element;
    layout.scales = shape.page_tokens * layout.row_bytes;
    const int64_t scale_bytes = quantised ? shape.page_tokens * (layout.padded_dim / kQuantBlock) * 2 : 0;
    layout.head_bytes = round_up(layout.scales + scale_bytes, 64);
  }
  return layout;
}

int64_t kv_page_bytes(CacheKind kind, const CacheShape& shape) {
  return kv_layout(kind, shape).head_bytes * shape.heads;
}

void check_kv_store(const KvLayout& layout, const ConstTensorView& x, std::span<const SeqSlice> seqs) {
  SIGMA_CHECK_EQ(x.cols, static_cast<int64_t>(layout.heads) * layout.dim);
  for (const SeqSlice& seq : seqs) {
    SIGMA_CHECK(seq.row >= 0 && seq.rows >= 0 && seq.position >= 0);
    SIGMA_CHECK_LE(seq.row + seq.rows, x.rows);
    SIGMA_CHECK_LE(ceil_div(seq.position + seq.rows, layout.page_tokens), static_cast<int64_t>(seq.pages.size()));
  }
}

void load_kv_rows(CacheKind kind, const PagedView& cache, const SeqSlice& seq, int64_t count, float* out) {
  const KvLayout layout = kv_layout(kind, cache.shape);
  SIGMA_CHECK_LE(ceil_div(count, layout.page_tokens), static_cast<int64_t>(seq.pages.size()));
  for (int64_t t = 0; t < count; ++t) {
    const std::byte* page = cache.page(seq.pages[static_cast<size_t>(t / layout.page_tokens)]);
    const int slot = static_cast<int>(t % layout.page_tokens);
    for (int h = 0; h < layout.heads; ++h, out += layout.dim) {
      const std::byte* head = page + h * layout.head_bytes;
      for (int i = 0; i < layout.dim; ++i)
        out[i] = kind == CacheKind::k ? key_element(layout, head, slot, i) : value_element(layout, head, slot, i);
    }
  }
}

}  // namespace sigma
