// Dense arrays as kernels see them: an element type, a shape and a pointer. Views never own and never allocate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/numeric.h"

namespace sigma {

// What kernels compute with (f64: the reference and gradient checks only).
enum class DType : uint8_t { f64, f32, bf16, f16, i32, i8 };

constexpr int64_t dtype_bytes(DType t) {
  constexpr std::array<int64_t, 6> bytes{8, 4, 2, 2, 4, 1};
  return bytes[static_cast<size_t>(t)];
}

// A matrix: `rows` rows of `cols` elements, consecutive rows row_bytes apart, elements of a row contiguous.
template <class Byte>
struct BasicTensorView {
  Byte* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0;
  int64_t row_bytes = 0;

  template <class T>
  auto row(int64_t r) const {
    using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;
    return reinterpret_cast<Element*>(data + r * row_bytes);
  }
  BasicTensorView slice_rows(int64_t begin, int64_t count) const {
    return {data + begin * row_bytes, dtype, count, cols, row_bytes};
  }
  // The same rows cut into `parts` equal rows each: [rows, cols] -> [rows * parts, cols / parts]. Contiguous rows only.
  BasicTensorView split_rows(int64_t parts) const {
    return {data, dtype, rows * parts, cols / parts, row_bytes / parts};
  }
  // In line in every build: kernels compiled for one instruction set may not leave a copy for the others.
  [[gnu::always_inline]] operator BasicTensorView<const std::byte>() const {
    return {data, dtype, rows, cols, row_bytes};
  }
};
using TensorView = BasicTensorView<std::byte>;
using ConstTensorView = BasicTensorView<const std::byte>;

template <class T>
constexpr DType dtype_of() {
  using U = std::remove_const_t<T>;
  if constexpr (std::is_same_v<U, double>) return DType::f64;
  if constexpr (std::is_same_v<U, float>) return DType::f32;
  if constexpr (std::is_same_v<U, bf16>) return DType::bf16;
  if constexpr (std::is_same_v<U, f16>) return DType::f16;
  if constexpr (std::is_same_v<U, int32_t>) return DType::i32;
  if constexpr (std::is_same_v<U, int8_t>) return DType::i8;
}

// A contiguous matrix over memory of the caller's.
template <class T>
TensorView view_of(T* data, int64_t rows, int64_t cols) {
  return {reinterpret_cast<std::byte*>(data), dtype_of<T>(), rows, cols, cols * static_cast<int64_t>(sizeof(T))};
}
template <class T>
ConstTensorView view_of(const T* data, int64_t rows, int64_t cols) {
  return {reinterpret_cast<const std::byte*>(data), dtype_of<T>(), rows, cols, cols * static_cast<int64_t>(sizeof(T))};
}

}  // namespace sigma
