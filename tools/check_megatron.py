"""Exchanges token shards with Megatron's own code, both ways.

    pip install --no-deps megatron-core==0.16.1 packaging    # beside a Python with torch and numpy
    tools/check_megatron.py SHARD CONFIG.json [--sigma build/release/apps/sigma]

SHARD: PREFIX of one that `sigma data tokenize` made, for a model of CONFIG.json. Megatron reads it and writes what it read:
both files must be the same, byte for byte. It then writes the same documents cut into sequences at random; `sigma train`
must lose the same on that shard, to the bit.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder

RUN = """model = "{config}"
out = "{out}"
context = 128
[[phase]]
data = "{data}"
tokens = 4096
learning_rate = 1e-3
batch_tokens = 1024
"""


def write(source, prefix, pieces_of):
    """pieces_of(length): the lengths of the sequences into which a document is cut."""
    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=source.index.dtype)
    for document in range(len(source.document_indices) - 1):
        first, last = source.document_indices[document : document + 2]
        tokens = [token for sequence in range(first, last) for token in source[sequence].tolist()]
        builder.add_document(tokens, pieces_of(len(tokens)))
    builder.finalize(f"{prefix}.idx")


def cut(length, rng=random.Random(1)):
    places = sorted(rng.sample(range(1, length), min(length - 1, rng.randrange(4)))) if length > 1 else []
    return [b - a for a, b in zip([0, *places], [*places, length])]


def losses(sigma, config, data, folder):
    (folder / "run.toml").write_text(RUN.format(config=config, out=folder / "run", data=data))
    subprocess.run([sigma, "train", folder / "run.toml"], check=True, stderr=subprocess.DEVNULL)
    lines = map(json.loads, (folder / "run" / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["event"] == "step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shard")
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--sigma", default="build/release/apps/sigma")
    options = parser.parse_args()
    source = IndexedDataset(options.shard)
    shown = f"{len(source.document_indices) - 1} documents, {int(source.index.sequence_lengths.sum())} tokens"
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write(source, scratch / "same", lambda length: [length])
        write(source, scratch / "cut", cut)
        for kind in (".idx", ".bin"):
            same = (scratch / f"same{kind}").read_bytes() == pathlib.Path(options.shard + kind).read_bytes()
            found.append(same)
            print(f"{options.shard}{kind}: {shown}, read and written by Megatron: {'the same bytes' if same else 'OTHER BYTES'}")
        runs = []
        for name in (pathlib.Path(options.shard).resolve(), scratch / "cut"):
            folder = scratch / f"run-{len(runs)}"
            folder.mkdir()
            runs.append(losses(options.sigma, options.config.resolve(), name, folder))
        found.append(runs[0] == runs[1] and len(runs[0]) == 4)
        sequences = len(IndexedDataset(str(scratch / "cut")))
        print(f"cut into {sequences} sequences by Megatron: {'the same losses' if found[-1] else 'OTHER LOSSES'}: {runs[1]}")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
