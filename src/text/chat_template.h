// Chat templates: the checkpoint's own Jinja source, rendered byte for byte as Python's jinja2 does it in the set-up
// that `transformers` uses (trim_blocks, lstrip_blocks, its tojson, raise_exception, strftime_now, the loop controls).
// A construct that is not supported is an Error with its line, when the template is parsed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace sigma {

class ChatTemplate {
 public:
  // source: Jinja text; where: names it in errors.
  ChatTemplate(std::string_view source, const std::string& where);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // variables: messages, tools, documents, add_generation_prompt, bos_token, eos_token, ... Error when the template
  // calls raise_exception, or meets what Python would have raised.
  std::string render(const Json& variables) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sigma
