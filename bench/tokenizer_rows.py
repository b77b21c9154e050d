"""Rows of tokenizers beside Hugging Face's `tokenizers`: how fast a text becomes ids on one core, in how many places these
ids differ, and how long training takes. The text is what the machine has."""
import glob
import gzip
import json
import os
import pathlib
import random
import tempfile

import plan
from children import CACHE, PEER_PYTHON, PEERS, Child, Failed, model_file, run, run_json
from lines import line_of, spread

PEER = "tokenizers"
MAN_PAGES = "/usr/share/man/man[1-8]/*.gz"
HEADERS = "/usr/include/**/*.h"
TEXTS = {"man pages": MAN_PAGES, "C headers": HEADERS}
TEXT_BYTES = 10 << 20
LEAST_SPEED = 60  # MiB/s

TRAINED = "BPE 32k"
TRAINING = "train on 100 MB of man pages, headers, Python and Perl"
TRAINING_BYTES, SOURCE_BYTES = 100_000_000, 30_000_000
TRAINING_SOURCES = [MAN_PAGES, HEADERS, "/usr/lib/python3*/**/*.py", "/usr/share/perl*/**/*.p[lm]", "/usr/share/doc/**/*"]
VOCAB, LEAST_COUNT, END = 32000, 2, "<|endoftext|>"


def encode_case(kind):
    return f"encode {TEXT_BYTES >> 20} MiB of {kind} on one core"


def differ_case(kind):
    return f"ids of {TEXT_BYTES >> 20} MiB of {kind} that differ"


def documents(pattern, size):
    """Texts of the files that match, in an order that is always the same, until there are so many bytes."""
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    random.Random(1).shuffle(paths)
    for path in paths:
        data = gzip.open(path).read() if path.endswith(".gz") else pathlib.Path(path).read_bytes()
        text = data[:size].decode("utf-8", "ignore")
        if "\0" in text:
            continue
        size -= len(text.encode())
        yield text
        if size <= 0:
            return


def text_file(kind):
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / (kind.replace(" ", "-") + ".txt")
    if not path.exists():
        text = "".join(documents(TEXTS[kind], TEXT_BYTES))
        if len(text) < TEXT_BYTES // 2:
            raise Failed(f"this machine has {len(text)} characters of {kind}")
        path.write_text(text)
    return path


def training_file():
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "training-text.jsonl"
    if not path.exists():
        left, lines = TRAINING_BYTES, []
        for source in TRAINING_SOURCES:
            for text in documents(source, min(left, SOURCE_BYTES)):
                left -= len(text.encode())
                lines.append(json.dumps({"text": text}) + "\n")
            if left <= 0:
                break
        if left > 0:
            raise Failed(f"this machine has only {(TRAINING_BYTES - left) / 1e6:.0f} MB of text to train on")
        partial = path.with_suffix(".partial")
        partial.write_text("".join(lines))
        partial.rename(path)
    return path


def version():
    lines = (PEERS / "requirements.txt").read_text().split("\n")
    return next(line for line in lines if line.startswith(PEER)).replace("==", " ")


class Reference(Child):
    def __init__(self, threads, tokenizer=None):
        super().__init__([PEER_PYTHON, PEERS / "tokenizers_bench.py", "--threads", threads, *filter(None, [tokenizer])])

    def ask(self, request):
        return super().ask(json.dumps(request))


def tokenizer_folder(sigma):
    """The shipped model's tokenizer as a file that the reference reads."""
    folder = CACHE / (plan.SHIPPED.replace(" ", "-") + "-tokenizer")
    if not (folder / "tokenizer.json").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            run([sigma, "convert", model_file(sigma, plan.SHIPPED), f"{scratch}/model", "--type", "bf16"])
            folder.mkdir(exist_ok=True)
            (pathlib.Path(scratch) / "model" / "tokenizer.json").rename(folder / "tokenizer.json")
    return folder


def encoding(options):
    """Each turn encodes the text anew after one that did not count; then the ids are compared."""
    folder = tokenizer_folder(options.sigma)
    ours = Child([options.sigma, "bench", "tokenizer", "-m", folder, "--stdin"])
    theirs = Reference(1, folder / "tokenizer.json") if options.peer else None
    for kind in TEXTS:
        path = text_file(kind)
        mebibytes = path.stat().st_size / 2**20
        speeds = {ours: [], theirs: []}
        for turn in range(options.repeats + 1):
            for side in filter(None, speeds):
                seconds = side.ask(str(path) if side is ours else {"encode": str(path)})["seconds"]
                if turn > 0:
                    speeds[side].append(mebibytes / seconds)
        peer = ratio = None
        if theirs:
            peer = (PEER, version(), spread(speeds[theirs]))
            ratio = spread([a / b for a, b in zip(*speeds.values())])["median"]
        yield line_of(encode_case(kind), plan.SHIPPED, 1, "MiB/s", spread(speeds[ours]), peer, ratio)
        if theirs:
            ids = run_json([options.sigma, "tokenize", "-m", folder, "-f", path])["tokens"]
            expected = theirs.ask({"ids": str(path)})["ids"]
            differences = sum(a != b for a, b in zip(ids, expected)) + abs(len(ids) - len(expected))
            yield line_of(differ_case(kind), plan.SHIPPED, 1, "differences", spread([differences]))
    for side in filter(None, (ours, theirs)):
        side.close()


def training(options):
    """Ours is a whole process that reads the file; theirs has the texts in memory and only trains."""
    path = training_file()
    theirs = Reference(options.threads) if options.peer else None
    found = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        command = [options.sigma, "tokenizer", "train", path, "-o", folder, "--vocab", VOCAB, "--pre", "gpt2"]
        command += ["--end", END, "--min-count", LEAST_COUNT, "--threads", options.threads]
        for _ in range(min(options.repeats, 3)):
            found["ours"].append(run_json(command)["seconds"])
            if theirs:
                request = {"train": str(path), "vocab": VOCAB, "end": END, "least": LEAST_COUNT}
                answer = theirs.ask(request)
                found["theirs"].append(answer["seconds"])
                merges = json.loads((pathlib.Path(folder) / "tokenizer.json").read_text())["model"]["merges"]
                if merges != answer["merges"]:
                    raise Failed("the reference makes other merges of the same text")
    peer = ratio = None
    if theirs:
        theirs.close()
        peer = (PEER, version(), spread(found["theirs"]))
        ratio = spread([b / a for a, b in zip(*found.values())])["median"]
    yield line_of(TRAINING, TRAINED, options.threads, "s", spread(found["ours"]), peer, ratio)
