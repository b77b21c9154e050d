#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"

namespace sigma {
namespace {

std::string render(const std::string& source, const Json& variables = Json::object()) {
  return ChatTemplate(source, "test").render(variables);
}

// Expects an Error at `line` that says `found`, while parsing or while rendering.
void expect_refused(const std::string& source, int line, const std::string& found) {
  const std::string shown = source.substr(0, 200);
  try {
    const std::string text = render(source);
    ADD_FAILURE() << shown << " gives " << text.substr(0, 200);
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "test:" + std::to_string(line)) << shown << ": " << e.what();
    EXPECT_NE(e.found().find(found), std::string::npos) << shown << ": " << e.what();
  }
}

void expect_refused_unrendered(const std::string& source, int line, const std::string& found) {
  const std::string shown = source.substr(0, 200);
  try {
    const ChatTemplate unused(source, "test");
    ADD_FAILURE() << shown << " is accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "test:" + std::to_string(line)) << shown << ": " << e.what();
    EXPECT_NE(e.found().find(found), std::string::npos) << shown << ": " << e.what();
  }
}

constexpr const char* kChatMl =
    "{% for message in messages %}\n"
    "    {%- if loop.first and message.role != 'system' %}\n"
    "        {{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}\n"
    "    {%- endif %}\n"
    "    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n";

TEST(ChatTemplate, Conversation) {
  const Json messages = {{{"role", "user"}, {"content", " Héllo \n"}}, {{"role", "assistant"}, {"content", "{{ x }}"}}};
  EXPECT_EQ(render(kChatMl, {{"messages", messages}, {"add_generation_prompt", true}}),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHéllo<|im_end|>\n"
            "<|im_start|>assistant\n{{ x }}<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render(kChatMl, {{"messages", {{{"role", "system"}, {"content", "S"}}}}}),
            "<|im_start|>system\nS<|im_end|>\n");
}

TEST(ChatTemplate, RendersAgainAndMoves) {
  ChatTemplate first("{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                     "test");
  EXPECT_EQ(first.render({{"l", {1, 2}}}), "3");
  EXPECT_EQ(first.render({{"l", {5}}}), "5");
  const ChatTemplate second = std::move(first);
  EXPECT_EQ(second.render({{"l", Json::array()}}), "0");
}

TEST(ChatTemplate, VariablesThatTransformersAlwaysPasses) {
  EXPECT_EQ(render("{{ tools is none }}{{ documents }}{{ add_generation_prompt }}{{ messages is defined }}"),
            "TrueNoneFalseFalse");
  EXPECT_EQ(render("{{ tools }}", {{"tools", {1}}}), "[1]");
}

TEST(ChatTemplate, ReasoningUnderEachOfItsNames) {
  const std::string source =
      "{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ m|list|first }};{% endfor %}";
  const Json messages = {{{"role", "a"}, {"reasoning", "r"}},
                         {{"thinking", "t"}, {"reasoning", "r"}},
                         {{"role", "b"}, {"reasoning_content", nullptr}},
                         {{"reasoning_content", "c"}, {"thinking", "t"}}};
  EXPECT_EQ(render(source, {{"messages", messages}}), "r|r|thinking;t|t|thinking;None||role;c|t|thinking;");
}

TEST(ChatTemplate, KeysKeepTheirOrderInJson) {
  const Json tool = parse_json(R"({"z": 1, "a": {"b": [1.0, 1e30, -0.0, "é<"]}, "m": null})", "test");
  EXPECT_EQ(render("{{ tool | tojson }}", {{"tool", tool}}),
            R"({"z": 1, "a": {"b": [1.0, 1e+30, -0.0, "é<"]}, "m": null})");
}

TEST(ChatTemplate, Date) {
  EXPECT_EQ(
      render("{{ strftime_now('%Y')|length }}{{ strftime_now('%d %b %Y')|length }}{{ strftime_now('100%% é%z%Z') }}"),
      "411100% é");
  EXPECT_EQ(render("{{ strftime_now('%f')|length }}{{ strftime_now('%-d')|int > 0 }}{{ strftime_now('') }}"), "6True");
  expect_refused("{{ strftime_now('%Q') }}", 1, "%Q");
  expect_refused("{{ strftime_now('x%') }}", 1, "x%");
}

TEST(ChatTemplate, RaiseException) {
  expect_refused("a\n{% if true %}\n{{ raise_exception('roles must alternate: ' ~ 1) }}\n{% endif %}", 3,
                 "roles must alternate: 1");
}

TEST(ChatTemplate, ErrorsSayWhereTheyAre) {
  expect_refused("\n\n{{ missing.x }}", 3, "'missing' is undefined");
  expect_refused("{% macro m() %}\n\n{{ 1 / 0 }}{% endmacro %}\n{{ m() }}", 3, "zero");
  expect_refused("{{ 'x' +\n\n none }}", 1, "None");
  expect_refused("{{ {'a': 1}.b.c }}", 1, "attribute 'b'");
  expect_refused("{# a\nb\n#}\n{{ [].append(1) }}", 4, "'append'");
  expect_refused("{%- raw %}\n\n{% endraw %}{{ f() }}", 3, "'f' is undefined");
}

TEST(ChatTemplate, NotSupportedIsSaidWhenParsed) {
  for (const char* tag :
       {"include 'x'", "extends 'x'", "import 'x' as y", "from 'x' import y", "block b", "autoescape true"}) {
    expect_refused_unrendered("{% if false %}\n{% " + std::string(tag) + " %}{% endif %}", 2,
                              std::string(tag).substr(0, 4));
  }
  expect_refused_unrendered("\n{% for x in y recursive %}{% endfor %}", 2, "recursive");
  for (const char* filter :
       {"urlize", "pprint", "groupby('x')", "random", "xmlattr", "wordwrap", "attr('x')", "striptags"}) {
    expect_refused_unrendered("{% if false %}\n{{ x|" + std::string(filter) + " }}{% endif %}", 2,
                              std::string(filter).substr(0, 4));
  }
  expect_refused_unrendered("\n{{ l|map('urlize') }}", 2, "urlize");
  expect_refused_unrendered("{% if false %}{{ cycler(1) }}{% endif %}", 1, "cycler");
  expect_refused_unrendered("{{ lipsum() }}", 1, "lipsum");
  expect_refused_unrendered("{{ joiner() }}", 1, "joiner");
  expect_refused_unrendered("{{ self }}", 1, "self");
  expect_refused_unrendered("{{ x.__class__ }}", 1, "__class__");
  expect_refused_unrendered("{{ 9223372036854775808 }}", 1, "9223372036854775808");
  expect_refused_unrendered("{{ 1e999 }}", 1, "1e999");
  expect_refused_unrendered("{{ \xc3\xa9t\xc3\xa9 }}", 1, "\\xc3");
  expect_refused_unrendered("{{ '\\N{DASH}' }}", 1, "DASH");
  expect_refused_unrendered("{{ '\\ud800' }}", 1, "d800");
  EXPECT_EQ(render("{% macro m(self, cycler) %}{{ self }}{{ cycler }}{% endmacro %}{{ m(1, 2) }}"), "12");
}

TEST(ChatTemplate, NotSupportedAtRunTimeIsRefused) {
  expect_refused("{{ 'x'.encode() }}", 1, "'encode'");
  expect_refused("{{ 5 .bit_length() }}", 1, "'bit_length'");
  expect_refused("{{ [1]|map('string') }}", 1, "generator");
  expect_refused("{{ range }}", 1, "range");
  expect_refused("{{ '\xc2\xb2'.isdigit() }}", 1, "\\xc2");
  expect_refused("{{ ('<'|safe) % 1 }}", 1, "escaped");
  expect_refused("{{ '%*d' % (1, 2) }}", 1, "'*'");
  expect_refused("{{ 'x' is sameas 'x' }}", 1, "'x'");
  expect_refused("{{ (-8) ** 0.5 }}", 1, "negative base");
}

TEST(ChatTemplate, IntegersOf64Bits) {
  EXPECT_EQ(render("{{ 9223372036854775807 }}{{ -9223372036854775807 - 1 }}"),
            "9223372036854775807-9223372036854775808");
  for (const char* overflow :
       {"9223372036854775807 + 1", "-9223372036854775807 - 2", "4294967296 * 4294967296", "2 ** 63",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1) // -1", "(-9223372036854775807 - 1)|abs", "1e19|int",
        "'9223372036854775808'|int", "[9223372036854775807, 1]|sum"}) {
    expect_refused("{{ " + std::string(overflow) + " }}", 1, "");
  }
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}{{ n / 3 }}", {{"n", 9007199254740993}}),
            "03002399751580331.0");
  expect_refused("{{ 2.0 ** 5000 }}", 1, "overflow");
  const ChatTemplate identity("{{ n }}", "test");
  EXPECT_EQ(identity.render({{"n", std::numeric_limits<int64_t>::max()}}), "9223372036854775807");
  EXPECT_THROW(identity.render({{"n", uint64_t{1} << 63}}), Error);
}

