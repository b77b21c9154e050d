#include "text/jinja_operators.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "text/jinja_runtime.h"
#include "text/jinja_unicode.h"

namespace sigma::jinja {

namespace {

std::string_view spelling(Op op) {
  constexpr std::string_view kSpellings[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSpellings[static_cast<size_t>(op)];
}

[[noreturn]] void overflow(Op op) { fail("integers of 64 bits", fmt::format("an overflow of '{}'", spelling(op))); }
[[noreturn]] void division_by_zero(Op op) {
  fail("a divisor that is not zero", fmt::format("zero after '{}'", spelling(op)));
}

Value checked(double v, Op op) {
  if (std::isinf(v)) fail("a float that a double holds", fmt::format("an overflow of '{}'", spelling(op)));
  return Value::real(v);
}

int64_t floor_div(int64_t a, int64_t b) {
  if (b == -1 && a == std::numeric_limits<int64_t>::min()) overflow(Op::floor_div);
  const int64_t quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// Python's float divmod: the remainder has the sign of the divisor.
std::pair<double, double> divide_floor(double a, double b) {
  double mod = std::fmod(a, b);
  double div = (a - mod) / b;
  if (mod != 0.0) {
    if ((b < 0) != (mod < 0)) {
      mod += b;
      div -= 1.0;
    }
  } else {
    mod = std::copysign(0.0, b);
  }
  if (div == 0.0) return {std::copysign(0.0, a / b), mod};
  const double floored = std::floor(div);
  return {div - floored > 0.5 ? floored + 1.0 : floored, mod};
}

// The double nearest to a / b, as Python gives it for integers that a double does not hold.
double true_divide(int64_t a, int64_t b) {
  __extension__ using Wide = unsigned __int128;
  const auto magnitude = [](int64_t v) { return v < 0 ? ~static_cast<uint64_t>(v) + 1 : static_cast<uint64_t>(v); };
  const uint64_t top = magnitude(a), bottom = magnitude(b);
  // At least 55 bits of quotient, the last of which stands for all that is cut off.
  const int shift = std::max(0, 55 + static_cast<int>(std::bit_width(bottom)) - static_cast<int>(std::bit_width(top)));
  const Wide shifted = static_cast<Wide>(top) << shift;
  const auto quotient = static_cast<uint64_t>(shifted / bottom) | (shifted % bottom != 0 ? 1 : 0);
  const double result = top == 0 ? 0.0 : std::ldexp(static_cast<double>(quotient), -shift);
  return (a < 0) != (b < 0) ? -result : result;
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) division_by_zero(Op::pow);
    return checked(std::pow(static_cast<double>(base), static_cast<double>(exponent)), Op::pow);
  }
  if (base == 0 || base == 1 || exponent == 0) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
  int64_t result = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) overflow(Op::pow);
  }
  return Value::integer(result);
}

Value integers(Op op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Op::add:
      if (__builtin_add_overflow(a, b, &result)) overflow(op);
      return Value::integer(result);
    case Op::sub:
      if (__builtin_sub_overflow(a, b, &result)) overflow(op);
      return Value::integer(result);
    case Op::mul:
      if (__builtin_mul_overflow(a, b, &result)) overflow(op);
      return Value::integer(result);
    case Op::div:
      if (b == 0) division_by_zero(op);
      return Value::real(true_divide(a, b));
    case Op::floor_div:
      if (b == 0) division_by_zero(op);
      return Value::integer(floor_div(a, b));
    case Op::mod:
      if (b == 0) division_by_zero(op);
      return Value::integer(floor_mod(a, b));
    default:
      return power(a, b);
  }
}

Value reals(Op op, double a, double b) {
  switch (op) {
    case Op::add:
      return Value::real(a + b);
    case Op::sub:
      return Value::real(a - b);
    case Op::mul:
      return Value::real(a * b);
    case Op::div:
      if (b == 0) division_by_zero(op);
      return Value::real(a / b);
    case Op::floor_div:
      if (b == 0) division_by_zero(op);
      return Value::real(divide_floor(a, b).first);
    case Op::mod:
      if (b == 0) division_by_zero(op);
      return Value::real(divide_floor(a, b).second);
    default: {
      if (a == 0 && b < 0) division_by_zero(op);
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
        fail("a power that is a real number", "a negative base and a fraction");
      }
      const double result = std::pow(a, b);
      return std::isfinite(a) && std::isfinite(b) ? checked(result, op) : Value::real(result);
    }
  }
}

Value concatenate(Runtime& rt, const Value& a, const Value& b) {
  if (a.is(Kind::string)) {
    const bool markup = a.as_text().markup || b.as_text().markup;
    const Value left = markup ? escaped(rt, a) : a, right = markup ? escaped(rt, b) : b;
    rt.charge(left.as_string().size() + right.as_string().size());
    return Value::text(left.as_string() + right.as_string(), markup);
  }
  std::vector<Value> items = a.as_items();
  items.insert(items.end(), b.as_items().begin(), b.as_items().end());
  return a.is(Kind::list) ? rt.list(std::move(items)) : rt.tuple(std::move(items));
}

