#!/usr/bin/env python3
"""Writes src/text/jinja_unicode_tables.h: what Python's str methods know about characters, as small tables.

Everything is asked of the running Python's own str (lower, upper, title, isprintable, ...), so the tables are the
Unicode version of that Python. Run: tools/make_jinja_unicode.py > src/text/jinja_unicode_tables.h
"""
import sys
import unicodedata

ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BEYOND_ASCII = [c for c in ALL if c >= 0x80]


def rows(cells, per_line):
    for i in range(0, len(cells), per_line):
        print("    " + " ".join(cells[i : i + per_line]))


def runs_of(members):
    """Members as runs [first, last, stride]; a stride of 2 where upper and lower case alternate."""
    runs = []
    for c in members:
        run = runs[-1] if runs else None
        if run and (c - run[1] == run[2] or (run[0] == run[1] and c - run[1] == 2)):
            run[2] = c - run[1]
            run[1] = c
        elif run and run[2] == 2 and run[1] - run[0] == 2 and c - run[1] == 1:
            run[1], run[2] = run[0], 1  # two loose ends, the second of which starts a plain run
            runs.append([c - 1, c, 1])
        else:
            runs.append([c, c, 1])
    return runs


def print_set(name, comment, members):
    print(f"\n// {comment}\ninline constexpr CodeRun {name}[] = {{")
    rows([f"{{0x{a:x}, 0x{b:x}, {s}}}," for a, b, s in runs_of(members)], 7)
    print("};")


def print_map(name, comment, mapping):
    """One-to-one mappings as runs {first, last, stride, delta}."""
    runs = []
    for c, to in sorted(mapping.items()):
        run = runs[-1] if runs else None
        if run and run[3] == to - c and (c - run[1] == run[2] or (run[0] == run[1] and c - run[1] in (1, 2))):
            run[2] = c - run[1]
            run[1] = c
        else:
            runs.append([c, c, 1, to - c])
    print(f"\n// {comment}\ninline constexpr CaseRun {name}[] = {{")
    rows([f"{{0x{a:x}, 0x{b:x}, {s}, {d}}}," for a, b, s, d in runs], 5)
    print("};")


def print_expansions(name, comment, mapping):
    print(f"\n// {comment}\ninline constexpr CaseExpansion {name}[] = {{")
    cells = []
    for c, text in sorted(mapping.items()):
        points = [f"0x{ord(x):x}" for x in text] + ["0"] * (3 - len(text))
        cells.append(f"{{0x{c:x}, {{{', '.join(points)}}}}},")
    rows(cells, 3)
    print("};")


def split(function):
    one, many = {}, {}
    for c in BEYOND_ASCII:
        to = function(chr(c))
        if len(to) == 1 and ord(to) != c:
            one[c] = ord(to)
        elif len(to) > 1:
            many[c] = to
    return one, many


def case_ignorable(c):
    # Python lowers a capital sigma to its final form after a cased letter, looking through case-ignorable characters.
    x = chr(c)
    cased = x.islower() or x.isupper() or x.istitle()
    return (x + "\u03a3").lower()[-1] == "\u03c3" if cased else ("A" + x + "\u03a3").lower()[-1] == "\u03c2"


def main():
    print("// What Python's str methods know about characters beyond ASCII (Unicode "
          f"{unicodedata.unidata_version}).\n// Written by tools/make_jinja_unicode.py.")
    print("#pragma once\n\n#include <cstdint>\n\nnamespace sigma::jinja {\n")
    print("// clang-format off")
    print("struct CodeRun { uint32_t first, last, stride; };")
    print("struct CaseRun { uint32_t first, last, stride; int32_t delta; };")
    print("struct CaseExpansion { uint32_t from, to[3]; };")
    print_set("kUnprintable", "not str.isprintable()", [c for c in BEYOND_ASCII if not chr(c).isprintable()])
    print_set("kLowercase", "str.islower()", [c for c in BEYOND_ASCII if chr(c).islower()])
    print_set("kUppercase", "str.isupper()", [c for c in BEYOND_ASCII if chr(c).isupper()])
    print_set("kTitlecase", "str.istitle() and not str.isupper()",
              [c for c in BEYOND_ASCII if chr(c).istitle() and not chr(c).isupper()])
    print_set("kDecimal", "str.isdecimal(): runs of the digits 0 to 9", [c for c in BEYOND_ASCII if chr(c).isdecimal()])
    print_set("kCaseIgnorable", "looked through around a final sigma", [c for c in ALL if case_ignorable(c)])
    lower, lower_many = split(str.lower)
    upper, upper_many = split(str.upper)
    title = {c: chr(c).title() for c in BEYOND_ASCII if chr(c).title() != chr(c).upper()}
    print_map("kToLower", "str.lower() of one character", lower)
    print_map("kToUpper", "str.upper() of one character", upper)
    print_expansions("kToLowerMany", "... where it becomes several", lower_many)
    print_expansions("kToUpperMany", "... where it becomes several", upper_many)
    print_expansions("kToTitle", "str.title() of one character where it differs from str.upper()", title)
    print("// clang-format on\n\n}  // namespace sigma::jinja")


if __name__ == "__main__":
    sys.exit(main())
