#!/usr/bin/env python3
"""Writes tests/tensor/format_golden.h: blocks of every quantised format and what the `gguf` package (pip install gguf)
makes of them.

    python3 tools/make_format_golden.py > tests/tensor/format_golden.h

Part one: one block each with scales of 1, so that its values are whole numbers. Part two: many blocks of random bytes
with random scales, and values quantised, of which only a hash is kept (FNV-1a of the bits); tests/tensor/format_test.cc
makes the same inputs from the same generator.
"""
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES

READ = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
WRITTEN = ["Q8_0", "Q4_0", "Q4_1"]
# Where the f16 scales of a block lie.
SCALES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
MASK = (1 << 64) - 1


class Rng:
    """SplitMix64, as src/base/rng.h."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def random_blocks(name, count, seed, unit_scales):
    block_bytes = GGML_QUANT_SIZES[Type[name]][1]
    rng = Rng(seed)
    data = np.array([rng.next() >> 56 for _ in range(count * block_bytes)], np.uint8).reshape(count, block_bytes)
    for at in SCALES.get(name, [0]):
        if unit_scales:
            data[:, at : at + 2] = [0x00, 0x3C]
        else:
            data[:, at + 1] &= 0xBF  # exponent below 16: finite, magnitude below 2
    return data


def values(count, seed, step):
    """Whole numbers from -2^15 to 2^15 - 1, times step: ties everywhere when the step is coarse."""
    rng = Rng(seed)
    return np.array([(rng.next() >> 48) - 32768 for _ in range(count)], np.float32) * np.float32(step)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data.tobytes():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def literal(data):
    text = "".join(f"\\x{b:02x}" for b in data.tobytes())
    return "\n    ".join(f'"{text[i:i + 112]}"' for i in range(0, len(text), 112))


def main():
    print("// Made by tools/make_format_golden.py; do not edit.")
    print("#pragma once\n\n#include <cstdint>\n#include <string_view>\n#include <vector>\n")
    print('#include "tensor/format.h"\n')
    print("namespace sigma::test {\n")
    print("using namespace std::string_view_literals;\n")
    print("struct GoldenBlock {\n  Format format;\n  std::string_view bytes;\n  std::vector<int> values;\n};")
    print("inline const std::vector<GoldenBlock> kGoldenBlocks = {")
    for seed, name in enumerate(READ):
        data = random_blocks(name, 1, seed, unit_scales=True)
        out = quants.dequantize(data, Type[name]).reshape(-1)
        assert (out == np.round(out)).all()
        print(f"    {{Format::{name.lower()},\n     {literal(data)}sv,\n     {{{', '.join(str(int(v)) for v in out)}}}}},")
    print("};\n")
    print("// 64 blocks of seed 100 + position here: the hash of their values.")
    print("struct GoldenHash {\n  Format format;\n  uint64_t hash;\n};")
    print("inline const std::vector<GoldenHash> kDequantised = {")
    for seed, name in enumerate(READ):
        data = random_blocks(name, 64, 100 + seed, unit_scales=False)
        out = quants.dequantize(data, Type[name]).astype(np.float32)
        print(f"    {{Format::{name.lower()}, 0x{fnv1a(out):016x}}},")
    print("};\n")
    print("// One block of 32 values of seed 200, times 1/512: its bytes.")
    print("struct GoldenBytes {\n  Format format;\n  std::string_view bytes;\n};")
    print("inline const std::vector<GoldenBytes> kQuantisedBlocks = {")
    for name in WRITTEN:
        out = quants.quantize(values(32, 200, 1 / 512).reshape(1, -1), Type[name])
        print(f"    {{Format::{name.lower()},\n     {literal(out)}sv}},")
    print("};\n")
    print("// 4096 values of seed 300, times 0.002, rounded, times 0.7: the hash of their bytes.")
    print("inline const std::vector<GoldenHash> kQuantised = {")
    for name in WRITTEN:
        x = (np.round(values(4096, 300, 0.002)) * np.float32(0.7)).astype(np.float32)
        print(f"    {{Format::{name.lower()}, 0x{fnv1a(quants.quantize(x.reshape(1, -1), Type[name])):016x}}},")
    print("};\n")
    print("}  // namespace sigma::test")


if __name__ == "__main__":
    main()