TEST(ChatTemplate, VariablesFromOutside) {
  EXPECT_THROW(render("", Json::array()), Error);
  EXPECT_THROW(render("{{ s }}", {{"s", "\xff"}}), Error);
  EXPECT_THROW(render("{{ s }}", {{"s", {{"\xff", 1}}}}), Error);
  EXPECT_THROW(ChatTemplate("\xc3(", "test"), Error);
  Json deep = 1;
  for (int i = 0; i < 3000; ++i) deep = Json::array({std::move(deep)});
  EXPECT_THROW(render("{{ d }}", {{"d", deep}}), Error);
  EXPECT_EQ(render("a\0b{{ '\0' }}"), "a");  // the text ends there for C++, not for the template
  EXPECT_EQ(render(std::string("a\0b{{ '\0' }}", 12)), std::string("a\0b\0", 4));
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(ChatTemplate, NestingIsLimited) {
  EXPECT_EQ(render("{{ " + repeated("(", 60) + "1" + repeated(")", 60) + " }}"), "1");
  for (const int levels : {300, 100000}) {
    const auto nested = [&](const std::string& open, const std::string& close) {
      return "{{ " + repeated(open, levels) + "1" + repeated(close, levels) + " }}";
    };
    expect_refused_unrendered(nested("(", ")"), 1, "more");
    expect_refused_unrendered(nested("[", "]"), 1, "more");
    expect_refused_unrendered(nested("{1: ", "}"), 1, "more");
    expect_refused_unrendered(nested("not ", ""), 1, "more");
    expect_refused_unrendered(nested("- ", ""), 1, "more");
    expect_refused_unrendered(nested("f(", ")"), 1, "more");
    expect_refused_unrendered(nested("x[", "]"), 1, "more");
    expect_refused_unrendered(nested("1 if 1 else ", ""), 1, "more");
    expect_refused_unrendered("{{ 1" + repeated(" + 1", levels) + " }}", 1, "higher");
    expect_refused_unrendered("{{ x" + repeated(".x", levels) + " }}", 1, "higher");
    expect_refused_unrendered("{{ x" + repeated("|e", levels) + " }}", 1, "higher");
    expect_refused_unrendered("{{ x" + repeated("()", levels) + " }}", 1, "higher");
    expect_refused_unrendered("{{ 1" + repeated(" or 1", levels) + " }}", 1, "higher");
    expect_refused_unrendered(repeated("{% if 1 %}", levels), 1, "more");
    expect_refused_unrendered(repeated("{% for x in y %}", levels), 1, "more");
    expect_refused_unrendered("{% set " + repeated("(", levels) + "x" + repeated(")", levels) + " = 1 %}", 1, "more");
  }
  EXPECT_EQ(render("{{ 'a'" + repeated(" ~ 'a'", 5000) + " }}").size(), 5001u);
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 2000) + "{% else %}x{% endif %}"), "x");
}

