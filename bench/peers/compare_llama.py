"""Compares sigma with llama.cpp on one GGUF file: same tokens in, what comes out and how fast.

    bench/peers/.venv/bin/python bench/peers/compare_llama.py --sigma build/release/apps/sigma --model M.gguf
        [--parts tokens,perplexity,continuations,speed] [--cache f32] [--threads 2] [--text FILE] [--json OUT]

tokens         both tokenizers on the text and on every prompt
perplexity     windows of --context tokens, the second half scored (llama.cpp's own protocol); and over the same
               positions: how often the likeliest token is the same, how far apart the best two are where it is not, and
               how far apart the logits are (largest difference of a row over its largest value). With --exact FILE, the
               same weights in F32, both sides are compared with llama.cpp on that file as well
continuations  greedy, of the 20 prompts in prompts.txt, 64 tokens each. llama.cpp then reads our tokens, so that every
               position is judged, not only those before the first difference
speed          prefill of 512 tokens, decode of 128, start-up to the first token and peak memory, each side by turns
Prints what it finds, and writes it as JSON with --json. Exit status 1 when a target is missed (--strict).
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from llama_peer import NAME, VERSION, Peer

HERE = os.path.dirname(os.path.abspath(__file__))
NEAR_TIE = 0.05  # logits: continuations may part only where llama.cpp's own best two are closer than this


def sigma(options, *arguments):
    command = [options.sigma, *map(str, arguments), "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{result.stdout}")
    return json.loads(result.stdout)


def model_arguments(options):
    return ["-m", options.model, "--threads", options.threads, "--k-cache", options.cache, "--v-cache", options.cache]


def prompts(peer):
    """[(text, tokens)]; lines that begin with "user:" are put in ChatML form."""
    with open(os.path.join(HERE, "prompts.txt")) as file:
        for line in file.read().splitlines():
            text = line
            if line.startswith("user: "):
                text = f"<|im_start|>user\n{line[6:]}<|im_end|>\n<|im_start|>assistant\n"
            yield line, peer.tokenize(text, add_special=True, parse_special=True)


# --- tokens ------------------------------------------------------------------------------------------------------


def compare_tokens(options, peer):
    with open(options.text) as file:
        text = file.read()
    ours = sigma(options, "tokenize", "-m", options.model, "-f", options.text)["tokens"]
    theirs = peer.tokenize(text, add_special=True)
    same = ours == theirs
    print(f"tokens: {len(ours)} ours, {len(theirs)} theirs, {'equal' if same else 'DIFFERENT'}")
    return {"ours": len(ours), "theirs": len(theirs), "equal": same}


# --- perplexity --------------------------------------------------------------------------------------------------


def nll(logits, targets):
    """Negative log-likelihood of every row's target."""
    wide = logits.astype(np.float64)
    top = wide.max(1)
    log_sum = top + np.log(np.exp(wide - top[:, None]).sum(1))
    return log_sum - wide[np.arange(len(targets)), targets]


def error_of_mean(values):
    return float(values.std() / math.sqrt(len(values) - 1))


class Score:
    """Perplexity with its standard error, as llama.cpp reports them."""

    def __init__(self):
        self.parts = []

    def add(self, logits, targets):
        self.parts.append(nll(logits, targets))

    def summary(self):
        values = np.concatenate(self.parts)
        perplexity = math.exp(values.mean())
        error = perplexity * error_of_mean(values)
        return {"perplexity": perplexity, "standard_error": error, "mean_nll": values.mean(), "tokens": len(values)}


class Agreement:
    """Of `a` with a reference `b`."""

    def __init__(self):
        self.positions, self.differing, self.distances, self.nll_changes = 0, [], [], []

    def add(self, a, b, targets):
        best_a, best_b = a.argmax(1), b.argmax(1)
        for row in np.nonzero(best_a != best_b)[0]:
            gap_b = float(b[row, best_b[row]] - b[row, best_a[row]])
            gap_a = float(a[row, best_a[row]] - a[row, best_b[row]])
            self.differing.append({"row": self.positions + int(row), "gap": gap_a, "reference_gap": gap_b})
        self.distances.append(np.abs(a - b).max(1) / np.abs(b).max(1))
        self.nll_changes.append(nll(a, targets) - nll(b, targets))
        self.positions += len(a)

    def summary(self):
        distances, changes = np.concatenate(self.distances), np.concatenate(self.nll_changes)
        return {
            "positions": self.positions,
            "top1_agreement": 1 - len(self.differing) / self.positions,
            "differing": self.differing,
            "logit_difference_median": float(np.median(distances)),
            "logit_difference_max": float(distances.max()),
            "perplexity_change": math.expm1(changes.mean()),
            "perplexity_change_error": error_of_mean(changes),
        }


