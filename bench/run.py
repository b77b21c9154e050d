#!/usr/bin/env python3
"""This project's figures, measured by turns with llama.cpp's (or our own plain variant's) in one run, each with its
share of what this machine can do.

    bench/run.py [--quick] [--filter TEXT] [--resume] [--docs] [--repeats 5] [--no-peer] [--torch PYTHON] [--sigma build/release/apps/sigma]

One JSON line a row (docs/schemas/bench.json) goes to build/bench.jsonl as soon as it is there, tables to the terminal
and, with --docs, to docs/benchmarks.md. --resume goes on where a run was interrupted; with --filter too, it measures the
named rows again. --quick and --filter alone leave the whole run's results alone: build/bench-part.jsonl.

A row that cannot be measured, or beats the limit that was measured beside it, says so on standard error, and the others
go on; the exit status is then 1.
"""
import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Callable

import corpus_dumps
import corpus_rows
import generation
import plan
import quality
import report
import speed
import tokenizer_rows
import training_rows
from children import ROOT, Failed, run
from lines import check, key_of_line, names_of


KERNELS = (None, None, None, None, "all other kernels", None)  # stands for the keys of all of them


@dataclass
class Entry:
    """A row of the results: where it stands, and what it aims at."""

    section: str
    key: tuple
    share: float = None
    ratio: float = None
    less: float = None  # time than the peer
    most: float = None  # of ours
    least: float = None  # of ours

    def name(self):
        model, weights, k_cache, v_cache, case, peer = self.key
        caches = "" if k_cache in (None, "bf16") else f"K {k_cache} V {v_cache}"
        return " ".join(filter(None, (self.section and f"{self.section}:", model, weights, caches, case, peer and f"beside {peer}")))


@dataclass
class Job:
    """Rows that are measured together. run(wanted keys) yields lines, or (key, Failed)."""

    entries: list
    run: Callable
    quick: bool = False


def of_model(model, case, peer=None, caches=("bf16", "bf16")):
    return (*names_of(model).values(), *caches, case, peer)


def group_job(rows, options):
    entries = [Entry(row.section, speed.key_of(row, options), row.share, row.ratio) for row in rows]

    def measure(wanted):
        chosen = [row for row in rows if speed.key_of(row, options) in wanted]
        for row, found in speed.run_group(chosen, options):
            yield (speed.key_of(row, options), found) if isinstance(found, Failed) else found

    return Job(entries, measure, quick=rows[0].ours.model == plan.SHIPPED)


def attention_job(options):
    first = next(iter(plan.ATTENTION))
    entries = []
    for case, (caches, share, less) in plan.ATTENTION.items():
        key = (None, None, *caches, case, None if case == first else first)
        entries.append(Entry("attention", key, share, less=less))

    def measure(_):
        yield from kernel_lines(options, "attention", 5 * options.repeats)

    return Job(entries, measure, quick=True)


def kernel_lines(options, text, repeats):
    command = [options.sigma, "bench", "kernels", "--json", "--filter", text, "--repeats", repeats]
    for line in run([*command, "--threads", options.threads]).splitlines():
        yield json.loads(line)


def kernels_job(options):
    """Their names are known to `sigma bench kernels` alone: one row stands for all until they are there."""

    def measure(_):
        for kernel in ("matmul", "rms_norm", "rope", "swiglu", "pack", "fork-join"):
            yield from kernel_lines(options, kernel, options.repeats)

    return Job([Entry("kernels", KERNELS)], measure)


def generation_jobs(options):
    peer = "llama.cpp" if options.peer else None
    for model in generation.SMALL:
        entries = [
            Entry("generation", of_model(model, "startup", peer), most=generation.MOST_SECONDS),
            Entry("generation", of_model(model, "memory", peer), most=lambda model=model: generation.most_bytes(model, options)),
        ]
        yield Job(entries, lambda _, model=model: generation.startup(model, options), quick=model == plan.SHIPPED)
    key = of_model(plan.SHIPPED, generation.SPECULATION, "plain decode")
    yield Job([Entry("generation", key, ratio=2)], lambda _: generation.speculation(options), quick=True)
    for model in generation.EXACT:
        entries = [Entry("exactness", of_model(model, generation.EXACTNESS), most=0)]
        yield Job(entries, lambda _, model=model: generation.exactness(model, options), quick=model == plan.SHIPPED)


