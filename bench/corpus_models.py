#!/usr/bin/env python3
"""Does the corpus make a better model than the text it was made from? Models of one shape trained on a built corpus and on
everything its sources gave, before any rule, with one tokenizer and as many tokens; their loss on manual pages of packages
that are in neither.

    sigma corpus build configs/corpus-medium.toml
    bench/corpus_models.py systems-medium.corpus [--tokens 1000000] [--seeds 3] [--jobs 1]

The tokenizer is trained on a tenth of the text before any rule. Runs that are there are not trained again (--work). The interval is
Student's, 95%, of the difference of two means. A table to the terminal, a JSON line at the end of build/corpus_models.jsonl.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess

from children import CACHE, ROOT, run, run_json

HELD_OUT = ("man-db", "tar", "gawk", "strace", "psmisc", "tcpdump", "gdb", "nmap")  # none is in the medium set
TEXTS = {"corpus": "documents", "before any rule": "1-extract"}  # folders of a build
STUDENT = {2: 4.303, 4: 2.776, 6: 2.447, 8: 2.306, 10: 2.228}  # two-sided 95%, by degrees of freedom
CONTEXT = 512


def held_out_pages(options):
    """The text of their manual pages, one after another."""
    path = options.work / "held-out.txt"
    if path.exists():
        return path
    folder = options.work / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *HELD_OUT], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)
    config = options.work / "held-out.toml"
    config.write_text('[[source]]\nkind = "debian"\npath = "packages"\n')
    run([options.sigma, "corpus", "build", config, "--work", options.work / "held-out"])
    lines = run([options.sigma, "corpus", "sample", options.work / "held-out", "--count", 100000, "--json"]).splitlines()
    pages = [document for document in map(json.loads, lines) if document["metadata"]["form"] == "man"]
    path.write_text("\n".join(page["text"] for page in sorted(pages, key=lambda page: page["id"])))
    return path


def prepare(options):
    """One tokenizer, and a shard of each text."""
    tokenizer = options.work / "tokenizer"
    files = {name: sorted((options.corpus / folder).glob("*.jsonl.zst")) for name, folder in TEXTS.items()}
    if not tokenizer.exists():
        vocabulary = json.loads(options.model.read_text())["vocab_size"]
        run([options.sigma, "tokenizer", "train", *files["before any rule"][::10], "-o", tokenizer, "--vocab", vocabulary])
    for name, texts in files.items():
        prefix = options.work / folder_of(name)
        if not prefix.with_suffix(".idx").exists():
            run([options.sigma, "data", "tokenize", *texts, "-m", tokenizer, "-o", prefix])


def folder_of(name):
    return name.replace(" ", "-")


def train(options, name, seed):
    """The loss of one model, in nats a token."""
    work = options.work / f"{folder_of(name)}-{seed}-{options.tokens}"
    config = work.with_suffix(".toml")
    config.write_text(f"""model = "{options.model}"
out = "{work}"
tokenizer = "tokenizer"
seed = {seed}
context = {CONTEXT}
[[phase]]
name = "all"
data = "{folder_of(name)}"
tokens = {options.tokens}
learning_rate = 2e-3
schedule = "cosine"
warmup_tokens = {options.tokens // 20}
final_learning_rate = 2e-4
batch_tokens = 1024
""")
    result = work.with_suffix(".json")
    if not result.exists():
        run([options.sigma, "train", config, "--threads", options.threads])
        checkpoint = sorted((work / "checkpoints").iterdir())[-1]
        measured = run_json([options.sigma, "perplexity", "-m", checkpoint, "-f", held_out_pages(options), "--context", CONTEXT,
                             "--threads", options.threads])
        result.write_text(json.dumps(measured))
    return math.log(json.loads(result.read_text())["perplexity"])


def interval(a, b):
    """The difference of two means of as many values, and half its interval."""
    error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(a))
    return statistics.mean(a) - statistics.mean(b), STUDENT[2 * len(a) - 2] * error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=pathlib.Path, help="the work folder of a build")
    parser.add_argument("--sigma", default=ROOT / "build/release/apps/sigma", type=pathlib.Path)
    parser.add_argument("--model", default=ROOT / "configs/sigma-4m.json", type=pathlib.Path, help="a config.json")
    parser.add_argument("--work", default=CACHE / "corpus-models", type=pathlib.Path)
    parser.add_argument("--tokens", default=1_000_000, type=int)
    parser.add_argument("--seeds", default=3, type=int, choices=(2, 3, 4, 5, 6))
    parser.add_argument("--jobs", default=1, type=int, help="runs at the same time")
    parser.add_argument("--threads", default=1, type=int)
    options = parser.parse_args()
    options.corpus, options.work, options.model = (path.resolve() for path in (options.corpus, options.work, options.model))
    options.work.mkdir(parents=True, exist_ok=True)
    held_out_pages(options)
    prepare(options)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as jobs:
        runs = {(name, seed): jobs.submit(train, options, name, seed) for seed in range(1, options.seeds + 1) for name in TEXTS}
    losses = {name: [runs[name, seed].result() for seed in range(1, options.seeds + 1)] for name in TEXTS}
    for name, values in losses.items():
        print(f"{name:16} {statistics.mean(values):.4f}  " + " ".join(f"{value:.4f}" for value in values))
    ours, theirs = losses.values()
    difference, half = interval(ours, theirs)
    verdict = "the corpus is better" if difference + half < 0 else "the corpus is worse" if difference - half > 0 else "no difference is seen"
    print(f"difference {difference:+.4f} +- {half:.4f} nats a token (95%, {options.seeds} seeds, {options.tokens:,} tokens): {verdict}")
    line = {"case": "corpus models", "tokens": options.tokens, "losses": losses, "difference": difference, "half_interval": half}
    os.makedirs(ROOT / "build", exist_ok=True)
    with open(ROOT / "build" / "corpus_models.jsonl", "a") as lines:
        lines.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