TEST(ChatTemplate, WorkIsLimited) {
  expect_refused("{{ range(1000000000000)|list }}", 1, "1000000000000");
  expect_refused("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", 1, "more");
  expect_refused("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", 1, "recursion");
}

TEST(ChatTemplate, MemoryIsLimited) {
  const std::string huge = "1000000000000";
  for (const std::string& big : std::vector<std::string>{
           "'x' * " + huge, huge + " * 'x'", "[1] * " + huge, "(1, 2) * " + huge, "'x'.center(" + huge + ")",
           "'x'.ljust(" + huge + ")", "'x'.zfill(" + huge + ")", "'x\t'.expandtabs(" + huge + ")",
           "'%" + huge + "d' % 1", "'{:" + huge + "}'.format(1)", "'{:0" + huge + "d}'.format(1)",
           "'a\\nb'|indent(" + huge + ")", "[1]|tojson(indent=" + huge + ")", "[1]|batch(" + huge + ", 0)|list",
           "'x'|center(" + huge + ")", "[0]|slice(" + huge + ")|list"}) {
    expect_refused("{{ " + big + " }}", 1, "more");
  }
  expect_refused("{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", 1,
                 "more");
  expect_refused("{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", 1,
                 "more");
  expect_refused("{% set ns = namespace(s=1) %}{% for i in range(5000) %}{% set ns.s = [ns.s] %}{% endfor %}", 1,
                 "more");
  expect_refused("{% set ns = namespace(s=[1]) %}{% for i in range(5000) %}{% set ns.s = ns.s|map('e') %}{% endfor %}",
                 1, "more");
}

