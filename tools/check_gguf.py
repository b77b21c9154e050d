#!/usr/bin/env python3
"""Compares two GGUF files with the `gguf` package (pip install gguf): metadata, and every tensor's values.

    python3 tools/check_gguf.py A.gguf B.gguf [--requantised]

Made for `sigma convert A.gguf B.gguf --type f32`: B's values must be those the package dequantises A to, bit for bit.
With --requantised, B's bytes must instead be those the package quantises A's values to.
"""
import argparse
import sys

import numpy as np
from gguf import GGUFReader, quants


def value_of(field):
    return field.contents() if hasattr(field, "contents") else [field.parts[i].tolist() for i in field.data]


def values(tensor):
    return quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--requantised", action="store_true")
    args = parser.parse_args()
    a, b = GGUFReader(args.a), GGUFReader(args.b)
    faults = []
    for key in sorted(set(a.fields) | set(b.fields)):
        if key.startswith("GGUF.") or key == "general.file_type":
            continue
        if key not in a.fields or key not in b.fields:
            faults.append(f"{key}: only in {args.a if key in a.fields else args.b}")
        elif value_of(a.fields[key]) != value_of(b.fields[key]):
            faults.append(f"{key}: values differ")
    theirs = {t.name: t for t in b.tensors}
    for name in sorted({t.name for t in a.tensors} ^ set(theirs)):
        faults.append(f"tensor {name}: only in one of the files")
    for x in a.tensors:
        y = theirs.get(x.name)
        if y is None:
            continue
        if list(x.shape) != list(y.shape):
            faults.append(f"tensor {x.name}: shape {list(x.shape)} and {list(y.shape)}")
        elif args.requantised and x.tensor_type != y.tensor_type:
            expected = np.ascontiguousarray(quants.quantize(values(x), y.tensor_type))
            if expected.tobytes() != y.data.tobytes():
                faults.append(f"tensor {x.name}: bytes differ as {y.tensor_type.name}")
        elif values(x).tobytes() != values(y).tobytes():
            faults.append(f"tensor {x.name}: values differ by up to {np.abs(values(x) - values(y)).max():g}")
    print("\n".join(faults) or f"equal: {len(a.fields)} metadata fields, {len(a.tensors)} tensors")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
