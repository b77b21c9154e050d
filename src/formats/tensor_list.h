// What the readers and writers of tensor files share: a tensor to be written, and finding things by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/format.h"

namespace sigma {

// A tensor to be written. Shape: rows first, as Hugging Face and PyTorch have it; the last size, a row, is a multiple
// of the format's block.
struct TensorSpec {
  std::string name;
  Format format = Format::f32;
  std::vector<int64_t> shape;
};

// Bytes of the tensor; a CHECK that its row is a whole number of blocks.
uint64_t tensor_bytes(const TensorSpec& tensor);

// Writes the bytes of tensor number `index` of the list, all of them and no others, in as many pieces as it likes: what
// is in memory at a time is the source's choice.
using TensorSource = std::function<void(size_t index, FileWriter& out)>;

// Product of the sizes; nothing when it does not fit in 63 bits or a size is negative.
std::optional<int64_t> element_count(std::span<const int64_t> shape);

// Sorted names. The views must outlive it.
class NameIndex {
 public:
  // The position of a name is its order of add().
  void add(std::string_view name) { names_.emplace_back(name, names_.size()); }
  // Sorts; returns a name that was added twice.
  std::optional<std::string_view> finish();
  std::optional<size_t> find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string_view, size_t>> names_;
};

}  // namespace sigma
