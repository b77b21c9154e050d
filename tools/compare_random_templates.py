#!/usr/bin/env python3
"""Compares random templates, made of mostly sensible expressions, with jinja2 as transformers sets it up.

    tools/compare_random_templates.py --renderer build/tests/render_chat_template [--count N] [--seed FIRST]

Prints every template that the two render differently, or that we refuse and Python does not. Exit status 1 when any
is rendered differently. Needs transformers and jinja2.
"""
import argparse
import random
import sys

from check_chat_templates import Renderer
from make_jinja_cases import VARIABLES, outcome

TEXT_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "trim('Hx')", "replace('o', '\u00f6')", "replace('', '-', 2)",
                "indent", "indent(2, true)", "truncate(5)", "truncate(9, true)", "center(20)", "e", "safe", "string",
                "reverse", "forceescape", "default('d')", "default('d', true)", "first", "last"]
TEXT_METHODS = ["upper()", "lower()", "strip()", "lstrip('H ')", "rstrip('d')", "title()", "capitalize()", "swapcase()",
                "replace('l', '\u00e9')", "replace('l', 'L', 1)", "zfill(9)", "ljust(8, '.')", "rjust(15)", "center(7)",
                "split('l')[0]", "split()[0]", "splitlines()[-1]", "rsplit(' ', 1)[-1]", "partition(' ')[2]",
                "removeprefix('He')", "expandtabs(3)", "join(words)", "format(n, s)", "rpartition('o')[1]"]
LIST_FILTERS = ["reverse|list", "list", "unique|list", "map('string')|list", "map('string')|map('upper')|list", "select|list",
                "reject('none')|list", "select('string')|list", "select('defined')|list", "batch(2)|list",
                "batch(2, 'z')|list", "slice(2)|list", "map('tojson')|list", "map('string')|sort", "select('mapping')|list",
                "map('default', 5)|list", "reject('in', [1, 'x'])|list"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "boolean",
         "true", "false", "callable", "escaped", "sameas none", "eq 7", "in list", "ne 'a'"]


