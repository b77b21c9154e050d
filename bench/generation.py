"""Rows that `sigma generate` is asked for: start-up and memory beside llama.cpp, speculation beside plain decoding, and
whether a text's bits depend on how it is computed."""
import json
import os
import pathlib
import tempfile
import time

import plan
from children import PEER_PYTHON, PEERS, Failed, model_file, peer_version, run, run_json
from lines import line_of, spread

MOST_SECONDS = 0.15
SMALL = [name for name in plan.MODELS if name.startswith("SmolLM2") and not name.endswith("f32")]
PAGE_TOKENS = 256
SPARE_BYTES = 150e6  # what a run may take beyond file and cache


EXACT = [plan.SHIPPED, "SmolLM2-135M q8_0", "SmolLM2-135M bf16", "sigma-1.5b q4_0"]

# --- Start-up and memory ---


def start(sigma, path):
    """(seconds from process start to its end after one token, most resident bytes)"""
    begin = time.perf_counter()
    answer = run_json([sigma, "generate", "-m", path, "--tokens", "1", "-n", "1"])
    return time.perf_counter() - begin, answer["peak_rss_bytes"]


def start_llama(path, threads, flash):
    """Of an interpreter that already runs: from the start of loading to the first token's logits, and what that added."""
    command = [PEER_PYTHON, PEERS / "llama_bench.py", path, "--threads", threads, "--startup-once", int(flash)]
    answer = json.loads(run(command))
    return answer["seconds"], answer["peak_rss_bytes"] - answer["base_rss_bytes"]


def startup(model, options):
    """Two lines: the page cache is warm, the tokenizer is loaded (llama.cpp's too)."""
    path = model_file(options.sigma, model)
    start(options.sigma, path)
    own, other = [], {False: [], True: []}
    for _ in range(options.repeats):
        own.append(start(options.sigma, path))
        for flash, found in other.items() if options.peer else ():
            found.append(start_llama(path, options.threads, flash))
    for i, (case, unit) in enumerate((("startup", "s"), ("memory", "bytes"))):
        ours, peer, ratio = spread([run[i] for run in own]), None, None
        if options.peer:
            flash, theirs = min(
                ((flash, spread([run[i] for run in runs])) for flash, runs in other.items()),
                key=lambda way: way[1]["median"],
            )
            peer = ("llama.cpp", peer_version(flash), theirs)
            ratio = theirs["median"] / ours["median"]
        yield line_of(case, model, options.threads, unit, ours, peer, ratio)


def most_bytes(model, options):
    """What the memory row aims at: the file, one page of cache and some."""
    path = model_file(options.sigma, model)
    per_token = run_json([options.sigma, "inspect", path])["cache_bytes_per_token"]["total"]
    return os.path.getsize(path) + PAGE_TOKENS * per_token + SPARE_BYTES


# --- Speculation ---

# A text of ~1,300 tokens that every Debian has. The prompt holds it, and the first lines of it again; the answer goes on
# with the copy, but must not say "Package", so that it edits as it goes.
TEXT = pathlib.Path("/usr/share/common-licenses/Artistic")
FIRST_LINES = 12
FORBIDDEN = " Package"
SPECULATION = "speculation: 1.3k tokens repeated with edits"


def tokens_of(sigma, path, text):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        return run_json([sigma, "tokenize", "-m", path, "-f", file.name])["tokens"]


def speculation(options):
    path = model_file(options.sigma, plan.SHIPPED)
    text = TEXT.read_text()
    first = "".join(text.splitlines(keepends=True)[:FIRST_LINES])
    prompt = tokens_of(options.sigma, path, f"A file:\n\n```\n{text}```\n\nThe file again, edited:\n\n```\n{first}")
    forbidden = tokens_of(options.sigma, path, FORBIDDEN)[-1]
    length = len(tokens_of(options.sigma, path, text[len(first) :]))
    command = [options.sigma, "generate", "-m", path, "--threads", options.threads, "-n", length, "--temperature", 0]
    command += ["--tokens", ",".join(map(str, prompt)), "--logit-bias", f"{forbidden}=-100", "--ignore-eos"]
    speeds, answers = {"": [], "--no-speculation": []}, []
    for _ in range(3):  # runs of seconds
        for way, found in speeds.items():
            answer = run_json([*command, *filter(None, [way])])
            found.append(answer["decode"]["tokens"] / answer["decode"]["seconds"])
            answers.append([answer["completions"][0][what] for what in ("tokens", "logprobs")])
    if any(answer != answers[0] for answer in answers):
        raise Failed("speculation changed the answer")
    ours, plain = (spread(found) for found in speeds.values())
    ratio = spread([a / b for a, b in zip(*speeds.values())])["median"]
    line = line_of(SPECULATION, plan.SHIPPED, options.threads, "tokens/s", ours, ("plain decode", "ours", plain), ratio)
    yield {**line, "context": len(prompt)}


# --- Exactness ---

EXACTNESS = "exactness: alone, in a batch, pages, chunks, threads"
LENGTH = 48


def exactness(model, options):
    """In how many of the ways to compute it an answer or one of its log-probabilities differs in any bit."""
    path = model_file(options.sigma, model)
    if model.startswith("SmolLM2"):
        prompt = tokens_of(options.sigma, path, TEXT.read_text())[:700]
    else:
        prompt = [1 + 61 * i % 40000 for i in range(700)]
    base = [options.sigma, "generate", "-m", path, "-n", LENGTH, "--temperature", 0, "--ignore-eos"]

    def answers(tokens, *more):
        found = run_json([*base, "--tokens", ",".join(map(str, tokens)), *more])["completions"]
        return [list(zip(answer["tokens"], answer["logprobs"])) for answer in found]

    (plain,) = answers(prompt)
    said = [token for token, _ in plain]
    half = LENGTH // 2
    ways = [
        answers(prompt, "--threads", 1),
        answers(prompt, "--page-tokens", 16),
        answers(prompt, "--page-tokens", 100),
        answers(prompt, "--no-speculation"),
        answers(prompt, "--completions", 8),
        # Half of the answer read as part of the prompt instead of decoded: other chunks, other numbers of rows.
        [plain[:half] + answers(prompt + said[:half])[0][: LENGTH - half]],
    ]
    differences = sum(any(answer != plain for answer in found) for found in ways)
    yield line_of(EXACTNESS, model, options.threads, "differences", spread([differences]))
