// Renders chat templates for tools/check_chat_templates.py and tools/make_jinja_cases.py: JSON lines {template,
// variables} in, JSON lines {text} or {error} out.
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/chat_template.h"

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    sigma::Json answer;
    try {
      const sigma::Json request = sigma::parse_json(line, "request");
      const sigma::ChatTemplate chat_template(request.at("template").get_ref<const std::string&>(), "template");
      answer["text"] = chat_template.render(request.at("variables"));
    } catch (const sigma::Error& e) {
      answer["error"] = e.what();
    }
    std::cout << answer.dump() << std::endl;
  }
}
