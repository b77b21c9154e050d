"""Trains a model by `sigma train` and by PyTorch from the same weights on the same tokens in the same order, and compares
what both reach on the same held-back text.

    PYTHON bench/peers/compare_training.py shards/texts configs/sigma-10m.json configs/gqa-10m.json
        [--steps 150] [--precision bf16] [--threads 2] [--work build/compare-training] [--sigma build/release/apps/sigma]

PYTHON: one that has torch. The order of the tokens, the split into training and validation, the schedule, AdamW, clipping
and document masking are written a second time here, from docs/data.md and docs/training.md; PyTorch computes in f32. A line a
model: validation losses, their difference (aim: 2%) and the largest difference of a step's loss; the same as JSON at the
end of WORK/results.jsonl. WORK/MODEL keeps our run, which is not repeated, and PyTorch's losses.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from train_torch import Model, read_config, rotation

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from oracle_model import read_safetensors  # noqa: E402

CONTEXT, BATCH_ROWS, MICRO_ROWS, SEED = 512, 8, 4, 1
SHARE, VALIDATION_ROWS = 0.01, 24
RATE, FINAL_RATE, WARMUP_STEPS = 2e-3, 1e-4, 20
MOST = 0.02
MASK = (1 << 64) - 1

RUN = """model = "{model}"
out = "run"
context = {context}
seed = {seed}
precision = "{precision}"
micro_batch = {micro}
[validation]
every_steps = {steps}
rows = {rows}
share = {share}
[[phase]]
data = "{data}"
tokens = {tokens}
learning_rate = {rate}
schedule = "cosine"
warmup_tokens = {warmup}
final_learning_rate = {final}
batch_tokens = {batch}
"""


# --- the order of tokens (docs/data.md) ----------------------------------------------------------------------------


def splitmix(state):
    """The first number of SplitMix64 from this state."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def derive(seed, part, epoch):
    return splitmix(splitmix(splitmix(seed) ^ part) ^ epoch)


def permuted(i, n, key):
    """Place i of a permutation of 0 .. n - 1: four Feistel rounds, again while it falls outside."""
    half = ((n - 1).bit_length() + 1) // 2
    keys = [splitmix((key + k * 0x9E3779B97F4A7C15) & MASK) for k in range(4)]
    while True:
        left, right = i >> half, i & ((1 << half) - 1)
        for k in keys:
            left, right = right, left ^ (splitmix(k ^ right) & ((1 << half) - 1))
        i = left << half | right
        if i < n:
            return i


class Rows:
    """One shard's training or validation documents as rows."""

    def __init__(self, prefix, held_back):
        with open(prefix + ".idx", "rb") as file:
            head = file.read(34)
            kind, sequences, bounds = head[17], *np.frombuffer(head, "<u8", 2, 18).tolist()
            lengths = np.fromfile(file, "<i4", sequences)
            assert bounds == sequences + 1, "one sequence a document"
        tokens = np.fromfile(prefix + ".bin", {4: "<i4", 8: "<u2"}[kind])
        ends = np.cumsum(lengths, dtype=np.int64)
        chosen = [d for d in range(sequences) if ((splitmix(d) >> 11) * 2.0**-53 < SHARE) == held_back]
        self.tokens = np.concatenate([tokens[ends[d] - lengths[d] : ends[d]] for d in chosen]).astype(np.int64)
        self.begins = np.zeros(len(self.tokens), np.int64)  # of each token's document
        at = 0
        for d in chosen:
            self.begins[at : at + lengths[d]] = at
            at += lengths[d]

    def read(self, position, rows):
        """inputs, targets (-100 behind a document's last token), what each sees [rows, 1, t, t]"""
        windows, total = len(self.tokens) // CONTEXT, len(self.tokens)
        inputs, targets, seen = [], [], []
        for p in range(position, position + rows):
            epoch, row = divmod(p, windows)
            shift = derive(~SEED & MASK, 0, epoch) % total
            window = permuted(row, windows, derive(SEED, 0, epoch))
            first = shift + window * CONTEXT
            place = np.arange(first, first + CONTEXT + 1)
            begins = np.maximum(place - (place % total - self.begins[place % total]), first) - first
            text = self.tokens[place % total]
            inputs.append(text[:-1])
            targets.append(np.where(begins[1:] == np.arange(1, CONTEXT + 1), -100, text[1:]))
            keys = np.arange(CONTEXT)
            seen.append((keys[None, :] <= keys[:, None]) & (keys[None, :] >= begins[:-1, None]))
        return torch.tensor(np.stack(inputs)), torch.tensor(np.stack(targets)), torch.tensor(np.stack(seen))[:, None]


# --- PyTorch -------------------------------------------------------------------------------------------------------


