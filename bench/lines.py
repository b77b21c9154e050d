"""The lines of results: docs/schemas/bench.json."""
import json
import statistics

from children import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "bench.json").read_text())


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def names_of(model):
    """("std-1.5b", "q8_0")"""
    name, weights = model.split(" ")
    return {"model": name, "weights": weights}


def line_of(case, model, threads, unit, ours, peer=None, ratio=None, caches=("bf16", "bf16")):
    """One without bytes, operations and a limit. peer: (name, version, spread)"""
    line = {"case": case, **names_of(model), "k_cache": caches[0], "v_cache": caches[1], "context": 0, "batch": 1}
    line.update(threads=threads, unit=unit, ours=ours, peer=None, ratio=ratio)
    if peer:
        line["peer"] = {"name": peer[0], "version": peer[1], **peer[2]}
    return {**line, "bytes": None, "flops": None, "limit": None, "share": None}


def key_of_line(line):
    """What tells a row from the others."""
    peer = line["peer"]["name"] if line["peer"] else None
    return line["model"], line["weights"], line["k_cache"], line["v_cache"], line["case"], peer


def check(line):
    """That a line has the schema's form."""
    missing = set(SCHEMA["required"]) - set(line)
    unknown = set(line) - set(SCHEMA["properties"])
    if missing or unknown or line["unit"] not in SCHEMA["properties"]["unit"]["enum"]:
        raise ValueError(f"not a line of results (missing {missing}, unknown {unknown}): {line}")
