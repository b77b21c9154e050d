#include "formats/tensor_list.h"

#include <algorithm>

#include "base/error.h"

namespace sigma {

uint64_t tensor_bytes(const TensorSpec& tensor) {
  const FormatInfo& info = format_info(tensor.format);
  const std::optional<int64_t> elements = element_count(tensor.shape);
  SIGMA_CHECK(elements.has_value());
  SIGMA_CHECK_EQ((tensor.shape.empty() ? 1 : tensor.shape.back()) % info.block_elements, 0);
  return static_cast<uint64_t>(*elements) / info.block_elements * info.block_bytes;
}

std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return count;
}

std::optional<std::string_view> NameIndex::finish() {
  std::sort(names_.begin(), names_.end());
  for (size_t i = 1; i < names_.size(); ++i) {
    if (names_[i].first == names_[i - 1].first) return names_[i].first;
  }
  return std::nullopt;
}

std::optional<size_t> NameIndex::find(std::string_view name) const {
  const auto it = std::lower_bound(names_.begin(), names_.end(), std::pair<std::string_view, size_t>(name, 0));
  if (it == names_.end() || it->first != name) return std::nullopt;
  return it->second;
}

}  // namespace sigma