def load(model, tensors):
    names = {"model.embed_tokens.weight": "embed.weight", "model.norm.weight": "norm", "lm_head.weight": "head.weight"}
    state = {}
    for name, tensor in tensors.items():
        if name not in names:
            short = name.removeprefix("model.").replace("self_attn.", "").replace("mlp.", "").replace("_proj.", ".")
            short = short.replace("input_layernorm.weight", "norm1").replace("post_attention_layernorm.weight", "norm2")
            names[name] = short
        state[names[name]] = tensor.float()
    model.load_state_dict(state)


def rate(step, steps):
    if step < WARMUP_STEPS:
        return RATE * (step + 1) / WARMUP_STEPS
    way = (step - WARMUP_STEPS) / (steps - WARMUP_STEPS)
    return FINAL_RATE + (RATE - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * way))


def summed_loss(model, turn, inputs, targets, seen):
    logits = model(inputs, *turn, seen)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")


def evaluate(model, turn, rows):
    loss, count = 0.0, 0
    with torch.no_grad():
        for first in range(0, VALIDATION_ROWS, MICRO_ROWS):
            inputs, targets, seen = rows.read(first, MICRO_ROWS)
            loss += float(summed_loss(model, turn, inputs, targets, seen))
            count += int((targets >= 0).sum())
    return loss / count


def train_torch(config, folder, options):
    """{"losses": of every step, "validation_loss"}"""
    c = read_config(config)
    model, turn = Model(c), rotation(c, CONTEXT)
    load(model, read_safetensors(folder / "begin" / "model.safetensors"))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    groups = [{"params": decayed, "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8)
    train = Rows(options.data, held_back=False)
    losses, start = [], time.monotonic()
    for step in range(options.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, options.steps)
        optimiser.zero_grad(set_to_none=True)
        inputs, targets, seen = train.read(step * BATCH_ROWS, BATCH_ROWS)
        count, total = int((targets >= 0).sum()), 0.0
        for first in range(0, BATCH_ROWS, MICRO_ROWS):
            part = slice(first, first + MICRO_ROWS)
            loss = summed_loss(model, turn, inputs[part], targets[part], seen[part]) / count
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(total)
        if (step + 1) % 10 == 0:
            left = (time.monotonic() - start) / (step + 1) * (options.steps - step - 1)
            print(f"torch: step {step + 1}/{options.steps}  loss {total:.4f}  {left:.0f} s left", file=sys.stderr, flush=True)
    return {"losses": losses, "validation_loss": evaluate(model, turn, Rows(options.data, held_back=True))}


# --- ours ----------------------------------------------------------------------------------------------------------


def train_sigma(config, folder, options):
    if not (folder / "begin").exists():
        subprocess.run([options.sigma, "new", config, folder / "begin", "--type", "f32", "--seed", str(SEED)], check=True)
    tokens = BATCH_ROWS * CONTEXT
    (folder / "run.toml").write_text(RUN.format(
        model=folder / "begin", context=CONTEXT, seed=SEED, precision=options.precision, micro=MICRO_ROWS, rows=VALIDATION_ROWS,
        share=SHARE, data=options.data, tokens=options.steps * tokens, rate=RATE, warmup=WARMUP_STEPS * tokens,
        final=FINAL_RATE, batch=tokens, steps=options.steps))
    subprocess.run([options.sigma, "train", folder / "run.toml", "--threads", str(options.threads)], check=True)
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return {"losses": [line["loss"] for line in lines if line["event"] == "step"],
            "validation_loss": next(line["validation_loss"] for line in reversed(lines) if "validation_loss" in line)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a shard's prefix")
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--sigma", default=str(ROOT / "build/release/apps/sigma"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16", help="ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/compare-training")
    options = parser.parse_args()
    options.data = str(pathlib.Path(options.data).resolve())
    torch.set_num_threads(options.threads)
    missed = 0
    for config in options.configs:
        name = pathlib.Path(config).stem
        folder = options.work.resolve() / f"{name}-{options.steps}-{options.precision}"
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = train_sigma(config, folder, options), train_torch(config, folder, options)
        difference = ours["validation_loss"] / theirs["validation_loss"] - 1
        step = max(abs(a / b - 1) for a, b in zip(ours["losses"], theirs["losses"]))
        (folder / "torch.json").write_text(json.dumps(theirs) + "\n")
        result = {
            "model": name, "steps": options.steps, "tokens": options.steps * BATCH_ROWS * CONTEXT, "precision": options.precision,
            "peer": "torch " + torch.__version__.split("+")[0], "validation_loss": ours["validation_loss"],
            "peer_validation_loss": theirs["validation_loss"], "difference": difference, "largest_step_difference": step,
        }
        with open(options.work / "results.jsonl", "a") as file:
            file.write(json.dumps(result) + "\n")
        print(f"{name}: validation loss {ours['validation_loss']:.4f}, {result['peer']} {theirs['validation_loss']:.4f},"
              f" {difference:+.3%} (aim: within {MOST:.0%}); a step's loss differs by {step:.3%} at most", flush=True)
        missed += abs(difference) > MOST
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