def break_even_job(weights, options, lines):
    key = of_model(f"sigma-1.5b {weights}", speed.BREAK_EVEN, "computed from bytes")

    def measure(_):
        line = speed.break_even(weights, lines)
        yield line or (key, Failed("needs the rows of both models"))

    return Job([Entry("sigma", key)], measure)


def quality_job(options):
    entries = [
        Entry("quality", of_model(model, case, quality.PEER, (cache, cache)), most=most)
        for case, (model, cache, _, most) in quality.VARIANTS.items()
    ]
    return Job(entries, lambda wanted: quality.quality([c for c in quality.VARIANTS if any(c in k for k in wanted)], options))


def tokenizer_jobs(options):
    peer = tokenizer_rows.PEER if options.peer else None
    entries = []
    for kind in tokenizer_rows.TEXTS:
        case = of_model(plan.SHIPPED, tokenizer_rows.encode_case(kind), peer)
        entries.append(Entry("tokenizers", case, least=tokenizer_rows.LEAST_SPEED))
        if options.peer:
            entries.append(Entry("tokenizers", of_model(plan.SHIPPED, tokenizer_rows.differ_case(kind)), most=0))
    yield Job(entries, lambda _: tokenizer_rows.encoding(options), quick=True)
    entry = Entry("tokenizers", of_model(tokenizer_rows.TRAINED, tokenizer_rows.TRAINING, peer), ratio=1)
    yield Job([entry], lambda _: tokenizer_rows.training(options))


def training_jobs(options):
    peer = training_rows.PEER if options.peer else None
    for name in training_rows.ROUNDS:
        for context in training_rows.CONTEXTS:
            speed_key = of_model(f"{name} bf16", training_rows.speed_case(context), peer)
            memory_key = of_model(f"{name} bf16", training_rows.memory_case(context), peer)
            entries = [
                Entry("training", speed_key, share=training_rows.LEAST_SHARE, ratio=training_rows.LEAST_SPEED),
                Entry("training", memory_key, ratio=training_rows.LEAST_SAVING),
            ]
            yield Job(entries, lambda _, name=name, context=context: training_rows.steps(name, context, options))
    tune = of_model(plan.SHIPPED, training_rows.TUNE, peer)
    yield Job([Entry("training", tune, ratio=training_rows.LEAST_SPEED)], lambda _: training_rows.tuning(options))


def corpus_jobs(options):
    def key(model, case, peer=None):
        return of_model(model, case, peer, (None, None))

    model = corpus_rows.model_of(options)
    entries = [
        Entry("corpus", key(model, corpus_rows.BUILD), least=10),
        Entry("corpus", key(model, corpus_rows.PAGES)),
        *(Entry("corpus", key(model, corpus_rows.rule_case(rule)), least=least) for rule, least in corpus_rows.RULES.items()),
        Entry("corpus", key(model, corpus_rows.DUPLICATES, corpus_rows.PEER if options.peer else None), ratio=5),
    ]
    yield Job(entries, lambda _: corpus_rows.building(options), quick=True)
    entry = Entry("corpus", key("generated documents", corpus_rows.MEMORY), most=corpus_rows.MOST_MEMORY)
    yield Job([entry], lambda _: corpus_rows.memory(options))
    entries = [
        Entry("corpus", key(f"{kind} dump", corpus_rows.dump_case(kind)), most=corpus_rows.DUMP_MEMORY)
        for kind in corpus_dumps.KINDS
    ]
    yield Job(entries, lambda wanted: corpus_rows.dumps(options, wanted))


def jobs_of(options, lines):
    """In the order in which they are measured."""
    yield attention_job(options)
    small = [rows for rows in plan.GROUPS if rows[0].ours.model in generation.SMALL]
    for rows in small:
        yield group_job(rows, options)
    yield from generation_jobs(options)
    yield from tokenizer_jobs(options)
    yield from training_jobs(options)
    yield from corpus_jobs(options)
    for rows in plan.GROUPS:
        if rows not in small:
            yield group_job(rows, options)
    for weights in ("q8_0", "q4_0"):
        yield break_even_job(weights, options, lines)
    yield quality_job(options)
    yield kernels_job(options)


