// From tokens to the text a reader sees: whole characters only, cut before the first stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace sigma {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // What can be shown after these bytes; text that may turn out to be the start of a stop string is held back.
  std::string push(std::string_view token_bytes);
  std::string finish();  // the rest; nothing after a stop string
  bool stopped() const { return stopped_; }

 private:
  std::string show(const std::string& text);
  std::string release(size_t keep_back);
  std::vector<std::string> stops_;
  Utf8Stream utf8_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace sigma