Value repeat_items(Runtime& rt, const Value& v, int64_t times) {
  const size_t size = v.as_items().size();
  std::vector<Value> items;
  if (times > 0 && size > 0) {
    if (static_cast<uint64_t>(times) > kMaxBytes / size) rt.charge(kMaxBytes + 1);
    rt.charge(size * static_cast<size_t>(times) * sizeof(Value));
    items.reserve(size * static_cast<size_t>(times));
    for (int64_t i = 0; i < times; ++i) items.insert(items.end(), v.as_items().begin(), v.as_items().end());
  }
  return v.is(Kind::list) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

Value multiply(Runtime& rt, const Value& v, int64_t times) {
  return v.is(Kind::string) ? repeat(rt, v.as_text(), times) : repeat_items(rt, v, times);
}

}  // namespace

Value repeat(Runtime& rt, const Text& text, int64_t times) {
  std::string out;
  if (times > 0 && !text.bytes.empty()) {
    if (static_cast<uint64_t>(times) > kMaxBytes / text.bytes.size()) rt.charge(kMaxBytes + 1);
    rt.charge(text.bytes.size() * static_cast<size_t>(times));
    out.reserve(text.bytes.size() * static_cast<size_t>(times));
    for (int64_t i = 0; i < times; ++i) out += text.bytes;
  }
  return Value::text(std::move(out), text.markup);
}

Value binary(Runtime& rt, Op op, const Value& a, const Value& b) {
  if (op == Op::mod && a.is(Kind::string)) return percent_format(rt, a.as_text(), b);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return integers(op, a.as_integer(), b.as_integer());
    return reals(op, a.as_real(), b.as_real());
  }
  const auto repeats = [](const Value& v) { return v.is(Kind::string) || v.is_sequence(); };
  if (op == Op::add && a.kind() == b.kind() && repeats(a)) return concatenate(rt, a, b);
  if (op == Op::mul && repeats(a) && b.is_integral()) return multiply(rt, a, b.as_integer());
  if (op == Op::mul && a.is_integral() && repeats(b)) return multiply(rt, b, a.as_integer());
  for (const Value* v : {&a, &b}) {
    if (v->is(Kind::undefined)) fail("a defined value", describe(*v));
  }
  fail(fmt::format("operands of '{}' that go together", spelling(op)),
       fmt::format("{} and {}", describe(a), describe(b)));
}

bool compare_with(Runtime& rt, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::eq:
      return equal(rt, a, b);
    case Op::ne:
      return !equal(rt, a, b);
    case Op::in:
      return contains(rt, b, a);
    case Op::not_in:
      return !contains(rt, b, a);
    default:
      break;
  }
  const int order = compare(rt, a, b, spelling(op));
  if (order == 2) return false;
  switch (op) {
    case Op::lt:
      return order < 0;
    case Op::le:
      return order <= 0;
    case Op::gt:
      return order > 0;
    default:
      return order >= 0;
  }
}

Value negative(const Value& v) {
  if (v.is(Kind::real)) return Value::real(-v.as_real());
  if (!v.is_integral()) fail("a number after '-'", describe(v));
  if (v.as_integer() == std::numeric_limits<int64_t>::min()) overflow(Op::sub);
  return Value::integer(-v.as_integer());
}

Value positive(const Value& v) {
  if (v.is(Kind::real)) return v;
  if (!v.is_integral()) fail("a number after '+'", describe(v));
  return Value::integer(v.as_integer());
}

bool contains(Runtime& rt, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      return container.as_string().find(require_text(item, "the left side of 'in' a str").bytes) != std::string::npos;
    case Kind::dict:
      return container.as_dict().find(rt, item) != nullptr;
    case Kind::view:
      if (container.as_view().of == View::Of::keys) return container.as_view().dict->find(rt, item) != nullptr;
      break;
    default:
      break;
  }
  Cursor cursor(rt, container);
  while (const auto other = cursor.next()) {
    if (equal(rt, *other, item)) return true;
  }
  return false;
}

Value round_number(const Value& v, const Value& digits) {
  const int64_t places = require_integer(digits, "the digits to round to");
  if (v.is_integral()) {
    if (places >= 0) return Value::integer(v.as_integer());
    fail("a precision that is not negative", fmt::format("{}", places));
  }
  if (!v.is(Kind::real)) fail("a number to round", describe(v));
  if (places < 0) fail("a precision that is not negative", fmt::format("{}", places));
  constexpr int64_t kAll = 330;  // no double has more digits than this after its point that matter
  if (places > kAll || !std::isfinite(v.as_real())) return v;
  // printf rounds the exact value, halves to even, as Python does.
  std::array<char, 1024> printed{};
  const auto end =
      std::to_chars(printed.begin(), printed.end(), v.as_real(), std::chars_format::fixed, static_cast<int>(places))
          .ptr;
  double rounded = 0;
  std::from_chars(printed.begin(), end, rounded);
  return Value::real(rounded);
}

int64_t truncate_real(double v) {
  if (!std::isfinite(v)) fail("a finite float to make an int of", repr_real(v));
  if (std::fabs(v) >= 9223372036854775808.0) fail("an integer of 64 bits", repr_real(v));
  return static_cast<int64_t>(v);
}

}  // namespace sigma::jinja
