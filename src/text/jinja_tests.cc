// The tests: x is name.
#include <algorithm>

#include "base/error.h"
#include "text/jinja_filters.h"
#include "text/jinja_operators.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

void no_arguments(const Arguments& given) { bind(given, "a test", {}, 0); }

Value one_argument(const Arguments& given) { return *bind(given, "a test", {"/other"}, 1)[0]; }

template <Kind... kKinds>
bool is_kind(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return (v.is(kKinds) || ...);
}

template <Kind... kKinds>
bool is_not_kind(Runtime& rt, const Value& v, const Arguments& given) {
  return !is_kind<kKinds...>(rt, v, given);
}

template <Op kOp>
bool compares(Runtime& rt, const Value& v, const Arguments& given) {
  return compare_with(rt, kOp, v, one_argument(given));
}

bool is_in(Runtime& rt, const Value& v, const Arguments& given) {
  return contains(rt, *bind(given, "in", {"seq"}, 1)[0], v);
}

template <int kRest>
bool has_parity(Runtime& rt, const Value& v, const Arguments& given) {
  no_arguments(given);
  const Value rest = binary(rt, Op::mod, v, Value::integer(2));
  return equal(rt, rest, Value::integer(kRest));
}

bool divisible_by(Runtime& rt, const Value& v, const Arguments& given) {
  const Value rest = binary(rt, Op::mod, v, *bind(given, "divisibleby", {"num"}, 1)[0]);
  return equal(rt, rest, Value::integer(0));
}

template <bool kWhich>
bool is_the_boolean(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return v.is(Kind::boolean) && (v.as_integer() != 0) == kWhich;
}

bool is_callable(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return v.is(Kind::function) || v.is(Kind::macro) || v.is(Kind::undefined) || v.is(Kind::loop);
}

bool is_escaped(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return v.is(Kind::string) && v.as_text().markup;
}

bool is_iterable(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return iterable(v);
}

bool is_a_filter(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return v.is(Kind::string) && jinja_has_filter(v.as_string());
}

bool is_a_test(Runtime&, const Value& v, const Arguments& given) {
  no_arguments(given);
  return v.is(Kind::string) && find_test(v.as_string()) != nullptr;
}

template <bool (*kHolds)(std::string_view)>
bool text_holds(Runtime& rt, const Value& v, const Arguments& given) {
  no_arguments(given);
  return kHolds(to_text(rt, v));
}

bool is_same(Runtime&, const Value& v, const Arguments& given) {
  const Value other = *bind(given, "sameas", {"other"}, 1)[0];
  if (v.kind() != other.kind()) return false;
  switch (v.kind()) {
    case Kind::none:
      return true;
    case Kind::boolean:
      return v.as_integer() == other.as_integer();
    case Kind::integer:
    case Kind::real:
    case Kind::string:  // whether Python keeps two equal ones or one is its own affair
    case Kind::undefined:
      fail("sameas for True, False, None and lists", describe(v));
    default:
      return v.identity() == other.identity();
  }
}

struct NamedTest {
  std::string_view name;
  TestFunction holds;
};

constexpr NamedTest kTests[] = {
    {"!=", compares<Op::ne>},
    {"<", compares<Op::lt>},
    {"<=", compares<Op::le>},
    {"==", compares<Op::eq>},
    {">", compares<Op::gt>},
    {">=", compares<Op::ge>},
    {"boolean", is_kind<Kind::boolean>},
    {"callable", is_callable},
    {"defined", is_not_kind<Kind::undefined>},
    {"divisibleby", divisible_by},
    {"eq", compares<Op::eq>},
    {"equalto", compares<Op::eq>},
    {"escaped", is_escaped},
    {"even", has_parity<0>},
    {"false", is_the_boolean<false>},
    {"filter", is_a_filter},
    {"float", is_kind<Kind::real>},
    {"ge", compares<Op::ge>},
    {"greaterthan", compares<Op::gt>},
    {"gt", compares<Op::gt>},
    {"in", is_in},
    {"integer", is_kind<Kind::integer>},
    {"iterable", is_iterable},
    {"le", compares<Op::le>},
    {"lessthan", compares<Op::lt>},
    {"lower", text_holds<is_lower>},
    {"lt", compares<Op::lt>},
    {"mapping", is_kind<Kind::dict>},
    {"ne", compares<Op::ne>},
    {"none", is_kind<Kind::none>},
    {"number", is_kind<Kind::boolean, Kind::integer, Kind::real>},
    {"odd", has_parity<1>},
    {"sameas", is_same},
    {"sequence", is_kind<Kind::string, Kind::list, Kind::tuple, Kind::dict, Kind::range, Kind::undefined>},
    {"string", is_kind<Kind::string>},
    {"test", is_a_test},
    {"true", is_the_boolean<true>},
    {"undefined", is_kind<Kind::undefined>},
    {"upper", text_holds<is_upper>},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const NamedTest& test) { return test.name == name; });
  return found == std::end(kTests) ? nullptr : found->holds;
}

bool apply_test(Runtime& rt, std::string_view name, const Value& subject, const Arguments& given) {
  const TestFunction test = find_test(name);
  if (test == nullptr) fail("a test that is known", fmt::format("'{}'", printable(name)));
  return test(rt, subject, given);
}

}  // namespace sigma::jinja