def windows(peer, tokens, context, limit):
    for n in range(min(len(tokens) // context, limit or len(tokens))):
        window = tokens[n * context : (n + 1) * context]
        if peer.adds_bos():
            window[0] = peer.bos()
        yield window


def compare_perplexity(options, peer):
    with open(options.text) as file:
        tokens = peer.tokenize(file.read(), add_special=True)
    context, first = options.context, options.context // 2
    tokens = tokens[: (options.windows or len(tokens)) * context]
    scored = context - 1 - first
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        path, ids = os.path.join(scratch, "logits.f32"), os.path.join(scratch, "tokens")
        with open(ids, "w") as file:
            file.write(",".join(map(str, tokens)))
        arguments = ["--tokens", ids, "--context", context, "--logits", path]
        reported = sigma(options, "perplexity", *model_arguments(options), *arguments)
        logits = np.memmap(path, dtype="<f4", mode="r").reshape(-1, scored, peer.vocab_size)
        exact = Peer(options.exact, context, options.threads, cache="f32") if options.exact else None
        scores = {name: Score() for name in (("ours", "theirs", "exact") if exact else ("ours", "theirs"))}
        pairs = [("ours", "theirs")] + ([("ours", "exact"), ("theirs", "exact")] if exact else [])
        agreements = {pair: Agreement() for pair in pairs}
        for n, window in enumerate(windows(peer, tokens, context, options.windows)):
            targets = np.array(window[first + 1 :])
            found = {"ours": np.asarray(logits[n])}
            for name, model in (("theirs", peer), ("exact", exact)):
                if model:
                    model.clear()
                    found[name] = model.logits(window, first=first)[:scored]
            for name, score in scores.items():
                score.add(found[name], targets)
            for (a, b), agreement in agreements.items():
                agreement.add(found[a], found[b], targets)
    result = {"reported": reported, **{name: score.summary() for name, score in scores.items()}}
    result.update({f"{a} against {b}": agreement.summary() for (a, b), agreement in agreements.items()})
    print_perplexity(result)
    return result


def print_perplexity(result):
    for name, r in result.items():
        if "perplexity" in r:
            print(f"perplexity {name:8} {r['perplexity']:.5f} +/- {r['standard_error']:.5f} over {r['tokens']} tokens")
            continue
        print(f"{name}: top-1 agreement {100 * r['top1_agreement']:.3f}% of {r['positions']} positions")
        gaps = sorted(d["reference_gap"] for d in r["differing"])
        if gaps:
            middle = gaps[len(gaps) // 2]
            print(f"  where they differ, the reference's two are {middle:.4f} apart (median), {gaps[-1]:.4f} (largest)")
        change, error = 100 * r["perplexity_change"], 100 * r["perplexity_change_error"]
        print(f"  perplexity {change:+.4f}% +/- {error:.4f}%")
        median, worst = r["logit_difference_median"], r["logit_difference_max"]
        print(f"  logits differ by {median:.2e} (median), {worst:.2e} (worst row)")


# --- continuations -----------------------------------------------------------------------------------------------


def judge(peer, prompt, ours, finished):
    """Where llama.cpp, reading prompt + ours, would have gone another way: [(step, its token, our token, gap)]."""
    peer.clear()
    logits = peer.logits(prompt + ours, first=len(prompt) - 1)
    differing = []
    for step, token in enumerate(ours):
        best = int(logits[step].argmax())
        if best != token:
            differing.append((step, best, token, float(logits[step, best] - logits[step, token])))
    if finished and not peer.is_end(int(logits[len(ours)].argmax())) and not (ours and peer.is_end(ours[-1])):
        best = int(logits[len(ours)].argmax())
        differing.append((len(ours), best, -1, math.nan))
    return differing


def compare_continuations(options, peer):
    results = []
    for text, tokens in prompts(peer):
        listed = ",".join(map(str, tokens))
        arguments = ["--tokens", listed, "-n", options.length, "--temperature", 0]
        completion = sigma(options, "generate", *model_arguments(options), *arguments)["completions"][0]
        ours = completion["tokens"]
        differing = judge(peer, tokens, ours, completion["finish_reason"] == "stop")
        finish = completion["finish_reason"]
        results.append({"prompt": text, "tokens": len(ours), "finish": finish, "differing": differing})
        print(f"{len(ours):3} tokens, {'equal' if not differing else f'{len(differing)} differ'}: {text[:60]}")
        for step, theirs, token, gap in differing:
            names = [repr(peer.detokenize([t])) if t >= 0 else "end" for t in (theirs, token)]
            print(f"      at {step}: {names[0]} (theirs) {names[1]} (ours), gap {gap:.5f}")
    equal = sum(not r["differing"] for r in results)
    gaps = [d[3] for r in results for d in r["differing"]]
    print(f"continuations: {equal} of {len(results)} equal; largest gap {max(gaps, default=0):.5f}")
    return {"prompts": results, "equal": equal, "largest_gap": max(gaps, default=0)}


# --- speed -------------------------------------------------------------------------------------------------------


class Interactive:
    """llama_bench.py, asked for one measurement at a time."""

    def __init__(self, options):
        command = [sys.executable, os.path.join(HERE, "llama_bench.py"), options.model, "--stdin", "--context", "1024"]
        command += ["--threads", str(options.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def high_water_bytes(pid):
    """Most memory the process had resident so far. What getrusage says may be what its parent had."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return max((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:")), default=0)
    except OSError:
        return 0


def watched_run(command):
    """(wall seconds, peak resident bytes) of one run of a command."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, high_water_bytes(process.pid))
        time.sleep(0.001)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    return time.perf_counter() - start, peak


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def our_speed(options):
    """Prefill of 512 and decode of 128 in one run, with the default caches. Steps after the first are decode."""
    ids = ",".join(str(100 + 61 * i % 40000) for i in range(512))
    arguments = ["-m", options.model, "--threads", options.threads, "--tokens", ids, "-n", 129, "--ignore-eos"]
    run = sigma(options, "generate", *arguments, "--temperature", 0)
    return [run[part]["tokens"] / run[part]["seconds"] for part in ("prefill", "decode")] + [run["load_seconds"]]


def startup(options):
    """Process start to exit after the first token, and peak memory."""
    command = [options.sigma, "generate", "-m", options.model, "--threads", str(options.threads)]
    return watched_run(command + ["--tokens", "1", "-n", "1"])


def compare_speed(options):
    flash = {"no flash attention": False, "flash attention": True}
    ours = {"prefill": [], "decode": [], "load_seconds": [], "startup_seconds": []}
    theirs = {(case, way): [] for case in ("prefill", "decode") for way in flash}
    rss = 0
    peer = Interactive(options)
    for _ in range(options.repeats):
        for name, value in zip(("prefill", "decode", "load_seconds"), our_speed(options)):
            ours[name].append(value)
        seconds, bytes_used = startup(options)
        ours["startup_seconds"].append(seconds)
        rss = max(rss, bytes_used)
        for way, on in flash.items():
            theirs["prefill", way].append(512 / peer.seconds(case="prefill", tokens=512, flash_attention=on))
            seconds = peer.seconds(case="decode", tokens=128, context=512, flash_attention=on)
            theirs["decode", way].append(128 / seconds)
    peer.close()
    command = [sys.executable, os.path.join(HERE, "llama_bench.py"), options.model, "--case", "startup"]
    command += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    result = {
        "ours": {**{name: spread(values) for name, values in ours.items()}, "peak_rss_bytes": rss},
        "theirs": {f"{case}, {way}": spread(values) for (case, way), values in theirs.items()},
        "theirs_startup": [json.loads(line) for line in lines],
    }
    for case in ("prefill", "decode"):
        best = max(result["theirs"][f"{case}, {way}"]["median"] for way in flash)
        result[f"{case}_ratio"] = result["ours"][case]["median"] / best
    print(json.dumps(result, indent=2))
    return result


# --- all ---------------------------------------------------------------------------------------------------------


def misses(results):
    """The targets that a comparison in f32 must meet."""
    found = []
    if "tokens" in results and not results["tokens"]["equal"]:
        found.append("the tokenizers differ")
    if "perplexity" in results:
        p = results["perplexity"]["ours against theirs"]
        if p["top1_agreement"] < 0.999:
            found.append(f"top-1 agreement {p['top1_agreement']:.5f} < 0.999")
        if abs(p["perplexity_change"]) > 1e-3:
            found.append(f"perplexity changes by {p['perplexity_change']:.2e} > 0.1%")
    if "continuations" in results and not results["continuations"]["largest_gap"] < NEAR_TIE:
        found.append(f"a continuation parts at a gap of {results['continuations']['largest_gap']:.3f} >= {NEAR_TIE}")
    return found


def main():
    parser = argparse.ArgumentParser(description="sigma against llama.cpp on one GGUF file")
    parser.add_argument("--sigma", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--parts", default="tokens,perplexity,continuations,speed")
    parser.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--windows", type=int, default=0, help="of the text; 0: all")
    parser.add_argument("--exact", help="perplexity: the same model in F32, as a third opinion")
    parser.add_argument("--length", type=int, default=64, help="tokens of each continuation")
    parser.add_argument("--cache", default="f32", help="type of both sides' caches but in speed: f32, f16, bf16")
    parser.add_argument("--flash", action="store_true", help="flash attention in llama.cpp, but in speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scratch", help="folder for the logits file (4 bytes x vocabulary x positions)")
    parser.add_argument("--json", help="write everything here")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a target for f32 is missed")
    options = parser.parse_args()
    parts = options.parts.split(",")
    results = {"model": os.path.basename(options.model), "peer": NAME, "version": VERSION, "cache": options.cache}
    print(f"{results['model']}, caches {options.cache}, {VERSION}")
    if set(parts) & {"tokens", "perplexity", "continuations"}:
        peer = Peer(options.model, max(options.context, 512), options.threads, options.flash, options.cache)
        for name, compare in (
            ("tokens", compare_tokens),
            ("perplexity", compare_perplexity),
            ("continuations", compare_continuations),
        ):
            if name in parts:
                results[name] = compare(options, peer)
        peer.close()
    if "speed" in parts:
        results["speed"] = compare_speed(options)
    results["misses"] = misses(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)
    for miss in results["misses"]:
        print("MISSED:", miss)
    return 1 if options.strict and results["misses"] else 0


if __name__ == "__main__":
    sys.exit(main())
