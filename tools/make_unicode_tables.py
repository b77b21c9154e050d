#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cc: character classes and canonical composition as Hugging Face's tokenizers sees them.

The classes are asked of the library itself, code point by code point, since its regex engine, its `Digits`
pre-tokenizer and its NFC normalizer each follow another version of Unicode, and equal ids are what counts. Canonical
decompositions and combining classes come from Python's unicodedata, less the code points which the library's (older)
normalizer does not know.

    pip install tokenizers==0.23.3 && python3 tools/make_unicode_tables.py > src/text/unicode_tables.cc
"""
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
SEPARATOR = "\x01"  # in none of the classes
LETTER, NUMBER, SPACE, LATE_NUMBER, NFC_RELEVANT = 1, 2, 3, 4, 8
BLOCK = 256

nfc = normalizers.NFC().normalize_str


def isolated(splitter):
    """Code points that the pre-tokenizer cuts out of their surroundings."""
    found = set()
    for i in range(0, len(CODE_POINTS), 4096):
        text = SEPARATOR.join(map(chr, CODE_POINTS[i : i + 4096]))
        found |= {ord(word) for word, _ in splitter.pre_tokenize_str(text) if len(word) == 1 and word != SEPARATOR}
    return found


def regex_class(pattern):
    return isolated(pre_tokenizers.Split(Regex(pattern), "isolated"))


def combining_classes():
    """Marks whose class the library knows: it moves those of class > 1 behind U+0334 (class 1), the others it leaves."""
    classes = {}
    for c in CODE_POINTS:
        k = unicodedata.combining(chr(c))
        if k > 1 and nfc("\u05d0" + chr(c) + "\u0334") == "\u05d0\u0334" + nfc(chr(c)):
            classes[c] = k
        elif k == 1 and nfc("\u05d0\u0316" + chr(c)) == "\u05d0" + chr(c) + "\u0316":
            classes[c] = k
    return classes


def decompositions():
    """{code point: its one-step canonical decomposition} and {(first, second): composite}, Hangul syllables apart."""
    parts, composites = {}, {}
    for c in CODE_POINTS:
        text = unicodedata.decomposition(chr(c))
        if not text or text.startswith("<"):
            continue
        parts[c] = [int(x, 16) for x in text.split()]
        if len(parts[c]) == 2 and nfc("".join(map(chr, parts[c]))) == chr(c):
            composites[tuple(parts[c])] = c
    known = set(composites.values())
    return {c: p for c, p in parts.items() if c in known or nfc(chr(c)) != chr(c)}, composites


def emit(name, kind, values, per_line):
    print(f"const {kind} {name}[{len(values)}] = {{")
    for i in range(0, len(values), per_line):
        print("    " + ", ".join(values[i : i + per_line]) + ",")
    print("};\n")


def main():
    letters, numbers, spaces = (regex_class(p) for p in (r"\p{L}", r"\p{N}", r"\s"))
    digits = isolated(pre_tokenizers.Digits(individual_digits=True))
    assert numbers <= digits and not digits & (letters | spaces)
    marks = combining_classes()
    parts, composites = decompositions()
    relevant = set(marks) | {second for _, second in composites} | {c for c in parts if nfc(chr(c)) != chr(c)}
    relevant |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))  # Hangul vowels and final consonants

    table = bytearray(0x110000)
    for group, value in ((letters, LETTER), (numbers, NUMBER), (spaces, SPACE), (digits - numbers, LATE_NUMBER)):
        for c in group:
            table[c] = value
    for c in relevant:
        table[c] |= NFC_RELEVANT

    blocks, index = {}, []
    for start in range(0, 0x110000, BLOCK):
        index.append(blocks.setdefault(bytes(table[start : start + BLOCK]), len(blocks)))
    assert len(blocks) <= 256
    words = []
    for block in blocks:
        for i in range(0, BLOCK, 16):
            words.append("0x%016x" % sum(v << (4 * n) for n, v in enumerate(block[i : i + 16])))

    ranges = []  # first, last, class
    for c, k in sorted(marks.items()):
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == k:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, k])

    print("// Character classes and canonical composition. Written by tools/make_unicode_tables.py from tokenizers "
          f"{tokenizers.__version__}\n// and Unicode {unicodedata.unidata_version}'s decompositions; not edited by hand.")
    print('#include "text/unicode_tables.h"\n\n// clang-format off\nnamespace sigma::unicode {\n')
    emit("kBlockIndex", "uint8_t", [str(i) for i in index], 32)
    emit("kBlocks", "uint64_t", words, 6)
    emit("kCombining", "CombiningRange", ["{0x%x, 0x%x, %d}" % tuple(r) for r in ranges], 6)
    emit("kDecompositions", "Decomposition",
         ["{0x%x, 0x%x, 0x%x}" % (c, p[0], p[1] if len(p) > 1 else 0) for c, p in sorted(parts.items())], 5)
    emit("kCompositions", "Decomposition",
         ["{0x%x, 0x%x, 0x%x}" % (c, a, b) for (a, b), c in sorted(composites.items())], 5)
    print("const size_t kCombiningCount = %d, kDecompositionCount = %d, kCompositionCount = %d;\n" %
          (len(ranges), len(parts), len(composites)))
    print("}  // namespace sigma::unicode")


main()
