#!/usr/bin/env python3
"""Compares our rendering of chat templates with Python's, over a matrix of conversations.

    tools/check_chat_templates.py --renderer build/tests/render_chat_template TEMPLATE...

TEMPLATE is a .jinja file, a tokenizer_config.json (or .json.gz) or a .gguf file. The reference is transformers'
render_jinja_template on the jinja2 that is installed (pip install transformers jinja2; gguf for .gguf files).
A template passes when every rendering is byte-equal, or fails on both sides. Exit status 1 when any does not.
"""
import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather \u2014 \"now\", in <city> & around it.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name, e.g. Z\u00fcrich"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14},
                    "detail": {"type": "object", "properties": {"wind": {"type": "boolean"}}, "required": []},
                    "tags": {"type": "array", "items": {"type": ["string", "null"]}},
                },
                "required": ["city"],
            },
            "return": {"type": "number", "description": "degrees"},
        },
    },
    {
        "type": "function",
        "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
    },
]
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {
        "name": "get_weather",
        "arguments": {"city": "Z\u00fcrich \u5317\u4eac", "days": 3, "exact": 1.5, "deep": {"a": [1, None, True, "x\"y"]}},
    },
}
STRING_CALL = {"id": "call00002", "type": "function", "function": {"name": "now", "arguments": "{\"zone\": \"UTC\"}"}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CONVERSATIONS = {
    "one question": [user("What does df -h show?")],
    "system and question": [{"role": "system", "content": "You are helpful."}, user("Hi there")],
    "several turns": [user("Hello"), assistant("Hi! How can I help?"), user(" And now? "), assistant("Done.\n"), user("Bye")],
    "ends with the assistant": [user("Say A"), assistant("A")],
    "system, several turns": [{"role": "system", "content": " Be brief.\n"}, user("One"), assistant("Two"), user("Three")],
    "developer role": [{"role": "developer", "content": "Use SI units."}, user("How far?")],
    "unicode": [user("\u00c7a va? \u4f60\u597d \U0001f600 e\u0301 \u00df \u03a3\u0391\u03a3 \u200d\u00a0"), assistant("\u00dcber \u0645\u0631\u062d\u0628\u0627"), user("\u2028 end\u3000")],
    "quotes and newlines": [user("a 'b' \"c\" \\d\\n\n\n\te {{ x }} {% y %} </s> <|im_end|>"), assistant("`it's`\r\nok"), user("x\n")],
    "empty content": [{"role": "system", "content": ""}, user(""), assistant(""), user("again")],
    "thinking": [user("2+2?"), assistant("<think>\nadd them\n</think>\n\n4"), user("and 3+3?")],
    "reasoning field": [user("2+2?"), assistant("4", reasoning_content="add them"), user("and 3+3?"), assistant("6", reasoning_content="again\n")],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}]}],
    "image part": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe."}]}],
    "tool call": [
        user("Weather?"),
        assistant("", tool_calls=[CALL]),
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "21 \u00b0C"},
        assistant("It is 21 \u00b0C."),
        user("Thanks"),
    ],
    "tool call without content": [
        {"role": "system", "content": "Use tools."},
        user("Weather?"),
        {"role": "assistant", "content": None, "tool_calls": [CALL, STRING_CALL]},
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"degrees\": 21}"},
        {"role": "tool", "name": "now", "tool_call_id": "call00002", "content": "12:00"},
    ],
    "tool call, no content key": [user("Weather?"), {"role": "assistant", "tool_calls": [CALL]}],
    "tool content as parts": [
        user("Weather?"),
        assistant("Let me see.", tool_calls=[CALL]),
        {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": [{"type": "text", "text": "21"}]},
    ],
    "two users in a row": [user("a"), user("b")],
    "assistant first": [assistant("Welcome"), user("hi")],
    "unknown role": [{"role": "critic", "content": "no"}, user("x")],
    "no messages": [],
}
EXTRAS = {
    "plain": {},
    "tools": {"tools": TOOLS},
    "thinking off": {"enable_thinking": False},
    "thinking on, tools": {"enable_thinking": True, "tools": TOOLS},
    "documents": {"documents": [{"title": "T\u00e9st", "text": "Some text\nmore"}, {"title": "B", "text": "c"}]},
}


def read_template(path):
    if path.suffix == ".gguf":
        import gguf

        field = gguf.GGUFReader(str(path)).get_field("tokenizer.chat_template")
        return bytes(field.parts[field.data[0]]).decode("utf-8")
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if ".json" in path.suffixes:
        template = json.loads(data)["chat_template"]
        return template if isinstance(template, str) else template[0]["template"]
    return data.decode("utf-8")


def requests():
    for name, messages in CONVERSATIONS.items():
        for extra, values in EXTRAS.items():
            for prompt in (False, True):
                yield f"{name} / {extra} / prompt {prompt}", {
                    "messages": messages,
                    "add_generation_prompt": prompt,
                    "bos_token": "<s>",
                    "eos_token": "</s>",
                    "pad_token": "<pad>",
                    "unk_token": "<unk>",
                    **values,
                }


def reference(template, variables):
    from transformers.utils.chat_template_utils import render_jinja_template

    values = json.loads(json.dumps(variables))
    try:
        rendered, _ = render_jinja_template(
            conversations=[values.pop("messages")],
            tools=values.pop("tools", None),
            documents=values.pop("documents", None),
            chat_template=template,
            **values,
        )
        return {"text": rendered[0]}
    except Exception as error:  # jinja2 and the template's own Python errors alike
        return {"error": f"{type(error).__name__}: {error}"}


class Renderer:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def render(self, template, variables):
        self.process.stdin.write(json.dumps({"template": template, "variables": variables}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def check(renderer, path, verbose):
    template = read_template(path)
    equal = refused = 0
    wrong = []
    for name, variables in requests():
        ours, theirs = renderer.render(template, variables), reference(template, variables)
        if "text" in ours and ours == theirs:
            equal += 1
        elif "error" in ours and "error" in theirs:
            refused += 1
        else:
            wrong.append((name, ours, theirs))
    print(f"{'ok  ' if not wrong else 'FAIL'} {path.name}: {equal} equal, {refused} refused by both, {len(wrong)} different")
    for name, ours, theirs in wrong[: None if verbose else 1]:
        print(f"     {name}\n       ours   {ours}\n       theirs {theirs}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renderer", required=True, help="the built tests/render_chat_template")
    parser.add_argument("--verbose", action="store_true", help="print every difference, not the first of each template")
    parser.add_argument("templates", nargs="+", type=Path)
    args = parser.parse_args()
    renderer = Renderer(args.renderer)
    passed = [check(renderer, path, args.verbose) for path in args.templates]
    print(f"{sum(passed)} of {len(passed)} templates pass, {len(list(requests()))} renderings each")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
