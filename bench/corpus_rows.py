"""Rows of the corpus pipeline: from Debian packages to shards on one core, its rules, near duplicates beside datatrove, and
the memory that many documents and dumps of every kind take. What is per core is counted in the processor's time."""
import json
import pathlib
import shutil
import tempfile

import corpus_dumps
from children import CACHE, PEER_PYTHON, PEERS, ROOT, Failed, run
from lines import line_of, spread

PEER = "datatrove"
BUILD = "package files to shards, a core, rendering of man pages apart"
PAGES = "man pages rendered, a core"
RULES = {"quality rules": 40, "cleaning": None, "masking": None, "signs": None}  # MB/s a core at least
DUPLICATES = "near duplicates, 5-grams, 14 x 8, one core"
DUPLICATE_DOCUMENTS = 1500
DUMP_BYTES, DUMP_MEMORY = 100_000_000, 512 << 20
DOCUMENTS = 1_000_000
MEMORY = f"memory of a build, {DOCUMENTS:,} documents"
MOST_MEMORY = 1_000_000_000 + 100 * DOCUMENTS


def rule_case(rule):
    return f"{rule}, a core"


def dump_case(_):
    return f"memory to read a dump of {DUMP_BYTES // 1_000_000} MB"


def set_of(options):
    return "small" if options.quick else "medium"


def model_of(options):
    return f"Debian {set_of(options)}"


def bench(options, *words):
    program = pathlib.Path(options.sigma).resolve().parent.parent / "bench" / "bench_corpus"
    return json.loads(run([program, *words]))


def work_folder():
    CACHE.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=CACHE, prefix="corpus-")


def row(case, model, unit, values, peer=None, ratio=None):
    return line_of(case, model, 1, unit, spread(values), peer, ratio, caches=(None, None))


def building(options):
    """A build from nothing, then the rules on what it read."""
    name = set_of(options)
    run([options.sigma, "corpus", "fetch", "debian", "--set", name])
    run([options.sigma, "corpus", "fetch", "language"])
    turns = options.repeats if options.quick else 1
    speeds, page_speeds = [], []
    with work_folder() as folder:
        for _ in range(turns):
            shutil.rmtree(f"{folder}/work", ignore_errors=True)
            found = bench(options, "build", ROOT / f"configs/corpus-{name}.toml", f"{folder}/work", 1)
            speeds.append(found["text_bytes"] / 1e6 / (found["cpu_seconds"] - found["render_seconds"]))
            page_speeds.append(found["page_bytes"] / 1e6 / (found["mandoc_seconds"] + found["render_seconds"]))
        yield row(BUILD, model_of(options), "MB/s", speeds)
        yield row(PAGES, model_of(options), "MB/s", page_speeds)
        found = bench(options, "rules", f"{folder}/work", options.repeats)
        for rule in RULES:
            yield row(rule_case(rule), model_of(options), "MB/s", [found["bytes"] / 1e6 / s for s in found[rule]])
        documents = pathlib.Path(folder) / "documents.jsonl"
        bench(options, "texts", f"{folder}/work", documents)
        yield duplicates(options, folder, documents)


def duplicates(options, folder, documents):
    """Ours: a build whose signs were taken away, from the documents on disk to what became of each. The rest of it is there
    and only looked at."""
    lines = documents.read_text().splitlines(keepends=True)
    step = max(1, len(lines) // DUPLICATE_DOCUMENTS)
    documents.write_text("".join(lines[::step]))
    config = pathlib.Path(folder) / "duplicates.toml"
    config.write_text(
        "[[source]]\nkind = 'json_lines'\npath = 'documents.jsonl'\n"
        "[cleaning]\nmask_personal = false\n[duplicates]\nparagraph_repeats = 0\n"
    )
    work = f"{folder}/duplicates"
    count = bench(options, "build", config, work, 1)["cleaned"]
    ours, theirs = [], []
    for _ in range(min(options.repeats, 3)):
        shutil.rmtree(f"{work}/4-signs")
        ours.append(count / bench(options, "build", config, work, 1)["seconds"])
        if options.peer:
            answer = json.loads(run([PEER_PYTHON, PEERS / "datatrove_bench.py", documents]))
            theirs.append(len(lines[::step]) / answer["seconds"])
    peer = ratio = None
    if theirs:
        peer = (PEER, version(), spread(theirs))
        ratio = spread([a / b for a, b in zip(ours, theirs)])["median"]
    return row(DUPLICATES, model_of(options), "documents/s", ours, peer, ratio)


def version():
    lines = (PEERS / "requirements.txt").read_text().split("\n")
    return next(line for line in lines if line.startswith(PEER)).replace("==", " ")


def memory(options):
    with work_folder() as folder:
        bench(options, "synthetic", DOCUMENTS, f"{folder}/documents.jsonl")
        config = pathlib.Path(folder) / "synthetic.toml"
        config.write_text("[[source]]\nkind = 'json_lines'\npath = 'documents.jsonl'\n")
        found = bench(options, "build", config, f"{folder}/work", options.threads)
        if found["documents"] != DOCUMENTS:
            raise Failed(f"read {found['documents']} documents of {DOCUMENTS}")
        yield row(MEMORY, "generated documents", "bytes", [found["peak_bytes"]])


def dumps(options, wanted):
    """Each dump is made, read and removed."""
    for kind in corpus_dumps.KINDS:
        case = dump_case(kind)
        if not any(key[0] == kind and key[4] == case for key in wanted):
            continue
        with work_folder() as folder:
            path, documents = corpus_dumps.KINDS[kind](folder, DUMP_BYTES)
            found = bench(options, "read", kind.split("_in_")[0], path, f"{folder}/scratch")
        if found["documents"] != documents:
            raise Failed(f"{kind}: read {found['documents']} documents of {documents}: {found['skips']}")
        yield row(case, f"{kind} dump", "bytes", [found["peak_bytes"]])