// What only a second of work reaches, which sanitizers and emulators make a minute.
TEST(ChatTemplate, WorkAndMemoryThatGrowSlowlyAreLimited) {
  const char* sweep = std::getenv("SIGMA_TEST_SWEEP");
  if (sweep != nullptr && std::string_view(sweep) == "quick") GTEST_SKIP() << "in plain builds only";
  expect_refused("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(64) }}", 1,
                 "more");
  expect_refused(
      "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}", 1,
      "more");
  expect_refused(
      "{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s|replace('x', 'xx') %}{% endfor %}", 1,
      "more");
}

// Comparisons of values that share their parts take a time exponential in their depth.
TEST(ChatTemplate, ComparisonsAreLimited) {
  const std::string two =
      "{% set a = namespace(s=[1]) %}{% set b = namespace(s=[1]) %}{% for i in range(60) %}"
      "{% set a.s = [a.s, a.s] %}{% set b.s = [b.s, b.s] %}{% endfor %}";
  expect_refused(two + "{{ a.s == b.s }}", 1, "more");
  expect_refused(two + "{{ a.s < b.s }}", 1, "more");
}

TEST(ChatTemplate, NamespacesMayContainThemselves) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}{{ ns }}{{ ns.me.me.l[0].l }}"),
            "<Namespace {'me': <Namespace {...}>, 'l': [<Namespace {...}>]}>[<Namespace {'me': <Namespace {...}>, 'l': "
            "[...]}>]");
  EXPECT_EQ(
      render(
          "{% set ns = namespace() %}{% macro m() %}{{ ns.m is defined }}{% endmacro %}{% set ns.m = m %}{{ ns.m() }}"),
      "True");
}

// Names the folder with templates that tools/check_chat_templates.py compares with Python; see there.
TEST(ChatTemplate, TemplatesFromOutside) {
  const char* python = std::getenv("SIGMA_JINJA_PYTHON");
  const char* templates = std::getenv("SIGMA_CHAT_TEMPLATES");
  if (python == nullptr || templates == nullptr) {
    GTEST_SKIP() << "SIGMA_JINJA_PYTHON and SIGMA_CHAT_TEMPLATES name no Python with transformers and no templates";
  }
  std::string command =
      std::string(python) + " " SIGMA_SOURCE_DIR "/tools/check_chat_templates.py --renderer " SIGMA_RENDERER;
  for (const auto& entry : std::filesystem::directory_iterator(templates))
    command += " '" + entry.path().string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace sigma
