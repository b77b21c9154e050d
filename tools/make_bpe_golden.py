#!/usr/bin/env python3
"""Writes tests/text/bpe_golden.json: the merges that Hugging Face's trainer makes of LICENSE, for every pre-tokenizer.

    pip install tokenizers==0.23.3
    tools/make_bpe_golden.py
"""
import json
import pathlib

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import check_tokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent


def merges(text, name, pre):
    tokenizer = Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": pre, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "vocab": {}, "merges": []}}))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, min_frequency=2, special_tokens=["<|endoftext|>", "<|x|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    return "".join(f"{a} {b}\n" for a, b in json.loads(tokenizer.to_str())["model"]["merges"])


def main():
    text = (ROOT / "LICENSE").read_text()
    golden = {name: merges(text, name, pre) for name, pre in check_tokenizer.PRE_TOKENIZERS.items()}
    (ROOT / "tests/text/bpe_golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