class RandomTemplate:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        choice = self.random.choice(choices)
        return choice() if callable(choice) else choice

    def integer(self, low, high):
        return str(self.random.randint(low, high))

    def slice(self):
        part = lambda: self.pick("", "", lambda: self.integer(-6, 6))
        return f"[{part()}:{part()}{self.pick('', ':', ':2', ':-1', ':-2')}]"

    def text(self, d):
        if d <= 0:
            return self.pick("s", "u", "empty", "html", "multi", "'a'", "'\u00dcn\u00ef'", "'<b>'", "'x y'", "'%d'", '"it\'s"', "s", "u")
        d -= 1
        return self.pick(
            lambda: f"({self.text(d)} ~ {self.any(d)})",
            lambda: f"({self.text(d)} + {self.text(d)})",
            lambda: f"({self.text(d)} * {self.integer(-1, 3)})",
            lambda: f"({self.text(d)}|{self.random.choice(TEXT_FILTERS)})",
            lambda: f"({self.text(d)}).{self.random.choice(TEXT_METHODS)}",
            lambda: f"({self.text(d)}){self.slice()}",
            lambda: f"({self.any(d)}|{self.pick('string', 'tojson', 'tojson(indent=2)', 'tojson(sort_keys=true)', 'e')})",
            lambda: f"{self.list(d)}|join({self.pick('', repr(', '), repr('-'))})",
            lambda: f"({self.text(d)} if {self.flag(d)} else {self.text(d)})",
            lambda: f"('%s-%5s|%r' % ({self.any(d)}, {self.text(d)}, {self.any(d)}))",
            lambda: f"'{{}}:{{:>6}}'.format({self.any(d)}, {self.text(d)})",
            lambda: f"'{{:{self.pick('', '>9', '+', '08', '<7', ',')}{self.pick('d', 'x', '.2f', 'e', 'g', '')}}}'.format({self.number(d)})",
        )

    def number(self, d):
        if d <= 0:
            return self.pick("n", "neg", "f", "t", "big", lambda: self.integer(-3, 12), lambda: repr(round(self.random.uniform(-9, 9), self.random.randint(0, 4))))
        d -= 1
        return self.pick(
            lambda: f"({self.number(d)} {self.pick('+', '-', '*')} {self.number(d)})",
            lambda: f"({self.number(d)} {self.pick('/', '//', '%')} {self.pick('3', '-4', '2.5', '7')})",
            lambda: f"({self.number(d)} ** {self.pick('2', '3', '0')})",
            lambda: f"({self.pick(lambda: self.text(d), lambda: self.list(d))}|length)",
            lambda: f"({self.text(d)}|{self.pick('int', 'float', 'int(3)', 'length')})",
            lambda: f"({self.number(d)}|{self.pick('abs', 'round', 'round(1)', 'float', 'int', 'round(2, @ceil@)').replace('@', chr(39))})",
            lambda: f"({self.text(d)}).{self.pick('find', 'count', 'rfind')}({self.text(0)})",
            lambda: f"(-{self.number(d)})",
            lambda: f"(range({self.integer(0, 9)})|sum)",
            lambda: f"([{self.number(d)}, {self.number(d)}]|{self.pick('min', 'max', 'sum', 'first')})",
        )

    def list(self, d):
        if d <= 0:
            return self.pick("list", "words", "mixed", "people", "[]", "(1, 2)", "range(4)", "[1, 'a', none]")
        d -= 1
        return self.pick(
            lambda: f"[{self.any(d)}, {self.any(d)}]",
            lambda: f"({self.any(d)}, {self.any(d)})",
            lambda: f"({self.list(d)}|list + {self.list(d)}|list)",
            lambda: f"({self.list(d)}){self.slice()}",
            lambda: f"({self.list(d)}|{self.random.choice(LIST_FILTERS)})",
            lambda: f"({self.text(d)}).{self.pick('split()', 'splitlines()', 'partition(@ @)', 'rsplit(@o@, 1)').replace('@', chr(39))}",
            lambda: f"({self.dict(d)}|{self.pick('list', 'dictsort', 'items|list')})",
            lambda: f"({self.dict(d)}.{self.pick('items', 'keys', 'values')}()|list)",
            lambda: f"(people|{self.pick('map(attribute=@name@)|list', 'selectattr(@age@, @gt@, 26)|list', 'rejectattr(@city@)|list', 'sort(attribute=@age@)', 'unique(attribute=@age@)|list', 'map(attribute=@city.zip@, default=5)|list').replace('@', chr(39))})",
            lambda: f"(words|{self.pick('sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'map(@upper@)|list', 'unique|list').replace('@', chr(39))})",
        )

    def dict(self, d):
        if d <= 0:
            return self.pick("d", "{'a': 1, 'b': [2]}", "people[0]", "{}", "dict(k=5)")
        d -= 1
        return self.pick(
            lambda: f"{{'k': {self.any(d)}, {self.pick('1', 'none', 'n', lambda: self.text(0))}: {self.any(d)}}}",
            lambda: f"dict(z={self.any(d)}, y=1)",
            lambda: f"({self.dict(d)} if {self.flag(d)} else {self.dict(d)})",
        )

    def flag(self, d):
        if d <= 0:
            return self.pick("t", "true", "false", "missing", "n", "s", "nothing", "loop", "x")
        d -= 1
        return self.pick(
            lambda: f"({self.number(d)} {self.pick('<', '<=', '>', '>=', '==', '!=')} {self.number(d)})",
            lambda: f"({self.text(d)} {self.pick('<', '==', '!=', 'in', 'not in')} {self.text(d)})",
            lambda: f"({self.any(d)} {self.pick('==', '!=')} {self.any(d)})",
            lambda: f"({self.any(d)} {self.pick('in', 'not in')} {self.list(d)})",
            lambda: f"({self.any(d)} is {self.pick('', 'not ')}{self.random.choice(TESTS)})",
            lambda: f"(not {self.any(d)})",
            lambda: f"({self.flag(d)} {self.pick('and', 'or')} {self.flag(d)})",
            lambda: f"({self.text(d)}).{self.pick('startswith', 'endswith')}({self.text(0)})",
        )

    def any(self, d):
        extra = lambda: self.pick(
            "x", "y", "missing", "nothing", "ns", "(loop.index if loop is defined)", "(loop.last if loop)", "d.a", "d['items']", "people[1].name", "mixed[5]",
            lambda: f"({self.list(d - 1)}|{self.pick('first', 'last')})", lambda: f"{self.dict(d - 1)}.{self.pick('a', 'k', 'nope')}",
            lambda: f"({self.list(d - 1)})[{self.integer(-2, 2)}]", lambda: f"{self.dict(d - 1)}.get('k', {self.any(d - 1)})",
            lambda: f"({self.any(d - 1)} {self.pick('and', 'or')} {self.any(d - 1)})", lambda: f"{self.any(d - 1)}|default({self.any(d - 1)})")
        if d <= 0:
            return self.pick("x", "missing", "none", "n", "s", "list", "d", "t")
        kind = self.pick("text", "text", "number", "list", "dict", "flag", "extra", "extra")
        return extra() if kind == "extra" else getattr(self, kind)(d)

    def tag(self, text):
        return "{%" + self.pick("", "", "-", "+") + " " + text + " " + self.pick("", "", "-", "+") + "%}"

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.random.randint(1, 4)))

    def statement(self, depth):
        d = self.random.randint(0, 3)
        sub = lambda: self.block(depth - 1)
        printed = lambda: "{{" + self.pick("", "-") + " " + self.any(d) + " " + self.pick("", "-") + "}}"
        space = lambda: self.pick(" ", "\n", "  \n ", "text\n", "\n\n", "{# c #}", "{#- c -#}", "\t{# c +#}\n", "{% raw %} {{ r }}\n{% endraw %}")
        assign = lambda: self.tag(f"set {self.pick('x', 'y', 'n', 's')} = {self.any(d)}")
        if depth <= 0:
            return self.pick(printed, printed, space, assign)
        ends = ["", "", "{{ loop.index }}{{ loop.last }}", "{% break %}", "{% if loop.first %}{% continue %}{% endif %}",
                "{{ loop.nextitem }}{{ loop.previtem }}", "{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{{ loop.length }}"]
        return self.pick(
            printed, printed, space, space, assign, assign,
            lambda: self.tag(f"for {self.pick('x', 'y', 'n')} in {self.list(d)}{self.pick('', '', lambda: ' if ' + self.flag(d))}")
            + sub() + self.pick(*ends) + self.pick("", lambda: self.tag("else") + sub()) + self.tag("endfor"),
            lambda: self.tag(f"for x, y in {self.dict(d)}{self.pick('.items()', '|items', '|dictsort')}") + sub() + self.tag("endfor"),
            lambda: self.tag(f"if {self.flag(d)}") + sub()
            + self.pick("", lambda: self.tag(f"elif {self.flag(d)}") + sub()) + self.pick("", lambda: self.tag("else") + sub()) + self.tag("endif"),
            lambda: self.tag(f"macro m(x, y={self.any(1)})") + sub() + self.pick("", "", "{{ caller is defined }}", "{{ varargs }}{{ kwargs }}")
            + self.tag("endmacro") + self.pick(lambda: "{{ m(" + self.any(d) + ") }}", "{{ m(y=n) }}", lambda: f"{{{{ m({self.any(0)}, {self.any(d)})|upper }}}}"),
            lambda: "{% macro c(k) %}<{{ caller(k) }}>{% endmacro %}{% call(x) c(" + self.any(d) + ") %}" + sub() + "{% endcall %}",
            lambda: self.tag("set x") + sub() + self.tag("endset") + "{{ x }}",
            lambda: self.tag(f"with y = {self.any(d)}, n = {self.number(d)}") + sub() + self.tag("endwith"),
            lambda: self.tag("filter " + self.pick("upper", "trim", "replace('a', 'b')", "indent(2)")) + sub() + self.tag("endfilter"),
            lambda: self.tag("generation") + sub() + self.tag("endgeneration"),
            lambda: "{% set ns = namespace(a=" + self.any(d) + ") %}" + sub() + "{% set ns.a = " + self.any(d) + " %}{{ ns.a }}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renderer", required=True, help="the built tests/render_chat_template")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    args = parser.parse_args()
    renderer = Renderer(args.renderer)
    tally = {"equal": 0, "refused by both": 0, "refused by us": 0, "different": 0}
    for seed in range(args.seed, args.seed + args.count):
        template = RandomTemplate(seed).block(3)
        ours, theirs = renderer.render(template, VARIABLES), outcome(template)
        if "text" in ours and ours == theirs:
            tally["equal"] += 1
        elif "error" in ours and "error" in theirs:
            tally["refused by both"] += 1
        else:
            tally["refused by us" if "error" in ours else "different"] += 1
            print(f"seed {seed}: {template!r}\n  ours   {ours}\n  theirs {theirs}")
    print(tally)
    return 1 if tally["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
