#!/usr/bin/python3
"""Compares sigma with the oracle on a real checkpoint (a Hugging Face folder): logits of windows of a text's tokens.

    /usr/bin/python3 tools/compare_oracle.py --sigma build/release/apps/sigma --model FOLDER
        [--text FILE] [--context 256] [--windows 2] [--cache f32] [--type float32] [--v-top 0]

Both score the second half of every window. Prints, over all of these positions, the largest difference over the largest
value of a row (median and worst), and how often the likeliest token is the same. The oracle reads whole windows without
a cache, at about a second per layer and window of a small model.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch

from oracle_model import Oracle, load_folder


def sigma(options, *arguments):
    command = [options.sigma, *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def our_logits(options, tokens, scratch):
    path, ids = os.path.join(scratch, "logits.f32"), os.path.join(scratch, "tokens")
    with open(ids, "w") as file:
        file.write(",".join(map(str, tokens)))
    caches = ["--k-cache", options.cache, "--v-cache", options.cache, "--v-top", options.v_top]
    arguments = ["-m", options.model, "--tokens", ids, "--context", options.context, "--logits", path]
    sigma(options, "perplexity", *arguments, *caches)
    return np.fromfile(path, dtype="<f4")


def main():
    parser = argparse.ArgumentParser(description="sigma against the oracle on a real checkpoint")
    parser.add_argument("--sigma", required=True)
    parser.add_argument("--model", required=True, help="a Hugging Face folder with a tokenizer")
    parser.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--cache", default="f32")
    parser.add_argument("--type", default="float32", help="what the oracle computes in: float32 or float64")
    parser.add_argument("--v-top", type=int, default=0)
    options = parser.parse_args()
    tokens = sigma(options, "tokenize", "-m", options.model, "-f", options.text)["tokens"]
    tokens = tokens[: options.windows * options.context]
    with tempfile.TemporaryDirectory() as scratch:
        ours = our_logits(options, tokens, scratch)
    oracle = Oracle(*load_folder(options.model), getattr(torch, options.type))
    first = options.context // 2
    expected = []
    with torch.no_grad():
        for begin in range(0, len(tokens), options.context):
            window = torch.tensor(tokens[begin : begin + options.context])
            expected.append(oracle.logits(window, options.v_top)[first:-1])
    expected = torch.cat(expected).double().numpy()
    ours = ours.reshape(expected.shape)
    difference = np.abs(ours - expected).max(1) / np.abs(expected).max(1)
    agreement = (ours.argmax(1) == expected.argmax(1)).mean()
    print(f"{len(difference)} positions, oracle in {options.type}, caches {options.cache}, v_top {options.v_top}")
    print(f"difference median {np.median(difference):.2e}, worst {difference.max():.2e}; top-1 {100 * agreement:.3f}%")


if __name__ == "__main__":
    main()
