#!/usr/bin/env python3
"""Training steps of Sigma and of PyTorch by turns: tokens per second, share of what large bf16 products reach in the same
run, peak memory.

    bench/train.py [--filter "30m 512"] [--rounds 3] [--precisions f32 bf16] [--python /usr/bin/python3]

--python: one that has torch, such as Debian's python3-torch. Each side is a process of its own, measured once a round; the
best step of each counts, PyTorch's best of f32 and bf16. A table to the terminal, a JSON line a row at the end of build/train.jsonl.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = [("sigma-30m", 512), ("sigma-30m", 1024), ("sigma-125m", 512), ("sigma-125m", 1024)]
TOKENS, MICRO = 8192, 2048
LEAST_SPEED, LEAST_SHARE, MOST_MEMORY = 1.5, 0.45, 0.7


def run(command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {result.stderr.strip()[-400:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def ours(options, config, context, precision):
    return run([options.sigma, "bench", "train", "-m", config, "--context", context, "--tokens", TOKENS, "--micro", MICRO,
                "--precision", precision, "--repeats", options.steps, "--threads", options.threads, "--json"])


def theirs(options, config, context, precision):
    return run([options.python, ROOT / "bench/peers/train_torch.py", config, "--context", context, "--tokens", TOKENS,
                "--micro", MICRO, "--precision", precision, "--steps", options.steps + 1, "--threads", options.threads])


def measure(options, model, context):
    config = ROOT / "configs" / f"{model}.json"
    rounds = []
    for _ in range(options.rounds):
        mine = ours(options, config, context, "bf16")
        peers = [theirs(options, config, context, precision) for precision in options.precisions]
        rounds.append((mine, max(peers, key=lambda p: p["tokens_per_second"])))
    speed = [mine["ours"]["median"] for mine, _ in rounds]
    peer_speed = [peer["tokens_per_second"] for _, peer in rounds]
    memory = max(mine["bytes"] for mine, _ in rounds)
    peer_memory = min(peer["peak_bytes"] for _, peer in rounds)
    return {
        "case": f"train:{TOKENS}@{context}", "model": model, "tokens_per_second": statistics.median(speed),
        "share": statistics.median(mine["share"] for mine, _ in rounds),
        "products_per_second": max(mine["limit"]["value"] for mine, _ in rounds),
        "peak_bytes": memory, "peer": rounds[0][1]["peer"], "peer_precision": rounds[0][1]["precision"],
        "peer_tokens_per_second": statistics.median(peer_speed), "peer_peak_bytes": peer_memory,
        "ratio": statistics.median(a / b for a, b in zip(speed, peer_speed)), "memory_ratio": memory / peer_memory,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sigma", default=ROOT / "build/release/apps/sigma")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--precisions", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"], help="PyTorch's")
    parser.add_argument("--filter", default="", help="only cases whose model and context hold this")
    options = parser.parse_args()
    options.threads = len(os.sched_getaffinity(0))
    path = ROOT / "build" / "train.jsonl"
    path.parent.mkdir(exist_ok=True)
    print("| model | context | tokens/s | MFU (aim 45%) | peak memory | PyTorch | its tokens/s | ratio (aim 1.5) | its memory | ratio (aim 0.7) |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    missed = 0
    with open(path, "a") as file:
        for model, context in CASES:
            if options.filter not in f"{model} {context}":
                continue
            r = measure(options, model, context)
            file.write(json.dumps(r) + "\n")
            missed += r["ratio"] < LEAST_SPEED or r["share"] < LEAST_SHARE or r["memory_ratio"] > MOST_MEMORY
            print(f"| {model} | {context} | {r['tokens_per_second']:.0f} | {r['share']:.1%} of {r['products_per_second'] / 1e9:.0f} GFLOP/s"
                  f" | {r['peak_bytes'] / 1e6:.0f} MB | {r['peer']}, {r['peer_precision']} | {r['peer_tokens_per_second']:.0f}"
                  f" | {r['ratio']:.2f} | {r['peer_peak_bytes'] / 1e6:.0f} MB | {r['memory_ratio']:.2f} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
