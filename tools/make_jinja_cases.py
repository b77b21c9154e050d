#!/usr/bin/env python3
"""Writes tests/text/jinja_cases.json: templates and what jinja2, as transformers sets it up, makes of them.

    tools/make_jinja_cases.py > tests/text/jinja_cases.json       (pip install transformers jinja2)
"""
import json
import sys

VARIABLES = {
    "s": "Hello, World",
    "u": "\u00c7a \u00df \u03a3\u0391\u03a3 \u4f60\u597d \U0001f600",
    "empty": "",
    "html": "<a href='x'>\"&\"</a>",
    "multi": "one\ntwo\r\n\nthree ",
    "n": 7,
    "neg": -3,
    "big": 9007199254740993,
    "f": 2.5,
    "t": True,
    "nothing": None,
    "list": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "mixed": [1, "x", None, True, 1.5, [2], {"k": "v"}],
    "d": {"b": 1, "a": {"x": [10, 20]}, "items": "shadowed", "C": "\u00e9'"},
    "people": [
        {"name": "Ann", "age": 30, "city": {"zip": "10"}},
        {"name": "bob", "age": 25},
        {"name": "Cid", "age": 30, "city": {"zip": "20"}},
    ],
}

# Each is printed: {{ expression }}.
EXPRESSIONS = r"""
1 + 2 * 3 - 4
(1 + 2) * 3
7 / 2
6 / 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 // 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
(-8) ** 3
0 ** 0
2 ** 0.5
1e16
1e15
123456789012345680.0
0.1 + 0.2
1e-5
0.0001
1e22
5e-324
-0.0
1.0
100.0
1_000
0x1F
0b101
0o17
1_0.5_0
1e3
7 == 7.0
true == 1
big == 9007199254740992.0
big < 9007199254740992.0
big > 9007199254740992.0
1 < 2 < 3
1 < 3 < 2
1 < 2 > 0 != 5
"a" < "b"
"Z" < "a"
[1, 2] < [1, 3]
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{"a": 1} == {"a": 1.0}
none == none
not true
not 0
not ""
1 and 0
0 or "x"
"" or [] or "end"
missing or "fallback"
missing
missing is defined
missing == other_missing
missing ~ "x"
missing|default("d")
missing|length
missing|list
missing|join
missing|upper
missing|first is defined
[missing]
missing is none
"x" if n > 5 else "y"
"x" if n > 50
("x" if n > 50) is defined
1 if 0 else 2 if 0 else 3
"a" "b" 'c'
"tab\there"
'it\'s'
"quote\"d"
'\u00e9\x41\U0001f600\101\n|'
'\q\d'
"a" ~ 1 ~ none ~ true ~ 1.5 ~ [1, "x"]
"a" + "b"
"ab" * 3
3 * "ab"
"ab" * 0
"ab" * -1
[1] * 2 + [3]
(1,) + (2, 3)
"ell" in s
"" in s
1 in [1, 2]
1.0 in [1, 2]
3 not in [1, 2]
"a" in d
"x" in missing
2 in range(5)
"k" in {"k": none}
t
nothing
f
list
mixed
d
u
[u]
["it's", 'say "x"', 'both \' and "']
["\n\t\r\\", "\x00\x7f", "\u00ad\u200b\ue000"]
(1,)
()
(1, 2)
[]
{}
{"a": [1, (2, 3)], 1: none, none: true}
{true: 1, 1: 2}
[1.0, 1e100, -0.5]
range(3)
range(1, 10, 3)|list
range(5, 0, -2)|list
range(3)[1]
range(10, 0, -3)[-1]
range(3).stop
dict(a=1, b="x")
dict([("a", 1), ("b", 2)])
dict({"a": 1}, b=2)
s[0]
s[-1]
s[100]
s[1:5]
s[:5]
s[-5:]
s[::-1]
s[::2]
s[10:2:-3]
s[100:]
s[-100:3]
u[3]
u[-1]
u[::-1]
u[3:6]
list[0]
list[-1]
list[5]
list[1:]
list[::-1]
list[-2:]
list[:-1]
list[5:1]
list[::-2]
(1, 2, 3)[1:]
list["0"]
list.0
d["a"]["x"][1]
d.a.x.0
d.b
d.nope
d["nope"]
d["items"]
d.get("b")
d.get("nope")
d.get("nope", 5)
d.items()|list
d.keys()
d.keys()|list
d.values()
d.items()
d.keys()[0]
"b" in d.keys()
1 in d.values()
d.items()|first
d|length
d|list
d|first
d|last
d|items|list
d|dictsort
d|dictsort(true)
{"b": 1, "a": 2}|dictsort(by="value")
{"b": 1, "a": 2}|dictsort(false, "value", true)
d.copy() == d
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
u.upper()
u.lower()
u.title()
u.capitalize()
u|upper
u|lower
u|title
u|capitalize
"they're bill's friends-of (the {x} [y] <z>"|title
"they're bill's".title()
"\u0130\u01c4\ufb01 \u1e9e"|lower
"\u0130\u01c6\ufb01 \u0149"|upper
"\u01c6abc"|capitalize
" x ".strip()
"xxaxx".strip("x")
"xyaxy".lstrip("yx")
"xyaxy".rstrip("yx")
"\u00a0\u3000 x \u2028".strip() ~ "|"
"  x  "|trim ~ "|"
"xxaxx"|trim("x")
"a,b,,c".split(",")
"a,b,,c".split(",", 1)
"a,b,,c".rsplit(",", 1)
"  a  b c ".split()
"  a  b c ".split(none, 1)
"  a  b c ".rsplit(none, 1)
"a\u00a0b".split()
"abc".split("x")
"".split(",")
"".split()
multi.splitlines()
multi.splitlines(true)
"a=b=c".partition("=")
"a=b=c".rpartition("=")
"abc".partition("=")
"abc".rpartition("=")
s.replace("l", "L")
s.replace("l", "L", 2)
"abc".replace("", "-")
"abc".replace("", "-", 2)
"aaa".replace("aa", "b")
s.startswith("Hell")
s.startswith(("x", "He"))
s.startswith("World", 7)
s.endswith("World")
s.endswith(("x", "y"))
s.find("o")
s.find("o", 5)
s.rfind("o")
s.find("zz")
u.find("\u4f60")
s.index("W")
s.count("l")
"aaaa".count("aa")
"abc".count("")
"-".join(["a", "b"])
"-".join("abc")
"".join([])
"x".center(6) ~ "|"
"xy".center(7, "*")
"x".ljust(3, ".")
"x".rjust(3) ~ "|"
"-42".zfill(6)
"a\tbc\td".expandtabs(4)
"test_x".removeprefix("test_")
"test_x".removesuffix("_x")
"abc".isalpha()
"a1".isalnum()
"12".isdigit()
"12.5".isdigit()
" \t".isspace()
"".isspace()
"abc".islower()
"ABC1".isupper()
"x1".isidentifier()
"1x".isidentifier()
"ab\n".isprintable()
"{} and {}".format(1, "x")
"{1} {0} {1}".format("a", "b")
"{a} {b.x[0]} {b[x][1]}".format(a=1, b={"x": [5, 6]})
"{:>5}|{:<5}|{:^5}|{:*^7}".format("a", "b", "c", "d")
"{:05d} {:+d} {:,} {:x} {:#x} {:b} {:X}".format(42, 42, 1234567, 255, 255, 5, 255)
"{:.2f} {:8.3f} {:e} {:g} {:.0f} {:%} {:,.2f}".format(3.14159, 2.5, 12345.678, 0.0001, 2.5, 0.25, 1234567.891)
"{!r} {!s} {{}}".format("x", "y")
"{:.3}".format("abcdef")
"{} {} {}".format(none, true, [1, "a"])
"{:5}|{:d}".format(true, true)
"{0.nope}".format({})
"{a}".format_map({"a": 1})
"%s and %d" % ("x", 5)
"%5s|%-5s|%05d|%+d|%x|%X|%o" % ("a", "b", 42, 5, 255, 255, 8)
"%.2f %e %g %5.1f %i" % (3.14159, 12345.678, 0.0001, 2.25, 3.9)
"%(a)s %(b)r" % {"a": 1, "b": "x"}
"%s" % [1, 2]
"%s" % "x"
"%s%%" % 5
"%s" % none
"%r" % "it's"
"%.3s|" % "abcdef"
"%s %s"|format("a", 1)
"%(a)s"|format(a=5)
list|length
s|length
u|length
list|count
list|sort
list|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
words|sort(true, false)
people|sort(attribute="age")|map(attribute="name")|list
people|sort(attribute="age,name", reverse=true)|map(attribute="name")|list
words|unique|list
words|unique(true)|list
[1, 1.0, true, 2]|unique|list
people|unique(attribute="age")|map(attribute="name")|join(",")
list|min
list|max
words|min
words|max(case_sensitive=true)
people|max(attribute="age")
[]|min is defined
list|sum
people|sum(attribute="age")
[[1], [2]]|sum(start=[])
[0.1, 0.2, 0.3]|sum
list|first
list|last
[]|first is defined
s|first
s|last
list|reverse|list
s|reverse
u|reverse
list|join
list|join("-")
people|join(", ", attribute="name")
"abc"|join(".")
mixed|join("|")
people|map(attribute="name")|join("/")
people|map(attribute="city.zip", default="?")|list
people|map(attribute="city")|list
words|map("upper")|list
words|map("replace", "a", "x")|join
[1, 2, 3]|map("string")|list
[[1, 2], [3]]|map("first")|list
[[1, 2], [3]]|map(attribute=0)|list
list|select|list
[0, 1, "", "x"]|select|list
[0, 1, "", "x"]|reject|list
list|select("odd")|list
list|reject("odd")|list
list|select(">", 1)|list
list|select("in", [1, 2])|list
people|selectattr("city")|map(attribute="name")|list
people|selectattr("city", "defined")|map(attribute="name")|list
people|selectattr("age", "equalto", 30)|map(attribute="name")|list
people|selectattr("age", "gt", 26)|map(attribute="name")|list
people|rejectattr("age", "==", 30)|map(attribute="name")|list
people|selectattr("city.zip", "eq", "10")|list|length
(people|selectattr("age", "gt", 100)) is true
"yes" if people|selectattr("age", "gt", 100) else "no"
people|selectattr("age", "gt", 100)|first is defined
none|select|list
none|map("upper")|list
list|batch(2)|list
list|batch(2, "x")|list
range(7)|slice(3)|list
range(7)|slice(3, "x")|list
"abc"|list
d|list
(1, 2)|list
5|string + "x"
1.5|string
none|string
"5"|int
" 42 "|int
"42.9"|int
"x"|int
"x"|int(7)
"0x1f"|int(base=16)
"ff"|int(0, 16)
"1_000"|int
"1__0"|int
"-0b11"|int(base=2)
"0o17"|int(base=0)
3.99|int
-3.99|int
true|int
none|int
[]|int
"1.5"|float
"1e3"|float
".5"|float
"x"|float
"x"|float(2.5)
"inf"|float
"-Infinity"|float
"nan"|float
3|float
"1_0.5"|float
2.5|round
3.5|round
-2.5|round
2.567|round(2)
2.675|round(2)
1e20|round(1)
7|round
7.1|round(0, "ceil")
7.9|round(method="floor")
2.341|round(2, "ceil")
-7|abs
-2.5|abs
true|abs
s|replace("o", "0")
s|replace("o", "0", 1)
123|replace(2, "x")
multi|indent
multi|indent(2, true)
multi|indent("> ", first=true, blank=true)
"a"|indent(4)
"a\n\nb\n"|indent(2)
"hello big world"|truncate(9)
"hello big world"|truncate(9, true)
"hello big world"|truncate(9, true, "", 0)
"hello big world"|truncate(11, leeway=10)
"one two, three"|wordcount
"\u00fcber \u4f60\u597d na\u00efve_x 1\u00b2 \u00b7"|wordcount
"\u00e9\u4f60".isalpha()
"\u00e9\u2460".isalnum()
"\u0663".isdecimal()
"\u0664\u0662"|int
html|escape
html|e|e
html|forceescape
html|safe
html|e ~ "<"
(html|e) + "<b>"
"<b>" + ("x"|safe)
("<i>"|safe) + "<b>" + ("<u>"|safe)
("<i>"|safe)|upper + "<"
[html|e]
(html|safe).replace("a", "<")
("<"|safe) * 2 + "<"
5|e + "<"
("a b"|safe).split()
("<"|safe).join(["<", "a"])
("<x>"|safe)[0] + "<"
"x"|safe is escaped
"x" is escaped
"x"|center(5) ~ "|"
d|tojson
mixed|tojson
u|tojson
u|tojson(ensure_ascii=true)
html|tojson
"\"\\\n\r\t\b\f\x01\x7f/"|tojson
d|tojson(indent=2)
d|tojson(indent="\t")
[[], {}, [1, [2]]]|tojson(indent=1)
d|tojson(indent=0)
d|tojson(sort_keys=true)
d|tojson(separators=(",", ":"))
d|tojson(indent=2, separators=(" ,", " : "))
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
(1, 2)|tojson
1.0|tojson
1e100|tojson
"nan"|float|tojson
"inf"|float|tojson
true|tojson
none|tojson
n is defined
n is number
n is integer
n is float
f is float
t is number
t is integer
t is boolean
n is boolean
t is true
n is true
t is false
none is none
nothing is none
s is string
s is sequence
s is iterable
s is mapping
list is sequence
list is iterable
list is string
d is mapping
d is sequence
d is iterable
n is iterable
n is sequence
missing is sequence
missing is iterable
missing is callable
range is callable
n is callable
range(3) is sequence
range(3) is iterable
d.items() is sequence
d.items() is mapping
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
4.0 is even
n is eq 7
n is equalto(7)
n is ne 8
n is lt 8
n is gt(8)
n is ge 7
n is lessthan 7
n is in [7, 8]
n is not in [7, 8]
"a" is in "abc"
s is lower
"abc" is lower
"ABC" is upper
u is upper
"upper" is filter
"nope" is filter
"urlize" is filter
"odd" is test
"nope" is test
true is sameas true
1 is sameas true
none is sameas none
list is sameas list
n is not none and n is number
not n is none
n is defined and not missing is defined
[1, 2, 3][1:]|first
-n
+n
-f
- -n
-n|abs
--3
not not n
1 ~ 2 + 3
"a" ~ "b" * 2
2 * 3 ~ 4
n in [1] or n in [7]
{"a": 1}.a
{"a": {"b": 2}}["a"].b
[[1, 2], [3, 4]][1][0]
"abc"[1].upper()
("a", "b")|join
namespace(x=1).x
namespace({"y": 2}).y
namespace(x=1)
namespace(x=1)["x"]
namespace().nope is defined
[namespace(a=[1])]
dict(a=1).items()|list
1 if missing else 2
1 if missing is not defined else 2
(missing|default([]))|length
missing|d("x", true)
""|default("x")
""|default("x", true)
none|default("x")
false|default("x", boolean=true)
[1, 2, 3]|select("divisibleby", 2)|first
"a%20b".split("%")
"x".format(1)
d.a["x"]|last
d["a"].get("x", [])|length
people[0]["name"][0]|lower
people|length > 2 and people[0].age == 30
people|map(attribute="name")|map("lower")|sort|join(",")
people|map("items")|map("list")|first|first
words|sort|reverse|list
" ".join(words|sort)
range(3)|map("string")|join("+")
range(0)|list
range(-1)|list
range(3) == range(0, 3, 1)
range(3)|last
range(3)|length
range(3)|reverse|list
d|reverse|list
d.values()|list|length
d.keys()|sort
d.keys() == d.keys()
0.5 == 1/2
"1" == 1
1 != 1.0
"a" != "b"
"\u00e9" > "z"
"\U0001f600" > "\uffff"
[] or {} or 0 or ""
[1, 2] + [3]
"%d%%" % 50
"a\
b"
s is defined and s
(1, 2, 3) is sequence
3 is odd or 3 is even
[{"a": 1}, {"a": 2}]|selectattr("a", "in", [2])|list
"tool" in ["tool", "user"]
1 // 1 / 1
5 % 3 * 2
10 - 4 - 3
2 ** 2 ** 0
100 // 7 % 5
"x" * 2 ~ "y"
true + true
true * 3
-true
1.5 + 1
3.0 * 2
2.0 ** 3
7.0 // 2
1e308 * 10
(1, "a")
(1, ("b", [none]))
{"x": (1,)}
"caf\u00e9"|length
"caf\u00e9"|upper
"stra\u00dfe"|upper
"\u0391\u03a3"|lower
"\u03a3"|lower
"\u0391\u03a3.\u0391"|lower
"\u0391\u00ad\u03a3\u00ad"|lower
"\u1fb3"|upper
"\u1fb3"|title
"\u01c4\u01c5\u01c6"|swapcase if "swapcase" is filter else "none"
"\u01c4\u01c5\u01c6".swapcase()
"\u00aa\u02b0"|upper
"\u2160"|lower
"\U00010400"|lower
"\u00e9\u00c9".islower()
"\u00c9".isupper()
"A\u01c5".isupper()
"\u00b2x"|upper
"\u0149abc"|capitalize
"\ufb03x"|capitalize
"\ufb03x"|title
"\ufb03x".title()
["\u0378", "\u00e9", "\u3000", "\ud7ff", "\ue000", "\U000e0001", "\U0001f9ff"]
"a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i".splitlines()
""|splitlines if "splitlines" is filter else ""
"a\nb".splitlines()|length
"a\n"|indent(1)
"a\x0bb"|indent(1)
""|indent(2, true) ~ "|"
""|title
" x y"|title
"1a"|title
"x"|list|tojson
"%5d|%-5d|% d" % (1, 2, 3)
"%s" % (1,)
"%s %s" % (1, [2])
"%c" % "x" if false else "skip"
"%08.3f|%+.1e" % (3.14159, 12345.0)
"%#x %#o" % (255, 8)
"%.3d" % 5
"{:<08}|{:=+6}|{:_}|{: }".format(5, 5, 1234567, 5)
"{:08.2f}|{:+.1f}|{:G}|{:E}".format(3.14159, 2.0, 1e-10, 5.5)
"{0}{0}".format("x")
"{:s}".format("x")
"{:}".format(5)
"{:10}|".format("\u00e9")
"{:o}|{:#b}|{:_x}".format(8, 5, 65535)
"{a[b c]}".format(a={"b c": 1})
"{[0]}".format([5])
"{.a}".format({"a": 7})
""".strip("\n").split("\n")

