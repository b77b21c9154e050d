"""Rows of training beside PyTorch: steps of the sizes of configs/, their memory, and tuning the shipped model."""
import functools
import itertools
import json
import pathlib
import tempfile

import plan
import tokenizer_rows
from children import CACHE, PEERS, ROOT, Failed, run, run_json
from lines import line_of, spread

PEER = "PyTorch"
VENV_PYTHON = PEERS / ".venv-torch" / "bin" / "python"
STEP, PASS = 8192, 2048  # tokens
CONTEXTS = (512, 1024)
ROUNDS = {"sigma-30m": 3, "sigma-125m": 2}  # at most; a step of the second takes PyTorch minutes
LEAST_SPEED, LEAST_SHARE, LEAST_SAVING = 1.5, 0.45, 1 / 0.7
STEPS = 2  # of a turn of ours; the best of PyTorch's counts

TUNE_STEP, TUNE_CONTEXT, CONVERSATIONS, PROMPT, ANSWER = 4096, 512, 60, 200, 1000
TUNE = f"tune:{TUNE_STEP}@{TUNE_CONTEXT}"
TUNE_RUN = """model = "{model}"
out = "{out}"
context = {context}
[[phase]]
data = "{data}"
learning_rate = 1e-5
batch_tokens = {step}
"""


def speed_case(context):
    return f"train:{STEP}@{context}"


def memory_case(context):
    return f"train memory:{STEP}@{context}"


class Torch:
    """PyTorch in the precision in which it is faster on this machine: it takes a pass of the smaller model in each."""

    def __init__(self, options):
        self.python, self.threads = options.torch or VENV_PYTHON, options.threads
        try:
            run([self.python, "-c", "import torch"])
        except (OSError, Failed):
            raise Failed(f"{self.python} has no PyTorch (bench/peers/install.sh torch, or --torch PYTHON)") from None

    def measure(self, config, context, precision, tokens):
        command = [self.python, PEERS / "train_torch.py", config, "--context", context, "--tokens", tokens]
        command += ["--micro", PASS, "--precision", precision, "--steps", 1, "--threads", self.threads]
        return json.loads(run(command))

    @functools.cached_property
    def precision(self):
        config = ROOT / "configs" / "sigma-30m.json"
        tried = {p: self.measure(config, CONTEXTS[0], p, PASS)["tokens_per_second"] for p in ("f32", "bf16")}
        return max(tried, key=tried.get)

    def step(self, config, context, tokens=STEP):
        return self.measure(config, context, self.precision, tokens)


TORCH = []


def torch_of(options):
    """One for the whole run; None without a peer."""
    if options.peer and not TORCH:
        TORCH.append(Torch(options))
    return TORCH[0] if options.peer else None


def against(turns):
    """turns: [(our rate, what PyTorch told)]; (peer of a line, ratio)"""
    found = [theirs for _, theirs in turns]
    if None in found:
        return None, None
    version = f"{found[0]['peer']}, {found[0]['precision']}"
    speeds = [theirs["tokens_per_second"] for theirs in found]
    ratio = spread([ours / theirs for (ours, _), theirs in zip(turns, speeds)])["median"]
    return (PEER, version, spread(speeds)), ratio


def steps(name, context, options):
    """Two lines: tokens a second, and the most memory a process had. Each turn is a process of each side."""
    config, torch, turns, lines = ROOT / "configs" / f"{name}.json", torch_of(options), [], []
    for _ in range(min(options.repeats, ROUNDS[name])):
        lines.append(run_json([options.sigma, "bench", "train", "-m", config, "--context", context, "--tokens", STEP, "--micro", PASS,
                               "--repeats", STEPS, "--threads", options.threads]))
        turns.append((lines[-1]["ours"]["median"], torch and torch.step(config, context)))
    peer, ratio = against(turns)
    model = f"{name} {lines[0]['weights']}"
    line = line_of(speed_case(context), model, options.threads, "tokens/s", spread([ours for ours, _ in turns]), peer, ratio)
    line["flops"] = lines[0]["flops"]
    line["limit"] = {"kind": lines[0]["limit"]["kind"], "value": max(one["limit"]["value"] for one in lines)}
    line["share"] = spread([one["share"] for one in lines])["median"]
    yield line
    bytes_ = spread([one["bytes"] for one in lines])
    if torch:
        theirs = spread([theirs["peak_bytes"] for _, theirs in turns])
        peer, ratio = (*peer[:2], theirs), theirs["median"] / bytes_["median"]
    yield line_of(memory_case(context), model, options.threads, "bytes", bytes_, peer, ratio)


def conversations():
    """Manual pages to be gone on with."""
    for text in itertools.islice(tokenizer_rows.documents(tokenizer_rows.MAN_PAGES, 10 << 20), CONVERSATIONS):
        prompt = f"Go on with this manual page:\n{text[:PROMPT]}"
        yield json.dumps({"prompt": prompt, "answer": text[PROMPT : PROMPT + ANSWER]}) + "\n"


def shipped_config(sigma):
    path = CACHE / (plan.SHIPPED.replace(" ", "-") + "-config.json")
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            run([sigma, "convert", plan.MODELS[plan.SHIPPED][0], f"{scratch}/model", "--type", "bf16"])
            path.write_text(pathlib.Path(scratch, "model", "config.json").read_text())
    return path


def tuning(options):
    """`sigma sft` as it is, on rows that are full of conversations; PyTorch takes steps of as many tokens."""
    config, torch, turns, shares = shipped_config(options.sigma), torch_of(options), [], []
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        data, settings = f"{scratch}/data.jsonl", f"{scratch}/run.toml"
        with open(data, "w") as file:
            file.writelines(conversations())
        with open(settings, "w") as file:
            model = plan.MODELS[plan.SHIPPED][0]
            file.write(TUNE_RUN.format(model=model, out=f"{scratch}/run", context=TUNE_CONTEXT, data=data, step=TUNE_STEP))
        for _ in range(min(options.repeats, 2)):
            run(["rm", "-rf", f"{scratch}/run"])
            told = run([options.sigma, "sft", settings, "--json", "--threads", options.threads])
            events = [json.loads(line) for line in told.splitlines()]
            start = next(e for e in events if e["event"] == "start")
            found = [e for e in events if e["event"] == "step"][1:]  # the first warms up
            rate = spread([e["tokens_per_second"] for e in found])["median"]
            turns.append((rate, torch and torch.step(config, TUNE_CONTEXT, TUNE_STEP)))
            shares.append(spread([e["mfu"] for e in found])["median"])
    peer, ratio = against(turns)
    line = line_of(TUNE, plan.SHIPPED, options.threads, "tokens/s", spread([ours for ours, _ in turns]), peer, ratio)
    line["limit"] = {"kind": start["precision"], "value": start["products_per_second"]}
    line["share"] = spread(shares)["median"]
    yield line
