#include "engine/text_stream.h"

#include <algorithm>

namespace sigma {

namespace {

// Length of the longest end of `text` that is a proper start of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; --n)
    if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
  return 0;
}

}  // namespace

std::string TextStream::push(std::string_view token_bytes) {
  if (stopped_) return "";
  return show(utf8_.push(token_bytes));
}

std::string TextStream::finish() {
  std::string shown = stopped_ ? "" : show(utf8_.finish());
  return shown + release(0);
}

std::string TextStream::show(const std::string& text) {
  held_ += text;
  size_t first = std::string::npos, keep_back = 0;
  for (const std::string& stop : stops_) {
    if (stop.empty()) continue;
    first = std::min(first, held_.find(stop));
    keep_back = std::max(keep_back, overlap(held_, stop));
  }
  if (first != std::string::npos) {
    stopped_ = true;
    held_.resize(first);
    keep_back = 0;
  }
  return release(keep_back);
}

std::string TextStream::release(size_t keep_back) {
  std::string shown = held_.substr(0, held_.size() - keep_back);
  held_.erase(0, shown.size());
  return shown;
}

}  // namespace sigma
