// Storage formats: how numbers lie in files and caches. One table row per format; adding one is adding a row, its block
// struct (quant.h) and its two conversions (docs/howto_quant_format.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sigma {

enum class Format : uint8_t { f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k };
inline constexpr int kFormatCount = 11;

struct FormatInfo {
  Format format;
  std::string_view name;  // "q8_0"
  int block_elements;     // 1 for plain types
  int block_bytes;
  uint32_t ggml_type;  // the number in GGUF files
  // n: elements, a multiple of block_elements. Total: any bytes mean something, at any address; a NaN or infinity among
  // a block's scales makes what is computed from it non-finite.
  void (*dequantise)(const std::byte* blocks, float* out, int64_t n);
  // Null: this format is read, not written. Byte-equal to ggml's reference quantisation for finite values. f16 and bf16
  // round to nearest even and keep NaN; a block with a NaN, an infinity or (q4_1) a range beyond f32 becomes all NaN; a
  // scale beyond f16 (values over 8e6 in q8_0) becomes infinite.
  void (*quantise)(const float* in, std::byte* blocks, int64_t n);
};

const FormatInfo& format_info(Format format);
// Whether none of n elements is NaN or infinite. Quantised blocks are judged by their scales alone: fast enough to run
// over every weight at every start.
bool all_finite(Format format, const std::byte* blocks, int64_t n);
std::span<const FormatInfo> all_formats();
std::optional<Format> format_from_name(std::string_view name);
std::optional<Format> format_from_ggml(uint32_t ggml_type);

// Bytes of a row of n elements; n must be a multiple of block_elements.
inline int64_t format_row_bytes(Format format, int64_t n) {
  const FormatInfo& info = format_info(format);
  return n / info.block_elements * info.block_bytes;
}

}  // namespace sigma
