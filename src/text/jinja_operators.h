// Python's operators, subscripts and attributes on template values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace sigma::jinja {

Value binary(Runtime& rt, Op op, const Value& a, const Value& b);
bool compare_with(Runtime& rt, Op op, const Value& a, const Value& b);
Value negative(const Value& v);
Value positive(const Value& v);
bool contains(Runtime& rt, const Value& container, const Value& item);

// obj[index] and obj.name as jinja2 reads them: undefined when there is no such thing.
Value get_item(Runtime& rt, const Value& object, const Value& index);
Value get_attribute(Runtime& rt, const Value& object, const std::string& name);
Value get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step);

// What obj.name finds on the object's type, as a bound function or a value; nothing when the type has no such
// attribute. jinja_attributes.cc, and for strings jinja_string_methods.cc.
std::optional<Value> attribute_of(Runtime& rt, const Value& object, const std::string& name);
std::optional<Value> string_method(const Value& object, const std::string& name);

// "..." % values and "...".format(...): jinja_format.cc.
Value percent_format(Runtime& rt, const Text& format, const Value& values);
Value brace_format(Runtime& rt, const Text& format, const Arguments& given);

// Text made of parts, charged before it is made.
Value repeat(Runtime& rt, const Text& text, int64_t times);
std::string replace_all(Runtime& rt, std::string_view text, std::string_view from, std::string_view to, int64_t limit);
// text.name(positional...), `text` being a str.
Value call_method(Runtime& rt, const Value& text, const std::string& name, std::vector<Value> positional);
// Python's round(), and int() of a float.
Value round_number(const Value& v, const Value& digits);
int64_t truncate_real(double v);

}  // namespace sigma::jinja
