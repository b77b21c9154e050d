"""Makes tests/golden/training.json: the losses of ten steps of training by PyTorch (float64, torch.optim.AdamW) of the
golden model all_together, for tests/train/trainer_test.cc.

    /usr/bin/python3 tools/make_training_golden.py
"""
import json
import math
import os

import torch
from oracle_model import Oracle, load_folder

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "tests", "golden")
ROWS, CONTEXT, STEPS = 3, 23, 10
RATE, WARMUP, FINAL = 0.002, 3, 0.0004  # per step; cosine after the warm-up
BETAS, EPS, DECAY, CLIP = (0.9, 0.95), 1e-8, 0.1, 1.0


def token(row, place, vocab):
    """Any text would do; this one can be written down in both languages."""
    return (row * 7919 + place * place * 31 + place * (row % 5) * 17 + 11) % vocab


def rate(step):
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    way = (step - WARMUP) / (STEPS - WARMUP)
    return FINAL + (RATE - FINAL) * 0.5 * (1 + math.cos(math.pi * way))


def main():
    config, weights = load_folder(os.path.join(GOLDEN, "all_together"))
    model = Oracle(config, weights)
    for tensor in model.weights.values():
        tensor.requires_grad_(True)
    matrices = [t for t in model.weights.values() if t.dim() == 2]
    vectors = [t for t in model.weights.values() if t.dim() == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS)
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        optimiser.zero_grad()
        loss = 0
        for row in range(step * ROWS, (step + 1) * ROWS):
            tokens = torch.tensor([token(row, t, config["vocab_size"]) for t in range(CONTEXT + 1)])
            loss = loss + torch.nn.functional.cross_entropy(model.logits(tokens[:-1]), tokens[1:]) / ROWS
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(model.weights.values()), CLIP)))
        optimiser.step()
        losses.append(float(loss))
    result = {
        "about": "ten steps by PyTorch " + torch.__version__.split("+")[0] + ", made by tools/make_training_golden.py",
        "losses": losses,
        "gradient_norms": norms,
        "final_norm_after": model.weights["model.norm.weight"].tolist(),
    }
    with open(os.path.join(GOLDEN, "training.json"), "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
