#!/usr/bin/env python3
"""Our speed beside llama.cpp's, measured by turns in one run, with the share of this machine's limits.

    bench/run.py [--sigma build/release/apps/sigma] [--quick] [--filter TEXT] [--repeats 5] [--no-peer] [--docs]

Models: SmolLM2-135M-Instruct as shipped (Q4_1), as Q8_0 and as BF16, and with --large the 1.5B shapes of configs/ with
random weights. Every case is measured --repeats times: memory read, ours, the peer without and with flash attention (the
better counts). One JSON line a case (docs/schemas/bench.json) goes to build/bench.jsonl; a table goes to the terminal and,
with --docs, to docs/benchmarks.md between its markers.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
CACHE = pathlib.Path(os.environ.get("SIGMA_CACHE") or pathlib.Path.home() / ".cache" / "sigma") / "bench"

SMALL_CASES = ["prefill:512", "decode:128", "decode:32@4096"]
LARGE_CASES = ["prefill:512", "decode:16", "decode:8@4096", "decode:4@16384"]
# name, source, --type, cases, whether llama.cpp can run it
SMALL = [
    ("SmolLM2-135M q4_1", "smollm2", None, SMALL_CASES, True),
    ("SmolLM2-135M q8_0", "smollm2", "q8", SMALL_CASES, True),
    ("SmolLM2-135M bf16", "smollm2", "bf16", SMALL_CASES, True),
]
LARGE = [
    ("std-1.5b q8_0", "configs/std-1.5b.json", "q8", LARGE_CASES, True),
    ("std-1.5b q4_0", "configs/std-1.5b.json", "q4", LARGE_CASES, True),
    ("sigma-1.5b q8_0", "configs/sigma-1.5b.json", "q8", LARGE_CASES, False),
    ("sigma-1.5b q4_0", "configs/sigma-1.5b.json", "q4", LARGE_CASES, False),
]


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


class Coroutine:
    """A child that answers each line with a line of JSON."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise SystemExit(f"bench: {self.child.args[0]} ended while measuring {line}")
        return json.loads(answer)

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def model_file(sigma, name, source, kind):
    """The path of a model, made on first use."""
    if kind is None:
        subprocess.run([sigma, "pull", source], check=True, stdout=subprocess.DEVNULL)
        listed = subprocess.run([sigma, "list", "--json"], check=True, stdout=subprocess.PIPE)
        return next(m["path"] for m in json.loads(listed.stdout) if m["name"] == source)
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / (name.replace(" ", "-") + ".gguf")
    if not path.exists():
        verb = ["new", str(ROOT / source)] if source.endswith(".json") else ["convert", source]
        subprocess.run([sigma, *verb, str(path), "--type", kind], check=True)
    return str(path)


def parse(case):
    kind, _, size = case.partition(":")
    tokens, _, context = size.partition("@")
    return kind, int(tokens), int(context or 0)


def measure(case, ours, peer, repeats, threads):
    kind, tokens, context = parse(case)
    ours.ask(case)  # warm
    own, reads, theirs, last = [], [], {False: [], True: []}, {}
    for _ in range(repeats):
        reads.append(ours.ask("read")["bytes_per_second"])
        last = ours.ask(case)
        own.append(tokens / last["seconds"])
        for flash in theirs if peer else []:
            request = {"case": kind, "tokens": tokens, "context": context, "flash_attention": flash}
            theirs[flash].append(tokens / peer.ask(json.dumps(request))["seconds"])
    line = {"case": case, "context": context, "batch": 1, "threads": threads, "unit": "tokens/s", "ours": spread(own)}
    line.update(peer=None, ratio=None, bytes=last["bytes"], flops=last["operations"])
    if peer:
        best = max(theirs, key=lambda flash: statistics.median(theirs[flash]))
        line["peer"] = {"name": "llama.cpp", "flash_attention": best, **spread(theirs[best])}
        line["ratio"] = line["ours"]["median"] / line["peer"]["median"]
    return line, max(reads)


def add_share(line, read, peaks, weights):
    seconds = parse(line["case"])[1] / line["ours"]["median"]
    if parse(line["case"])[0] == "decode":
        line["limit"], work = {"kind": "read", "value": read}, line["bytes"]
    else:
        kind = "bf16" if weights == "bf16" else "int8"
        line["limit"], work = {"kind": kind, "value": peaks[kind]}, line["flops"]
    line["share"] = work / seconds / line["limit"]["value"] if line["limit"]["value"] else None
    # The best single run must not beat the limit either: then the limit was not one.
    if line["share"] and line["share"] > 1:
        raise SystemExit(f"bench: {line['case']} reached {line['share']:.0%} of {line['limit']['kind']}: the limit is wrong")


