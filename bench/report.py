"""Results as tables: on the terminal, and in docs/benchmarks.md between its markers."""
import os
import platform
import time

from children import ROOT

TITLES = {
    "speed": "Whole models beside llama.cpp",
    "sigma": "The whole step, Sigma against our own standard model",
    "attention": "Attention alone, 32k tokens in the cache, one layer after another out of memory",
    "generation": "Start-up, memory, speculation",
    "tokenizers": "Tokenizers beside Hugging Face's",
    "training": "Training beside PyTorch: steps of 8,192 tokens in passes of 2,048, and tuning in steps of 4,096",
    "corpus": "The corpus pipeline",
    "quality": "Quality: change of perplexity against the shipped weights in f32, with one standard error",
    "exactness": "Exactness: ways to compute an answer that change any bit of it, of six",
    "kernels": "The other kernels alone",
}
HEAD = ["model", "case", "ours (low - high)", "by turns with it (low - high)", "ratio", "share of the limit", "aim"]


def shown(value, unit):
    if unit == "s":
        return f"{value:.3f} s" if value >= 0.05 else f"{value * 1e3:.3f} ms" if value >= 1e-3 else f"{value * 1e6:.1f} us"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "MiB/s":
        return f"{value:,.2f} MiB/s" if value < 10 else f"{value:,.0f} MiB/s"
    if unit == "MB/s":
        return f"{value:,.1f} MB/s"
    if unit == "documents/s":
        return f"{value:,.0f} documents/s"
    return f"{value:+.3f}%" if unit == "%" else f"{value:,.1f}" if unit == "tokens/s" else f"{value:,.0f}"


def with_spread(values, unit):
    middle, low, high = (shown(values[name], unit) for name in ("median", "low", "high"))
    return middle if low == high else f"{middle} ({low} - {high})"


def row(line, entry):
    """Cells; bold is what falls short of its aim."""
    unit, peer, aims = line["unit"], line["peer"], []

    def judged(text, good, aim):
        aims.append(aim)
        return text if good else f"**{text}**"

    model = [" ".join(filter(None, (line["model"], line["weights"])))]
    if line["k_cache"] not in (None, "bf16") or line["v_cache"] not in (None, "bf16"):
        model.append(f"K {line['k_cache']} V {line['v_cache']}")
    model = ", ".join(filter(None, model))
    ours = with_spread(line["ours"], unit)
    if entry.most is not None:
        ours = judged(ours, line["ours"]["median"] <= entry.most, f"<= {shown(entry.most, unit)}")
    if entry.least is not None:
        ours = judged(ours, line["ours"]["median"] >= entry.least, f">= {shown(entry.least, unit)}")
    theirs = "-"
    if peer:
        way = ", flash" if peer["version"].endswith(", flash attention") else ""
        theirs = f"{peer['name']}{way}: {with_spread(peer, unit)}"
    ratio = "-"
    if line["ratio"] is not None and entry.less is not None:
        less = 1 - 1 / line["ratio"]
        ratio = judged(f"{less:.1%} less time", less >= entry.less, f">= {entry.less:.0%} less time")
    elif line["ratio"] is not None:
        ratio = f"{line['ratio']:.2f} x"
        if entry.ratio is not None:
            ratio = judged(ratio, round(line["ratio"], 2) >= round(entry.ratio, 2), f">= {entry.ratio:.2f} x")
    share = "-"
    if line["share"] is not None:
        share = f"{line['share']:.0%} of {line['limit']['kind']} {line['limit']['value'] / 1e9:,.0f} G/s"
        if entry.share is not None:
            share = judged(share, line["share"] >= entry.share, f">= {entry.share:.0%}")
    return [model, line["case"], ours, theirs, ratio, share, ", ".join(aims) or "-"]


def table(rows):
    cells = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def tables(lines, entries):
    """All sections that have a line. lines: by key; entries: by key, in order."""
    parts = []
    for section, title in TITLES.items():
        rows = [row(lines[key], entry) for key, entry in entries.items() if entry.section == section and key in lines]
        if rows:
            parts.append(f"### {title}\n\n{table(rows)}\n")
    return "\n".join(parts)


def machine():
    facts = dict(line.split(":", 1) for line in open("/proc/cpuinfo") if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    model = facts.get("model name", platform.machine())
    family = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    return f"{model}{family}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def write_docs(lines, entries, command, minutes):
    path = ROOT / "docs" / "benchmarks.md"
    begin, end = "<!-- results -->", "<!-- end of results -->"
    head, rest = path.read_text().split(begin)
    _, tail = rest.split(end)
    body = f"\nMachine: {machine()}. Measured {time.strftime('%Y-%m-%d')} by `{command}`, in {minutes}.\n\n"
    partial = path.with_suffix(".partial")
    partial.write_text(head + begin + body + tables(lines, entries) + end + tail)
    partial.rename(path)
