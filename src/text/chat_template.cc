#include "text/chat_template.h"

#include <utility>

#include "base/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_json.h"
#include "text/jinja_parser.h"
#include "text/jinja_scope.h"
#include "text/unicode.h"

namespace sigma {

struct ChatTemplate::Impl {
  std::string where;
  jinja::FunctionPlan root;
};

namespace {

// transformers passes a message's reasoning under each name that templates read it by.
Json with_reasoning_names(const Json& messages) {
  if (!messages.is_array()) return messages;
  Json out = Json::array();
  for (const Json& message : messages) {
    out.push_back(message);
    if (!message.is_object()) continue;
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
      const auto found = message.find(name);
      if (found == message.end() || found->is_null()) continue;
      Json named = {{"thinking", *found}};
      for (const auto& [key, value] : message.items()) named[key] = value;
      named["reasoning_content"] = *found;
      out.back() = std::move(named);
      break;
    }
  }
  return out;
}

std::unordered_map<std::string, jinja::Value> template_variables(jinja::Runtime& rt, const Json& variables) {
  if (!variables.is_object()) jinja::fail("an object of variables", variables.type_name());
  std::unordered_map<std::string, jinja::Value> out;
  for (const char* name : {"tools", "documents"}) out.emplace(name, jinja::Value::none());
  out.emplace("add_generation_prompt", jinja::Value::boolean(false));
  for (const auto& [name, value] : variables.items()) {
    out.insert_or_assign(name, jinja::from_json(rt, name == "messages" ? with_reasoning_names(value) : value));
  }
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, const std::string& where) : impl_(std::make_unique<Impl>()) {
  if (!unicode::is_utf8(source)) throw Error(where, "a chat template in UTF-8", "other bytes");
  impl_->where = where;
  impl_->root.body = jinja::Parser(source, where).parse();
  jinja::resolve_names(impl_->root, where);
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const Json& variables) const {
  jinja::Interpreter interpreter(impl_->root);
  try {
    return interpreter.run(template_variables(interpreter.runtime(), variables));
  } catch (const jinja::Fault& fault) {
    throw Error(fmt::format("{}:{}", impl_->where, interpreter.runtime().line), fault.expected, fault.found);
  }
}

}  // namespace sigma