def startup(sigma, path, repeats, with_peer):
    """Process start to first token, page cache warm; and the memory that takes."""
    seconds, rss = [], 0
    command = [sigma, "generate", "-m", path, "--tokens", "1", "-n", "1", "--json"]
    for _ in range(repeats + 1):
        start = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        seconds.append(time.perf_counter() - start)
        rss = max(rss, json.loads(done.stdout)["peak_rss_bytes"])
    line = {"case": "startup", "context": 0, "batch": 1, "unit": "s", "ours": spread(seconds[1:]), "peak_rss_bytes": rss}
    line.update(peer=None, ratio=None, bytes=None, flops=None, limit=None, share=None)
    if with_peer:
        run = [str(PEERS / ".venv/bin/python"), str(PEERS / "llama_bench.py"), path, "--case", "startup", "--repeats", str(repeats)]
        out = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
        best = min(map(json.loads, out.splitlines()), key=lambda l: l["median"])
        line["peer"] = {"name": "llama.cpp", **{key: best[key] for key in ("median", "low", "high", "flash_attention")}}
        line["peer"]["peak_rss_bytes"] = best["peak_rss_bytes"] - best["base_rss_bytes"]
        line["ratio"] = line["peer"]["median"] / line["ours"]["median"]
    return line


def row(line):
    own, peer = line["ours"], line["peer"]
    def shown(value):
        return f"{value:.3f} s" if line["unit"] == "s" else f"{value:,.1f}"
    cells = [line["model"], line["case"], f"{shown(own['median'])} ({shown(own['low'])} - {shown(own['high'])})"]
    cells.append(f"{shown(peer['median'])} ({shown(peer['low'])} - {shown(peer['high'])})" if peer else "-")
    cells.append(f"{line['ratio']:.2f} x" if line["ratio"] else "-")
    if line["share"] is not None:
        cells.append(f"{line['share']:.0%} of {line['limit']['kind']} {line['limit']['value'] / 1e9:,.0f} G/s")
    elif "peak_rss_bytes" in line:
        theirs = f", llama.cpp {peer['peak_rss_bytes'] / 2**20:.0f}" if peer else ""
        cells.append(f"{line['peak_rss_bytes'] / 2**20:.0f} MiB resident{theirs}")
    else:
        cells.append("-")
    return cells


def table(lines):
    rows = [["model", "case", "ours (low - high)", "llama.cpp (low - high)", "ratio", "share of the limit"]] + [row(l) for l in lines]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    family = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith(("cpu family", "model\t"))][:2]
    return f"{model} (family {' model '.join(family)}), {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def command():
    """As it was given, but for where this checkout's binary lay."""
    words = sys.argv[1:]
    if "--sigma" in words:
        at = words.index("--sigma")
        words = words[:at] + words[at + 2 :]
    return " ".join(["bench/run.py", *words])


def write_docs(lines, versions):
    path = ROOT / "docs" / "benchmarks.md"
    text = path.read_text()
    begin, end = "<!-- results -->", "<!-- end of results -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    body = f"\nMachine: {machine()}. Measured {time.strftime('%Y-%m-%d')}. {versions}\n\nCommand: `{command()}`\n\n{table(lines)}\n"
    partial = path.with_suffix(".partial")
    partial.write_text(head + begin + body + end + tail)
    partial.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sigma", default=str(ROOT / "build/release/apps/sigma"))
    parser.add_argument("--quick", action="store_true", help="the shipped model only")
    parser.add_argument("--large", action="store_true", help="the 1.5B shapes too (minutes to make, gigabytes of disk)")
    parser.add_argument("--filter", default="", help="only models whose name holds this")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    suites = [s for s in (SMALL[:1] if options.quick else SMALL) + (LARGE if options.large else []) if options.filter in s[0]]
    lines = []
    for name, source, kind, cases, comparable in suites:
        path = model_file(options.sigma, name, source, kind)
        most = max(tokens + context for _, tokens, context in map(parse, cases))
        own_command = [options.sigma, "bench", "model", "-m", path, "--stdin"] + [w for c in cases for w in ("--case", c)]
        ours = Coroutine(own_command)
        peer = None
        if comparable and not options.no_peer:
            peer = Coroutine([str(PEERS / ".venv/bin/python"), str(PEERS / "llama_bench.py"), path, "--stdin",
                              "--context", str(most), "--threads", str(threads)])
        fresh, reads = [], []
        for case in cases:
            print(f"{name}, {case} ...", file=sys.stderr)
            line, read = measure(case, ours, peer, options.repeats, threads)
            fresh.append({"model": name, "weights": name.split()[-1], "k_cache": "bf16", "v_cache": "bf16", **line})
            reads.append(read)
        peaks = ours.ask("peaks")
        for line in fresh:
            add_share(line, max(reads), peaks, line["weights"])
        for child in filter(None, (ours, peer)):
            child.close()
        if source == "smollm2":
            fresh.append({"model": name, "weights": name.split()[-1], "threads": threads, **startup(options.sigma, path, options.repeats, peer is not None)})
        lines += fresh
    out = ROOT / "build" / "bench.jsonl"
    out.parent.mkdir(exist_ok=True)
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(table(lines))
    if options.docs:
        versions = "" if options.no_peer else "Peer: " + (PEERS / "requirements.txt").read_text().split("\n")[0] + ", built with native flags, its cache in f16."
        write_docs(lines, versions)


if __name__ == "__main__":
    main()