class Results:
    """The lines so far, by key; each new one is on disk at once."""

    def __init__(self, path, keep):
        self.path, self.lines, self.failures, self.begin = path, {}, [], time.monotonic()
        if keep and path.exists():
            found = [json.loads(line) for line in path.read_text().splitlines()]
            self.lines = {key_of_line(line): line for line in found}

    def add(self, line):
        check(line)
        if line["share"] is not None and line["share"] > 1:
            limit = line["limit"]
            raise Failed(f"reached {line['share']:.0%} of {limit['kind']} {limit['value'] / 1e9:.0f} G/s: not a limit")
        key = key_of_line(line)
        self.lines[key] = line
        told = report.with_spread(line["ours"], line["unit"])
        print(f"{time.monotonic() - self.begin:6.0f} s  {Entry('', key).name()}: {told}", file=sys.stderr)
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in self.lines.values()))
        partial.rename(self.path)

    def measured(self):
        kernels = any(key[0] is None and not key[4].startswith("attention") for key in self.lines)
        return set(self.lines) | ({KERNELS} if kernels else set())

    def fail(self, name, why):
        self.failures.append(name)
        print(f"bench: {name}: {why}", file=sys.stderr)


def perform(job, wanted, results, names):
    """Measures the rows whose keys are wanted. A row that fails does not stop the others."""
    missing = set(wanted)
    try:
        for found in job.run(missing.copy()):
            key = found[0] if isinstance(found, tuple) else key_of_line(found)
            missing -= {key, KERNELS}
            try:
                if isinstance(found, tuple):
                    raise found[1]
                if key in wanted or KERNELS in wanted:
                    results.add(found)
            except Failed as why:
                results.fail(names.get(key, found["case"] if isinstance(found, dict) else str(key)), why)
    except (Failed, OSError) as why:
        for key in missing:
            results.fail(names[key], why)
        return
    for key in missing:
        results.fail(names[key], "not measured")


def entries_for(jobs, lines):
    """By key, in order; aims that depend on what was measured are filled in, kernels found in the results added."""
    entries = {entry.key: entry for job in jobs for entry in job.entries}
    for rows in plan.GROUPS:
        for row in rows:
            if row.ratio == "bytes":
                entries[speed.key_of(row)].ratio = speed.bytes_ratio(row, lines)
    for key in lines:
        entry = entries.setdefault(key, Entry("kernels", key))
        entry.most = entry.most() if callable(entry.most) else entry.most
    return entries


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sigma", default=str(ROOT / "build/release/apps/sigma"))
    parser.add_argument("--quick", action="store_true", help="the shipped model, attention and exactness: minutes")
    parser.add_argument("--filter", default="", help="only rows whose name (as it is told while they run) holds this")
    parser.add_argument("--resume", action="store_true", help="only what build/bench.jsonl lacks, or what --filter names")
    parser.add_argument("--repeats", type=int, help="rounds of each row: 5, with --quick 3")
    parser.add_argument("--no-peer", dest="peer", action="store_false")
    parser.add_argument("--torch", metavar="PYTHON", help="one that has PyTorch, instead of bench/peers/.venv-torch")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md, when the whole run is there")
    options = parser.parse_args()
    options.repeats = options.repeats or (3 if options.quick else 5)
    options.threads = len(os.sched_getaffinity(0))
    return options


def command():
    """As it was given, but for where this checkout's binary lay."""
    words = sys.argv[1:]
    if "--sigma" in words:
        at = words.index("--sigma")
        words = words[:at] + words[at + 2 :]
    return " ".join(["bench/run.py", *words])


def main():
    options = parse_options()
    whole = options.resume or not (options.quick or options.filter)
    path = ROOT / "build" / ("bench.jsonl" if whole else "bench-part.jsonl")
    path.parent.mkdir(exist_ok=True)
    results = Results(path, keep=options.resume)
    jobs = list(jobs_of(options, results.lines))
    names = {entry.key: entry.name() for job in jobs for entry in job.entries}
    for job in jobs:
        if options.quick and not job.quick:
            continue
        wanted = {key for key in (entry.key for entry in job.entries) if options.filter in names[key]}
        if options.resume and not options.filter:
            wanted -= results.measured()
        if wanted:
            perform(job, wanted, results, names)
    entries = entries_for(jobs, results.lines)
    print(report.tables(results.lines, entries))
    if options.docs and whole:
        minutes = f"{(time.monotonic() - results.begin) / 60:.0f} minutes" if not options.resume else "parts"
        report.write_docs(results.lines, entries, command(), minutes)
    if results.failures:
        print(f"bench: {len(results.failures)} rows have no figure", file=sys.stderr)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
