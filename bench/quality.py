"""What arithmetic and caches cost in quality: the change of perplexity against the shipped model in f32 (its weights as
they are, products, attention and caches in f32), token by token over the same text.

The text: the Python language reference as help() shows it (pydoc_data.topics of the Python that runs this), in windows
of 2,048 tokens, of which the second half is scored: every scored token has 1,024 to 2,046 before it."""
import array
import hashlib
import math
import pathlib
import statistics
import tempfile
from pydoc_data.topics import topics

from children import CACHE, model_file, run
from lines import line_of

CONTEXT = 2048
CHARACTERS = 262_000  # 31 thousand scored tokens
PEER = "the same in f32"
REFERENCE = ("SmolLM2-135M f32", "f32")
# case: (model, format of both caches, options, largest aimed change in %)
VARIANTS = {
    "perplexity, as shipped": ("SmolLM2-135M q4_1", "bf16", (), 0.1),
    "perplexity, weights in q8": ("SmolLM2-135M q8_0", "bf16", (), 0.1),
    "perplexity, q8 caches": ("SmolLM2-135M q4_1", "q8_0", (), 0.3),
    "perplexity, v-top 100": ("SmolLM2-135M q4_1", "bf16", ("--v-top", 100), 0.5),
    **{
        f"perplexity, v-top {k} renormalised": ("SmolLM2-135M q4_1", "bf16", ("--v-top", k, "--v-renormalise"), most)
        for k, most in ((25, None), (50, None), (100, 0.5), (200, None))
    },
}


def text_file():
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "python-topics.txt"
    path.write_text("\n".join(topics[name] for name in sorted(topics))[:CHARACTERS])
    return path


def token_losses(options, model, cache, more=()):
    """The negative log-likelihood of every scored token."""
    name = cache.removesuffix("_0")
    with tempfile.NamedTemporaryFile(suffix=".nll") as file:
        command = [options.sigma, "perplexity", "-m", model_file(options.sigma, model), "-f", text_file()]
        command += ["--context", CONTEXT, "--k-cache", name, "--v-cache", name, "--nll", file.name, *more]
        run([*command, "--threads", options.threads])
        losses = array.array("d")
        losses.frombytes(pathlib.Path(file.name).read_bytes())
        return losses


def reference_losses(options):
    """Kept from run to run of the same binary: it takes as long as two of the others."""
    name = hashlib.sha256(pathlib.Path(options.sigma).read_bytes() + text_file().read_bytes()).hexdigest()[:16]
    path = CACHE / f"reference-{name}.nll"
    if not path.exists():
        for old in CACHE.glob("reference-*.nll"):
            old.unlink()
        losses = token_losses(options, *REFERENCE)
        path.with_suffix(".partial").write_bytes(losses.tobytes())
        path.with_suffix(".partial").rename(path)
    return array.array("d", path.read_bytes())


def change_of(losses, reference):
    """(change of perplexity in %, its standard error): of the paired differences."""
    differences = [a - b for a, b in zip(losses, reference)]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return 100 * math.expm1(mean), 100 * error * math.exp(mean)


def quality(cases, options):
    """ours: the change in %, low and high one standard error away."""
    reference = reference_losses(options)
    peer = (PEER, f"ours, {len(reference)} tokens", {"median": 0, "low": 0, "high": 0})
    for case in cases:
        model, cache, more, _ = VARIANTS[case]
        change, error = change_of(token_losses(options, model, cache, more), reference)
        ours = {"median": change, "low": change - error, "high": change + error}
        line = line_of(case, model, options.threads, "%", ours, peer, caches=(cache, cache))
        yield {**line, "context": CONTEXT}