# Whole templates, with their own variables where the common ones will not do.
TEMPLATES = [
    # White space.
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \nb\n  {% endif %}  \nc",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a\n  {%+ if true %}\nb\n  {%+ endif %}\nc",
    "a\n  {% if true +%}\nb{% endif +%}\nc",
    "a\n {{ 1 }} \n {{- 2 -}} \n {{ 3 }}",
    "a \n {#- c -#} \n b",
    "a\n  {# c #}\nb {# d #} e\n{# f +#}\ng",
    "  {% set x = 1 %}\n  {{ x }}\n",
    "x  {% set x = 1 %}\n  {{ x }}\n\n",
    "{% raw %}{{ x }} {% y %}{% endraw %}",
    "a\n  {%- raw -%}\n {{ x }}\n  {%- endraw -%}\n b",
    "a\n  {% raw %}\n {{ x }}\n  {% endraw %}\n b",
    "a\n{% raw %}\n  {%+ endraw %}\nb",
    "line\r\ntwo\r{{ 'x\r\ny' }}\r\n",
    "trailing\n\n",
    "{{ 1 }}\n",
    "\n\n{% if true %}\n\n{% endif %}\n\n",
    "\u3000{%- if true %}\u00a0{% endif -%}\u2003x",
    "{{\n1\n+\n2\n}}",
    "{%\nset x = 1\n%}{{x}}",
    "{{-1}}|{{+1}}|{{ -1 }}",
    "a { b } {c} % # {% if true %}{{ '}}' }}{{ \"%}\" }}{% endif %}",
    "{{ {'a': {'b': 1}} }}{{ {'a':{}}}}",
    "{{ '{{' }}{{ '{%' }}{#{{#}x",
    "a{##}b{#-#}c{#+#}d",
    # set, scopes
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}",
    "{% set (a, b) = 'xy' %}{{ a }}{{ b }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x|upper }}",
    "{% set x | upper | replace('A', 'z') %}a{{ 1 }}b{% endset %}{{ x }}",
    "{% set ns = namespace(a=1) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace() %}{% set ns.x %}block{% endset %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }};{% endfor %}{{ x }}",
    "{% for i in [1] %}{% set y = 5 %}{% endfor %}{{ y is defined }}",
    "{% if true %}{% set z = 5 %}{% endif %}{{ z }}",
    "{% if false %}{% set z = 5 %}{% endif %}{{ z is defined }}",
    "{% if false %}{% set n = 5 %}{% endif %}{{ n }}",
    "{% if false %}{% set n = 5 %}{% elif true %}{{ n }}{% set n = 6 %}{% endif %}{{ n }}",
    "{% for i in [1] %}{{ n }}{% set n = 9 %}{{ n }}{% endfor %}{{ n }}",
    "{% for i in [1] %}{{ n is defined }}{% endfor %}{% set n = 9 %}{{ n }}",
    "{{ n }}{% set n = 9 %}{{ n }}{% for i in [1] %}{{ n }}{% endfor %}",
    "{% set n = n + 1 %}{{ n }}",
    "{% for n in [1] %}{{ n }}{% endfor %}{{ n }}",
    "{% for i in [1, 2] %}{% if i == 1 %}{% set q = i %}{% endif %}{{ q is defined }}{% endfor %}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% for i in [1] %}{% set x = 3 %}{{ x }}{% endfor %}{{ x }}{% endif %}{{ x }}",
    "{% with a = 1, b = n %}{{ a + b }}{% set a = 5 %}{{ a }}{% endwith %}{{ a is defined }}",
    "{% set a = 2 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with %}{% set k = 1 %}{{ k }}{% endwith %}{{ k is defined }}",
    "{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}",
    "{% print 1, 'a', n %}",
    # for
    "{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for i in [1] %}x{% else %}none{% endfor %}",
    "{% for i in [1] %}x{% break %}{% else %}else{% endfor %}",
    "{% for i in [1, 2] %}{% continue %}x{% else %}else{% endfor %}",
    "{% for i in [1, 2, 3, 4] %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [1, 2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [] %}{% else %}{% break %}{% endfor %}{{ i }}{% endfor %}.",
    "{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in list %}[{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}]{% endfor %}",
    "{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in range(5) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in list|map('string') %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{{ i }} {% endfor %}",
    "{% for i in list if i > 1 %}{{ loop.index }}{{ i }}{{ loop.last }}{% endfor %}",
    "{% for p in people if p.age == 30 and p.city is defined %}{{ p.name }}{% else %}no{% endfor %}",
    "{% for i in list if i > 5 %}x{% else %}none{% endfor %}",
    "{% set ns = namespace(go=true) %}{% for i in range(5) if ns.go %}{{ i }}{% if i == 2 %}{% set ns.go = false %}{% endif %}{% endfor %}",
    "{% set ns = namespace(go=true) %}{% for i in range(5) if ns.go %}{{ i }}{{ loop.last }}{% if i == 2 %}{% set ns.go = false %}{% endif %}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }};{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1, 2]] if a %}{{ a }}{{ b }}{% endfor %}",
    "{% for x in d %}{{ x }}{% endfor %}",
    "{% for c in u %}{{ c }}|{% endfor %}",
    "{% for x in missing %}x{% else %}none{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [3, 4] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in [1, 2] %}{% set outer = loop %}{% for j in [3, 4] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
    "{% for i in [1] %}{{ loop }}{% endfor %}",
    "{% for i in [1, 2] %}{{ loop|length }}{{ 'x' if loop }}{% endfor %}",
    "{% set g = list|select('odd') %}{{ g|list }}{{ g|list }}",
    "{% set g = [1, 2, 3]|map('string') %}{% for x in g %}{{ x }}{% break %}{% endfor %}{{ g|join }}",
    "{% set g = [1, 2, 3]|map('string') %}{{ '2' in g }}{{ g|list }}",
    "{% set g = list|map('nope') %}never used",
    "{% set x = [1, 2]|map('upper')|first %}{{ x }}",
    # if
    "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}",
    "{% if n > 50 %}a{% elif n > 3 %}b{% elif n > 2 %}x{% else %}c{% endif %}",
    "{% if n > 50 %}a{% elif n > 30 %}b{% else %}c{% endif %}",
    "{% if [] %}a{% endif %}{% if [0] %}b{% endif %}{% if {} %}c{% endif %}{% if 0.0 %}d{% endif %}{% if range(0) %}e{% endif %}",
    "{% if 'x' is undefined_filter_in_test %}{% endif %}",
    "{% if false %}{{ x|no_such_filter }}{% endif %}ok",
    "{{ 'a' if true else x|no_such_filter }}",
    "{% if true %}{{ n|no_such_filter }}{% endif %}",
    "{{ n|no_such_filter }}",
    # macros
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='y') }} {{ m(b=1, a=0) }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}{{ m(none) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a) %}{{ varargs|length }}{% endmacro %}{{ m(1, 2, 3) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}",
    "{% macro m(a) %}  {{- a -}}  {% endmacro %}<{{ m('x')|upper }}>",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x is defined }}",
    "{% macro outer() %}{% macro inner(y) %}{{ y }}{{ z }}{% endmacro %}{% set z = 3 %}{{ inner(1) }}{% endmacro %}{{ outer() }}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% set ns = namespace() %}{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m() }}|",
    "{% set ns = namespace() %}{% macro a() %}{% set k = 1 %}{% macro b() %}{{ k }}{% endmacro %}{% set ns.b = b %}{% set k = 2 %}{% endmacro %}{{ a() }}{{ ns.b() }}",
    "{% macro m(a, b=1) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.caller }}{{ m }}",
    "{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}x{{ n }}{% endcall %}",
    "{% macro each(l) %}{% for i in l %}{{ caller(i) }},{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}{{ x * 2 }}{% endcall %}",
    "{% macro each(l) %}{% for i in l %}{{ caller(i, j=9) }},{% endfor %}{% endmacro %}{% call(x, y=3, j=4) each([1, 2]) %}{{ x }}{{ y }}{{ j }}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro m(caller=none) %}{{ caller() if caller else 'none' }}{% endmacro %}{{ m() }}{% call m() %}x{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro a() %}{% call b() %}1{{ caller() }}{% endcall %}{% endmacro %}{% macro b() %}[{{ caller() }}]{% endmacro %}{% call a() %}2{% endcall %}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ [f(1), f(2)] }}",
    "{% macro f(x) %}{% for i in x %}{% if i is sequence %}({{ f(i) }}){% else %}{{ i }}{% endif %}{% endfor %}{% endmacro %}{{ f([1, [2, [3]], 4]) }}",
    "{{ m is defined }}{% macro m() %}{% endmacro %}{{ m is defined }}{{ m is callable }}",
    "{% if true %}{% macro m() %}in if{% endmacro %}{% endif %}{{ m() }}",
    # filter blocks, generation
    "{% filter upper %}a{{ s }}{% endfilter %}",
    "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}",
    "{% filter trim %} {% set v = 1 %}{{ v }} {% endfilter %}{{ v is defined }}",
    "{% for i in [1, 2] %}{% filter upper %}a{% if i == 1 %}{% continue %}{% endif %}{% endfilter %}{% endfor %}",
    "{% generation %}a{{ n }}{% set g = 1 %}{% endgeneration %}{{ g is defined }}",
    "{% for i in [1, 2] %}\n{% generation %}\n{{ i }}\n{% endgeneration %}\n{% endfor %}",
    # scopes of loops and tests
    "{% for i in [1, 2, 3] if i != skip %}{{ i }}{% endfor %}",
    "{% set skip = 2 %}{% for i in [1, 2, 3] if i != skip %}{{ i }}{% endfor %}",
    "{% set i = 2 %}{% for x in [1, 2, 3] if x != i %}{% set i = 5 %}{{ x }}{{ i }}{% endfor %}{{ i }}",
    "{% for a in [1] %}{% for b in [a] %}{% set c = a + b %}{{ c }}{% endfor %}{{ c is defined }}{% endfor %}",
    "{% for m in people %}{% set name = m.name %}{% if loop.first %}{% set first = name %}{% endif %}{{ first is defined }}{% endfor %}",
    "{% for i in [1, 2] %}{% if loop.first %}{% set k = 'set' %}{% endif %}{{ k }};{% endfor %}",
    "{% set k = 'out' %}{% for i in [1, 2] %}{% if loop.first %}{% set k = 'set' %}{% endif %}{{ k }};{% endfor %}{{ k }}",
    "{% set x = 0 %}{% for i in [1, 2] %}{% set x = i %}{% else %}{{ x }}{% endfor %}{{ x }}",
    "{% for i in [] %}{% else %}{% set x = 1 %}{{ x }}{% endfor %}{{ x is defined }}",
    "{% if missing_a or missing_b %}x{% else %}y{% endif %}",
    "{% set range = 5 %}{{ range }}",
    "{% set messages = [1, 2, 3] %}{% set messages = messages[1:] %}{{ messages }}",
    "{% for i in range(3) %}{% set range = 1 %}{{ i }}{% endfor %}",
    "{% set loop = 5 %}{{ loop }}{% for i in [1] %}{{ loop.index }}{% endfor %}{{ loop }}",
    "{% for i in [1] %}{% with %}{{ loop.index }}{% endwith %}{% endfor %}",
    "{% for i in [1] %}{% macro m() %}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% for loop_ in [1] %}{{ loop_ }}{% endfor %}",
    # what Python refuses
    "{{ missing.x }}",
    "{{ missing['x'] }}",
    "{{ missing() }}",
    "{{ missing + 1 }}",
    "{{ 1 + missing }}",
    "{{ -missing }}",
    "{{ missing < 1 }}",
    "{{ missing|int }}",
    "{{ missing|tojson }}",
    "{{ d.nope.x }}",
    "{{ d.nope() }}",
    "{{ list.append(1) }}",
    "{{ list.append }}",
    "{{ list.append is defined }}",
    "{{ d.update({}) }}",
    "{{ d.pop('a') }}",
    "{{ 's'.nope() }}",
    "{{ 1 / 0 }}",
    "{{ 1 // 0 }}",
    "{{ 1 % 0 }}",
    "{{ 1.0 / 0 }}",
    "{{ 0 ** -1 }}",
    "{{ 'a' + 1 }}",
    "{{ 1 + 'a' }}",
    "{{ [1] + (2,) }}",
    "{{ 'a' - 'b' }}",
    "{{ 'a' < 1 }}",
    "{{ none < 1 }}",
    "{{ [1] < ['a'] }}",
    "{{ 1 in 5 }}",
    "{{ 1 in 'a' }}",
    "{{ none in none }}",
    "{{ [] in {} }}",
    "{{ {[]: 1} }}",
    "{{ none|length }}",
    "{{ 5|length }}",
    "{{ list|map('upper')|length }}",
    "{{ 5|list }}",
    "{{ none|join }}",
    "{{ 5|first }}",
    "{{ none|last }}",
    "{{ list|map('string')|last }}",
    "{{ [1, 'a']|sort }}",
    "{{ [1, 'a']|sum }}",
    "{{ ['a']|sum(start='') }}",
    "{{ [[1], [2]]|unique|list }}",
    "{{ 's'|round }}",
    "{{ 's'|abs }}",
    "{{ 2|round(method='x') }}",
    "{{ 's'|items|list }}",
    "{{ 5|dictsort }}",
    "{{ 5|indent }}",
    "{{ range(100001)|length }}",
    "{{ range(100000)|length }}",
    "{{ range(1, 2, 0)|list }}",
    "{{ range(1000000000000)|length }}",
    "{{ range('a') }}",
    "{{ 's'[1:2:0] }}",
    "{{ n[1:] }}",
    "{{ d['a':] }}",
    "{{ 's'.split('') }}",
    "{{ 's'.index('x') }}",
    "{{ 's'.join([1]) }}",
    "{{ 's'.join(5) }}",
    "{{ 's'.startswith(5) }}",
    "{{ 's'.strip(5) }}",
    "{{ 's'.upper(1) }}",
    "{{ 's'.replace('a') }}",
    "{{ 's'.split(wrong=1) }}",
    "{{ '{} {}'.format(1) }}",
    "{{ '{x}'.format(1) }}",
    "{{ '{'.format(1) }}",
    "{{ '}'.format(1) }}",
    "{{ '{} {0}'.format(1) }}",
    "{{ '{:d}'.format('x') }}",
    "{{ '%s %s' % 1 }}",
    "{{ '%s' % (1, 2) }}",
    "{{ '%d' % 'x' }}",
    "{{ '%q' % 1 }}",
    "{{ '%' % 1 }}",
    "{{ '%(a)s' % 1 }}",
    "{{ '%(a)s' % {'b': 1} }}",
    "{{ {'a': list|map('string')}|tojson }}",
    "{{ {(1, 2): 3}|tojson }}",
    "{{ range(3)|tojson }}",
    "{{ {1: 2, 'a': 3}|tojson(sort_keys=true) }}",
    "{% set a, b = 1 %}",
    "{% set a, b = [1] %}",
    "{% set a, b = [1, 2, 3] %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% set d.x = 1 %}",
    "{% set nope.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ namespace(_x=1) }}",
    "{{ raise_exception('no ' ~ n) }}",
    "{% if n == 7 %}{{ raise_exception('bad') }}{% endif %}",
    "{{ raise_exception() }}",
    "{{ n() }}",
    "{{ 's'() }}",
    "{{ n is divisibleby 0 }}",
    "{{ s is odd }}",
    "{{ n is in }}",
    "{{ n is divisibleby }}",
    "{{ x is no_such_test }}",
    "{{ list|map }}",
    "{{ list|map|list }}",
    "{{ list|selectattr|list }}",
    "{{ list|select('no_such_test')|list }}",
    "{{ list|join(1, 2, 3) }}",
    "{{ list|join(x=1) }}",
    "{% call n() %}{% endcall %}",
    "{% for i in [1, 2] %}{{ loop(i) }}{% endfor %}",
    "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}",
    "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
    "{{ dict(1) }}",
    "{{ dict([1]) }}",
    "{{ 'abc'|truncate(1) }}",
    "{{ strftime_now() }}",
    # syntax errors
    "{{ 1 + }}",
    "{{ }}",
    "{{ 1 2 }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ [1, }}",
    "{{ {1} }}",
    "{{ 'a }}",
    "{{ a.1b }}",
    "{{ a. }}",
    "{{ a..b }}",
    "{{ a[ }}",
    "{{ 007 }}",
    "{{ 1 is odd is even }}",
    "{{ f(a=1, 2) }}",
    "{{ f(a=1, a=2) }}",
    "{{ f(**a, *b) }}",
    "{{ x ! y }}",
    "{{ $x }}",
    "{{ x",
    "{% if x",
    "{% if x %}",
    "{% if x %}{% else %}",
    "{% endif %}",
    "{% if x %}{% endfor %}",
    "{% for x %}{% endfor %}",
    "{% for x in %}{% endfor %}",
    "{% for 1 in x %}{% endfor %}",
    "{% for x in [1] %}{% set loop = 1 %}{% endfor %}",
    "{% set 1 = 2 %}",
    "{% set true = 2 %}",
    "{% set x + 1 = 2 %}",
    "{% set x[0] = 2 %}",
    "{% set x %}",
    "{% macro %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(1) %}{% endmacro %}",
    "{% macro m(a, a) %}{% endmacro %}",
    "{% macro m(caller) %}{{ caller() }}{% endmacro %}",
    "{% call x %}{% endcall %}",
    "{% filter %}{% endfilter %}",
    "{% nope %}",
    "{% do x %}",
    "{% 1 %}",
    "{% break %}",
    "{% continue %}",
    "{% for i in x %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% raw %}x",
    "{# x",
    "{% with a = %}{% endwith %}",
    "{% generation %}",
    "{{ not }}",
    "{{ 1 if }}",
    "{{ 1 if 2 else }}",
    "{{ a|}}",
    "{{ a|1 }}",
    "{{ a is }}",
    "{{ a is 1 }}",
    "{{ 1 not 2 }}",
    "{{ x[1:2, 3] }}",
    "{{ '\\x4' }}",
    "{{ '\\u12' }}",
]


def environment_render(template, variables):
    from transformers.utils.chat_template_utils import _compile_jinja_template

    values = {"tools": None, "documents": None, "add_generation_prompt": False, **variables}
    return _compile_jinja_template(template).render(**json.loads(json.dumps(values)))


def outcome(template):
    import warnings

    warnings.simplefilter("ignore")
    try:
        text = environment_render(template, VARIABLES)
        # Addresses, and the marker that jinja2 leaks for a variable of a scope that has ended, are not worth copying.
        return {"error": True} if " at 0x" in text or text.startswith("missing|") else {"text": text}
    except Exception:  # whatever Python raises, we are to refuse
        return {"error": True}


def write_cases():
    templates = ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES
    cases = [{"template": t, **outcome(t)} for t in templates]
    print("{")
    print(f'"variables": {json.dumps(VARIABLES)},')
    print('"cases": [')
    print(",\n".join(json.dumps(case) for case in cases))
    print("]}")


if __name__ == "__main__":
    sys.exit(write_cases())
