#include "text/tokenizer.h"
#include "text/unicode.h"

namespace sigma {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string shown;
  const auto* p = reinterpret_cast<const unsigned char*>(pending_.data());
  const auto* const end = p + pending_.size();
  while (p != end) {
    const unicode::CodePoint c = unicode::decode(p, end);
    if (c.truncated) break;
    if (c.value == unicode::kInvalid) {
      shown += kReplacement;
    } else {
      shown.append(reinterpret_cast<const char*>(p), static_cast<size_t>(c.length));
    }
    p += c.length;
  }
  pending_.erase(0, pending_.size() - static_cast<size_t>(end - p));
  return shown;
}

std::string Utf8Stream::finish() {
  const bool incomplete = !pending_.empty();
  pending_.clear();
  return incomplete ? std::string(kReplacement) : std::string();
}

}  // namespace sigma
