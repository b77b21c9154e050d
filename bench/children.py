"""The programs that are measured, as children that answer a line with a line, and the model files they read."""
import json
import os
import pathlib
import statistics
import subprocess
import time

import plan

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
PEER_PYTHON = PEERS / ".venv" / "bin" / "python"
CACHE = pathlib.Path(os.environ.get("SIGMA_CACHE") or pathlib.Path.home() / ".cache" / "sigma") / "bench"
REST = 0.02  # seconds between turns, so that nobody's idle threads still spin when the other is measured


class Failed(Exception):
    """A row that has no figure; the others go on."""


def run(command):
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}: {last}")
    return done.stdout


def run_json(command):
    return json.loads(run([*command, "--json"]))


def model_file(sigma, name):
    """The path of one of plan.MODELS, made on first use."""
    source, kind = plan.MODELS[name]
    if kind is None:
        run([sigma, "pull", source])
        return next(m["path"] for m in run_json([sigma, "list"]) if m["name"] == source)
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / (name.replace(" ", "-") + ".gguf")
    if not path.exists():
        verb = ["new", ROOT / source] if source.endswith(".json") else ["convert", source]
        run([sigma, *verb, path, "--type", kind])
    return str(path)


def sizes_of(case):
    """(tokens of a sequence, context before them, sequences)"""
    size, _, sequences = case.partition(":")[2].partition("x")
    tokens, _, context = size.partition("@")
    return int(tokens), int(context or 0), int(sequences or 1)


class Child:
    def __init__(self, command):
        self.name = pathlib.Path(command[0]).name
        self.child = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        time.sleep(REST)
        try:
            self.child.stdin.write(line + "\n")
            self.child.stdin.flush()
            return json.loads(self.child.stdout.readline())
        except (OSError, ValueError):
            raise Failed(f"{self.name} ended while measuring {line}") from None

    def close(self):
        try:
            self.child.stdin.close()
        except OSError:  # it ended before
            pass
        self.child.wait()


class Sigma(Child):
    """sigma bench model; sides: everything it will be asked for."""

    def __init__(self, sigma, sides, threads):
        side = sides[0]
        command = [sigma, "bench", "model", "-m", model_file(sigma, side.model), "--stdin", "--threads", threads]
        command += ["--k-cache", side.k_cache.removesuffix("_0"), "--v-top", side.v_top]
        super().__init__(command + [word for s in sides for word in ("--case", s.case)])

    def measure(self, case):
        """The answer of `sigma bench model --stdin`, with tokens/s as "speed"."""
        answer = self.ask(case)
        tokens, _, sequences = sizes_of(case)
        return {**answer, "speed": tokens * sequences / answer["seconds"]}


class Llama(Child):
    """llama.cpp without and with flash attention: both ways once, and again if they are close, then the faster only."""

    def __init__(self, sigma, sides, threads):
        longest = max(sum(sizes_of(side.case)[:2]) for side in sides)
        command = [PEER_PYTHON, PEERS / "llama_bench.py", model_file(sigma, sides[0].model), "--stdin"]
        super().__init__(command + ["--context", longest, "--threads", threads])
        self.speeds = {}  # case: {flash: [tokens/s]}

    def measure(self, case):
        speeds = self.speeds.setdefault(case, {False: [], True: []})
        tokens, context, _ = sizes_of(case)
        for flash in self.ways(speeds):
            request = {"case": case.split(":")[0], "tokens": tokens, "context": context, "flash_attention": flash}
            speeds[flash].append(tokens / self.ask(json.dumps(request))["seconds"])

    @staticmethod
    def ways(speeds):
        slow, fast = sorted(speeds, key=lambda flash: statistics.median(speeds[flash] or [0]))
        close = not speeds[slow] or speeds[fast][0] < 1.15 * speeds[slow][0]
        return [False, True] if len(speeds[slow]) < 2 and close else [fast]

    def best(self, case):
        return max((False, True), key=lambda flash: statistics.median(self.speeds[case][flash]))


def peer_version(flash):
    package = (PEERS / "requirements.txt").read_text().split("\n")[0].replace("==", " ")
    return f"{package}, {'' if flash else 'no '}flash attention"
