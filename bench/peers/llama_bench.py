"""Speed of llama.cpp on one GGUF file, as JSON lines.

    bench/peers/.venv/bin/python bench/peers/llama_bench.py MODEL.gguf [--threads 2] [--repeats 5]
        [--case prefill:512] [--case decode:128] [--case decode:32@4096] [--case startup]

decode:N@D decodes N tokens one by one, prefill:N@D reads N at once, after D tokens of context. Every case is measured with flash attention off and
on, by turns. One line per case and way:

    {"case": "decode", "tokens": 128, "context": 0, "model": "x.gguf", "threads": 2, "flash_attention": false,
     "cache": "f16", "unit": "tokens/s", "median": 91.2, "low": 88.0, "high": 93.1, "repeats": 5,
     "peer": "llama.cpp", "version": "llama-cpp-python 0.3.36"}

startup: unit seconds, from the start of loading to the first token's logits in a fresh process whose interpreter is
already running, with "peak_rss_bytes" of that process and "base_rss_bytes" before it loaded the model.

With --stdin nothing is repeated: each line {"case", "tokens", "context", "flash_attention"} read from standard input is
measured once and answered by a line {"seconds": s}, so that a caller can measure its own program in between.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from llama_peer import NAME, VERSION, Peer


class Bench:
    """One model with two contexts, without and with flash attention. Deep contexts are not read token by token: the
    state of one stretch of text is put in again and again, since what is measured does not depend on its values."""

    STRETCH = 512

    def __init__(self, options, context):
        self.options, self.peers, self.states, self.filled = options, {}, {}, {}
        self.context = context + self.STRETCH

    def peer(self, flash):
        if flash not in self.peers:
            o = self.options
            shares = next(iter(self.peers.values()), None)
            peer = self.peers[flash] = Peer(o.model, self.context, o.threads, flash, o.cache, o.batch, shares)
            peer.decode([1] * 8, 0, 7)  # first use pays for lazy set-up
            peer.clear()
            self.filled[flash] = 0
        return self.peers[flash]

    def tokens(self, count):
        low, high = 100, self.peers[next(iter(self.peers))].vocab_size - 1000
        return np.random.RandomState(count).randint(low, high, count).tolist()

    def fill(self, flash, depth):
        """Exactly `depth` tokens in the cache, kept from the last call as far as they go."""
        peer = self.peer(flash)
        peer.truncate(min(depth, self.filled[flash]))
        if depth > self.filled[flash]:
            if flash not in self.states:
                self.states[flash] = peer.stretch(self.tokens(self.STRETCH))
                self.filled[flash] = 0
            for position in range(self.filled[flash], depth, self.STRETCH):
                peer.append_stretch(self.states[flash], position)
            peer.truncate(depth)
        self.filled[flash] = depth
        return peer

    def measure(self, case, tokens, context, flash):
        peer = self.fill(flash, context)
        ids = self.tokens(tokens)
        start = time.perf_counter()
        if case == "prefill":
            for begin in range(0, tokens, peer.batch_tokens):
                part = ids[begin : begin + peer.batch_tokens]
                peer.decode(part, context + begin, len(part) - 1)
        else:
            for i, token in enumerate(ids):
                peer.decode([token], context + i, 0)
        return time.perf_counter() - start


def peak_rss_bytes():
    """Of this process alone: getrusage would count what the parent had when it started us."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def measure_startup(options, flash):
    """In this process: call it once, first."""
    base = peak_rss_bytes()
    start = time.perf_counter()
    peer = Peer(options.model, options.startup_context, options.threads, flash, options.cache, options.batch)
    peer.logits([1])
    return {"seconds": time.perf_counter() - start, "peak_rss_bytes": peak_rss_bytes(), "base_rss_bytes": base}


def parse_case(text):
    """prefill:512, decode:128@4096, startup -> (case, tokens, context)"""
    case, _, size = text.partition(":")
    tokens, _, context = size.partition("@")
    if case not in ("prefill", "decode", "startup") or (case != "startup" and not tokens):
        raise argparse.ArgumentTypeError(f"expected prefill:N, decode:N, decode:N@CONTEXT or startup, found {text}")
    return case, int(tokens or 1), int(context or 0)


def report(options, case, tokens, context, flash, values, unit, **more):
    line = {
        "case": case,
        "tokens": tokens,
        "context": context,
        "model": os.path.basename(options.model),
        "threads": options.threads,
        "flash_attention": flash,
        "cache": options.cache,
        "unit": unit,
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "repeats": len(values),
        "peer": NAME,
        "version": VERSION,
    }
    print(json.dumps({**line, **more}), flush=True)


def run_startup(options):
    results = {False: [], True: []}
    command = [sys.executable, __file__, options.model, "--threads", str(options.threads), "--cache", options.cache]
    for _ in range(options.repeats):
        for flash in results:
            line = subprocess.run(command + ["--startup-once", str(int(flash))], stdout=subprocess.PIPE, check=True)
            results[flash].append(json.loads(line.stdout))
    for flash, runs in results.items():
        rss = {key: max(run[key] for run in runs) for key in ("peak_rss_bytes", "base_rss_bytes")}
        report(options, "startup", 1, 0, flash, [run["seconds"] for run in runs], "seconds", **rss)


def run_cases(options):
    context = max(tokens + depth for _, tokens, depth in options.case)
    bench = Bench(options, context)
    for case, tokens, depth in options.case:
        if case == "startup":
            run_startup(options)
            continue
        speeds = {False: [], True: []}
        for _ in range(options.repeats):
            for flash, values in speeds.items():
                values.append(tokens / bench.measure(case, tokens, depth, flash))
        for flash, values in speeds.items():
            report(options, case, tokens, depth, flash, values, "tokens/s")


def run_stdin(options):
    bench = Bench(options, options.context)
    for line in sys.stdin:
        request = json.loads(line)
        depth, flash = request.get("context", 0), request.get("flash_attention", False)
        print(json.dumps({"seconds": bench.measure(request["case"], request["tokens"], depth, flash)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description="speed of llama.cpp on one GGUF file")
    parser.add_argument("model")
    parser.add_argument("--case", type=parse_case, action="append", help="see above; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", default="f16", help="type of both caches: f32, f16, bf16, q8")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--stdin", action="store_true", help="measure what standard input asks for")
    parser.add_argument("--context", type=int, default=4096, help="with --stdin: most tokens of context")
    parser.add_argument("--startup-context", type=int, default=2048, help="tokens of cache that startup allocates")
    parser.add_argument("--startup-once", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.case = options.case or [("prefill", 512, 0), ("decode", 128, 0), ("startup", 1, 0)]
    if options.startup_once is not None:
        print(json.dumps(measure_startup(options, bool(options.startup_once))))
    elif options.stdin:
        run_stdin(options)
    else:
        run_cases(options)


if __name__ == "__main__":
    main()
