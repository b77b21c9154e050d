// Text within HTML and XML.
#pragma once

#include <string>
#include <string_view>

namespace sigma {

// & < > ' " as references: safe between tags and in quoted attributes. The same as markupsafe.escape.
std::string escape_html(std::string_view text);

}  // namespace sigma
