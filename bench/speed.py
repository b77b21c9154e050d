"""Whole models: every row of plan.GROUPS, the programs of a group by turns."""
import statistics
from dataclasses import replace

import plan
from children import Failed, Llama, Sigma, peer_version, sizes_of
from lines import line_of, names_of, spread

BREAK_EVEN = "break-even context of decode"


def peer_name(row):
    side = row.theirs
    if side is None:
        return None
    if side.program != "sigma":
        return side.program + (f" on {side.model}" if side.model != row.ours.model else "")
    return " ".join(
        (side.model if side.model != row.ours.model else "", side.title() if side.case != row.ours.case else "")
    ).strip()


def key_of(row, options=None):
    side = row.ours
    if row.theirs and row.theirs.program != "sigma" and options and not options.peer:
        row = replace(row, theirs=None)
    return (*names_of(side.model).values(), side.k_cache, "bf16", side.title(), peer_name(row))


class Programs:
    """The children of a group, started when they are first asked."""

    def __init__(self, options, rows):
        self.options, self.sides, self.children = options, {}, {}
        for side in (s for row in rows for s in (row.ours, row.theirs) if s):
            self.sides.setdefault(self.child_key(side), []).append(side)

    @staticmethod
    def child_key(side):
        return side.program, side.model, side.k_cache, side.v_top

    def __getitem__(self, side):
        if side is None or (side.program != "sigma" and not self.options.peer):
            return None
        key = self.child_key(side)
        if key not in self.children:
            kind = Sigma if side.program == "sigma" else Llama
            self.children[key] = kind(self.options.sigma, self.sides[key], self.options.threads)
        return self.children[key]

    def close(self):
        for child in self.children.values():
            child.close()


def measure(row, programs, options):
    ours, theirs = programs[row.ours], programs[row.theirs]
    case = row.ours.case
    for child, side in ((ours, row.ours), (theirs, row.theirs)):
        if isinstance(child, Sigma) and row.rounds is None:
            child.measure(side.case)  # warm
    own, other = [], []
    for _ in range(row.rounds or options.repeats):
        own.append(ours.measure(case))
        if theirs:
            other.append(theirs.measure(row.theirs.case))
    limit = {"kind": own[0]["limit"]["kind"], "value": statistics.median(answer["limit"]["value"] for answer in own)}
    _, context, sequences = sizes_of(case)
    ours_spread = spread([answer["speed"] for answer in own])
    peer, ratio = peer_of(row, theirs, own, other) if theirs else (None, None)
    caches = (row.ours.k_cache, "bf16")
    line = line_of(row.ours.title(), row.ours.model, options.threads, "tokens/s", ours_spread, peer, ratio, caches)
    line.update(context=context, batch=sequences, bytes=own[0]["bytes"], flops=own[0]["flops"], limit=limit)
    line["share"] = statistics.median(answer["share"] for answer in own)
    return line


def peer_of(row, theirs, own, other):
    """The peer for the line, and ours over theirs: the median of the rounds' ratios where every round has both."""
    if row.theirs.program == "sigma":
        speeds = [answer["speed"] for answer in other]
        ratio = statistics.median(a["speed"] / b for a, b in zip(own, speeds))
        return (peer_name(row), "ours", spread(speeds)), ratio
    flash = theirs.best(row.theirs.case)
    speeds = theirs.speeds[row.theirs.case][flash]
    ratio = statistics.median(a["speed"] for a in own) / statistics.median(speeds)
    return (peer_name(row), peer_version(flash), spread(speeds)), ratio


def run_group(rows, options):
    """Yields (row, its line or why it has none)."""
    programs = Programs(options, rows)
    try:
        for row in rows:
            try:
                yield row, measure(row, programs, options)
            except Failed as why:
                yield row, why
    finally:
        programs.close()


# --- The context from which Sigma is faster than the standard model ---


def zero_of(points):
    """Where a line through neighbouring points [(x, y)], y falling, crosses zero; None: nowhere between them."""
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if y0 >= 0 > y1:
            return x0 + (x1 - x0) * y0 / (y0 - y1)
    return None


def bytes_per_token(side, lines):
    """As measured in any row of that side; None: in none."""
    names = (*names_of(side.model).values(), side.k_cache, "bf16", side.title())
    tokens, _, sequences = sizes_of(side.case)
    return next((line["bytes"] / tokens / sequences for key, line in lines.items() if key[:5] == names), None)


def bytes_ratio(row, lines):
    """How many times faster ours is if both run at their limit; None: one of them was not measured."""
    ours, theirs = bytes_per_token(row.ours, lines), bytes_per_token(row.theirs, lines)
    return theirs / ours if ours and theirs else None


def break_even(weights, lines):
    """From the rows of plan.whole_steps: where both take the same time, beside where both read as many bytes. None: too
    few rows, or no such context between them."""
    rows = [row for row in plan.whole_steps(weights) if key_of(row) in lines]
    extra = {name: [] for name in ("median", "low", "high")}  # seconds that a token of Sigma's takes longer
    extra_bytes = []
    for row in rows:
        line = lines[key_of(row)]
        for name, points in extra.items():
            points.append((line["context"], 1 / line["ours"][name] - 1 / line["peer"][name]))
        std = bytes_per_token(row.theirs, lines)
        if std:
            extra_bytes.append((line["context"], bytes_per_token(row.ours, lines) - std))
    found = {name: zero_of(points) for name, points in extra.items()}
    computed = zero_of(extra_bytes)
    if found["median"] is None or computed is None:
        return None
    contexts = [context for context in found.values() if context is not None]
    ours = {"median": found["median"], "low": min(contexts), "high": max(contexts)}
    peer = ("computed from bytes", "ours", spread([computed]))
    threads = lines[key_of(rows[0])]["threads"]
    return line_of(BREAK_EVEN, f"sigma-1.5b {weights}", threads, "tokens", ours, peer)
