// The filters (x | name) and tests (x is name) that templates can use, by name.
#pragma once

#include <string_view>

#include "text/jinja_value.h"

namespace sigma::jinja {

using FilterFunction = Value (*)(Runtime&, const Value& subject, const Arguments&);
using TestFunction = bool (*)(Runtime&, const Value& subject, const Arguments&);

FilterFunction find_filter(std::string_view name);  // null when there is none
TestFunction find_test(std::string_view name);
bool jinja_has_filter(std::string_view name);  // in jinja2, whether it is supported here or not

// As map, select and the like use them: Fault when there is none.
Value apply_filter(Runtime& rt, std::string_view name, const Value& subject, const Arguments& given);
bool apply_test(Runtime& rt, std::string_view name, const Value& subject, const Arguments& given);

// Tables of the two filter files, joined by find_filter.
struct NamedFilter {
  std::string_view name;
  FilterFunction apply;
};
struct FilterTable {
  const NamedFilter* begin;
  const NamedFilter* end;
};
FilterTable text_filters();
FilterTable sequence_filters();

}  // namespace sigma::jinja
