"""What `make bench` measures whole models on, and what it aims at: shares of the machine's limit, and speed over what is
measured by turns with it. Quality, start-up and the rest state their aims where they are measured."""
from dataclasses import dataclass, replace

# name: (where it comes from, --type of `sigma convert` or `sigma new`; None: as it is)
MODELS = {
    "SmolLM2-135M q4_1": ("smollm2", None),
    "SmolLM2-135M q8_0": ("smollm2", "q8"),
    "SmolLM2-135M bf16": ("smollm2", "bf16"),
    "SmolLM2-135M f32": ("smollm2", "f32"),
    "std-1.5b q8_0": ("configs/std-1.5b.json", "q8"),
    "std-1.5b q4_0": ("configs/std-1.5b.json", "q4"),
    "std-1.5b bf16": ("configs/std-1.5b.json", "bf16"),
    "sigma-1.5b q8_0": ("configs/sigma-1.5b.json", "q8"),
    "sigma-1.5b q4_0": ("configs/sigma-1.5b.json", "q4"),
}
SHIPPED = "SmolLM2-135M q4_1"


@dataclass(frozen=True)
class Side:
    """One program on one case; case: as `sigma bench model --case` has it."""

    model: str
    case: str
    k_cache: str = "bf16"
    v_top: int = 0
    program: str = "sigma"

    def title(self):
        return self.case + (f" v-top {self.v_top}" if self.v_top else "")


@dataclass(frozen=True)
class Row:
    """ours beside theirs. The aims: at least this share of the limit, at least this many times their speed ("bytes":
    what the bytes of both say)."""

    ours: Side
    theirs: Side = None
    share: float = None
    ratio: object = None
    rounds: int = None  # 5 without
    section: str = "speed"


def beside_llama(model, *rows):
    """rows: (case, aimed share, aimed ratio[, rounds])"""
    for case, share, ratio, *rounds in rows:
        ours = Side(model, case)
        yield Row(ours, replace(ours, program="llama.cpp"), share, ratio, *rounds)


def whole_steps(weights):
    """Sigma against our own standard model."""
    for case in ("decode:16", "decode:12@4096", "decode:6@16384", "decode:4@32768"):
        yield Row(
            Side(f"sigma-1.5b {weights}", case), Side(f"std-1.5b {weights}", case), 0.90, "bytes", section="sigma"
        )


LONG_PROMPT, CHUNK = 16384, 512
# A chunk's time grows linearly with its depth, so that a prompt's speed is that of its middle chunk; that of the last
# shows whether it does.
MIDDLE, LAST = f"prefill:{CHUNK}@{(LONG_PROMPT - CHUNK) // 2}", f"prefill:{CHUNK}@{LONG_PROMPT - CHUNK}"

# The rows of a group are measured with all their programs loaded, in this order: contexts only grow.
GROUPS = [
    [*beside_llama("SmolLM2-135M q4_1", ("prefill:512", 0.50, 3), ("decode:128", 0.75, 1.6), ("decode:32@4096", None, None))],
    [*beside_llama("SmolLM2-135M q8_0", ("prefill:512", 0.50, 3), ("decode:128", 0.80, 1.4), ("decode:32@4096", None, None))],
    [*beside_llama("SmolLM2-135M bf16", ("prefill:512", 0.55, 1.5), ("decode:128", None, None), ("decode:32@4096", None, None))],
    [
        *beside_llama(
            "std-1.5b q8_0",
            ("prefill:512", 0.60, 3),
            ("decode:16", 0.92, 1.05),
            ("decode:12@4096", 0.90, 1.3),
            (MIDDLE, 0.50, 2, 3),
            ("decode:6@16384", 0.90, 1.5),
            ("decode:4@32768", 0.90, 1.7),
        ),
        Row(Side("std-1.5b q8_0", LAST), rounds=3),
        Row(Side("std-1.5b q8_0", "decode:16@1024x8"), Side("std-1.5b q8_0", "decode:16@1024"), 0.80, 4.5),
    ],
    [
        *beside_llama(
            "std-1.5b q4_0",
            ("prefill:512", 0.60, 3),
            ("decode:16", 0.92, 1.05),
            ("decode:12@4096", 0.90, 1.3),
            ("decode:6@16384", 0.90, 1.5),
            ("decode:4@32768", 0.90, 1.7),
        ),
        Row(
            Side("sigma-1.5b q4_0", "decode:16@32768", k_cache="q8_0", v_top=100),
            Side("std-1.5b q4_0", "decode:4@32768", program="llama.cpp"),
            0.75,
            4,
        ),
    ],
    [*beside_llama("std-1.5b bf16", ("prefill:512", 0.70, 1.6), ("decode:12", 0.92, 1), ("decode:4@32768", None, None))],
    [*whole_steps("q8_0")],
    [*whole_steps("q4_0")],
]

# Attention alone (`sigma bench kernels --filter attention`); case: (caches, aimed share, aimed part of the first's time
# saved).
ATTENTION = {
    "attention std 32/16/16": (("bf16", "bf16"), 0.95, None),
    "attention sigma 32/4/16": (("bf16", "bf16"), 0.95, 0.36),
    "attention sigma, K repeated to 16 heads": (("bf16", "bf16"), None, None),
    "attention sigma, q8 K": (("q8_0", "bf16"), None, None),
    "attention sigma, q8 K, q8 V": (("q8_0", "q8_0"), None, None),
    "attention sigma, v-top 100": (("bf16", "bf16"), 0.80, 0.84),
    "attention sigma, q8 K, v-top 100": (("q8_0", "bf16"), None, 0.90),
}
