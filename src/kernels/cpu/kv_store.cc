// Appends rows to a pool in the layout of kernels/kv_layout.h. Positions are independent of each other: each writes its
// own bytes, so tasks may share a block of 16 tokens.
#include "kernels/cpu/attention_keys.h"
#include "kernels/cpu/ops.h"

namespace sigma::SIGMA_ISA {

namespace {

// Elements below which waking the other threads costs more than it gains.
constexpr int64_t kSerialElements = 64 << 10;
constexpr int64_t kTaskRows = 16;

// n values (n <= kLanes) in a format's 16-bit or 32-bit form.
struct Narrow {
  alignas(64) std::byte bytes[kLanes * 4];
};

Narrow narrow(Format format, const float* x, int64_t n) {
  Narrow out;
  const F32 v = load_up_to(x, static_cast<int>(n));
  if (format == Format::f32)
    store(reinterpret_cast<float*>(out.bytes), v);
  else if (format == Format::f16)
    store_f16(reinterpret_cast<f16*>(out.bytes), v);
  else
    store_bf16(reinterpret_cast<bf16*>(out.bytes), v);
  return out;
}

// One block of 32, its scale rounded to f16.
f16 quantise_value(int8_t* q, const float* x, int64_t n) {
  f16 scales[kLanes];
  store_f16(scales, set(quantise_block(q, x, static_cast<int>(n))));
  return scales[0];
}

void copy_bytes(std::byte* to, const std::byte* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

// Elements `bytes` wide, `step` bytes apart.
template <int64_t bytes>
void scatter(std::byte* to, int64_t step, const std::byte* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * step, from + i * bytes, bytes);
}

// block: at the token's block; lane: within it.
void store_key(const KvLayout& layout, std::byte* block, int lane, const float* x) {
  const int64_t step = layout.key_step;
  if (layout.format == Format::q8_0) {
    for (int b = 0; b < layout.padded_dim; b += kQuantBlock) {
      alignas(64) int8_t q[kQuantBlock];
      const f16 scale = quantise_value(q, x + b, layout.dim - b);
      for (int i = 0; i < kQuantBlock; ++i) q[i] = static_cast<int8_t>(q[i] ^ -128);
      scatter<4>(block + b / 4 * step + lane * 4, step, reinterpret_cast<const std::byte*>(q), kQuantBlock / 4);
      __builtin_memcpy(block + layout.scales + (b / kQuantBlock * layout.key_block + lane) * 2, &scale, 2);
    }
    return;
  }
  for (int64_t i = 0; i < layout.padded_dim; i += kLanes) {
    const Narrow v = narrow(layout.format, x + i, layout.dim - i);
    const int64_t n = layout.padded_dim - i < kLanes ? layout.padded_dim - i : kLanes;
    if (layout.format == Format::f32)
      scatter<4>(block + i * step + lane * 4, step, v.bytes, n);
    else if (layout.format == Format::f16)
      scatter<2>(block + i * step + lane * 2, step, v.bytes, n);
    else
      scatter<4>(block + i / 2 * step + lane * 4, step, v.bytes, n / 2);
  }
}

void store_value(const KvLayout& layout, std::byte* head, int64_t slot, const float* x) {
  std::byte* row = head + slot * layout.row_bytes;
  if (layout.format == Format::q8_0) {
    std::byte* scales = head + layout.scales + slot * (layout.padded_dim / kQuantBlock) * 2;
    for (int b = 0; b < layout.padded_dim; b += kQuantBlock) {
      const f16 scale = quantise_value(reinterpret_cast<int8_t*>(row + b), x + b, layout.dim - b);
      __builtin_memcpy(scales + b / kQuantBlock * 2, &scale, 2);
    }
    return;
  }
  const int64_t element = layout.row_bytes / layout.padded_dim;
  for (int64_t i = 0; i < layout.padded_dim; i += kLanes) {
    const Narrow v = narrow(layout.format, x + i, layout.dim - i);
    copy_bytes(row + i * element, v.bytes, kLanes * element);
  }
}

void store_rows(CacheKind kind, const KvLayout& layout, const PagedView& cache, ConstTensorView x, const SeqSlice& seq,
                int64_t first, int64_t rows) {
  const PageId* pages = seq.pages.data();
  for (int64_t r = first; r < first + rows; ++r) {
    const int64_t position = seq.position + r, slot = position % layout.page_tokens;
    std::byte* page = cache.data + pages[position / layout.page_tokens] * cache.page_stride;
    const auto* row = reinterpret_cast<const float*>(x.data + (seq.row + r) * x.row_bytes);
    for (int h = 0; h < layout.heads; ++h, page += layout.head_bytes, row += layout.dim) {
      if (kind == CacheKind::k)
        store_key(layout, page + slot / layout.key_block * layout.block_bytes,
                  static_cast<int>(slot % layout.key_block), row);
      else
        store_value(layout, page, slot, row);
    }
  }
}

}  // namespace

void kv_store(const Context& context, CacheKind kind, const PagedView& cache, ConstTensorView x,
              std::span<const SeqSlice> seqs) {
  const KvLayout layout = kv_layout(kind, cache.shape);
  check_kv_store(layout, x, seqs);
  const SeqSlice* seq = seqs.data();
  const auto count = static_cast<int64_t>(seqs.size());
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += seq[i].rows;
  if (total * x.cols < kSerialElements) {
    for (int64_t i = 0; i < count; ++i) store_rows(kind, layout, cache, x, seq[i], 0, seq[i].rows);
    return;
  }
  // Tasks are runs of kTaskRows rows, counted through all sequences.
  context.threads.run((total + kTaskRows - 1) / kTaskRows, [&](int64_t task) {
    int64_t skip = task * kTaskRows, left = kTaskRows;
    for (int64_t i = 0; i < count && left > 0; ++i) {
      const int64_t rows = seq[i].rows - skip < left ? seq[i].rows - skip : left;
      if (rows > 0) {
        store_rows(kind, layout, cache, x, seq[i], skip, rows);
        left -= rows;
      }
      skip = skip > seq[i].rows ? skip - seq[i].rows : 0;
    }
  });
}

}  // namespace sigma::SIGMA_ISA
