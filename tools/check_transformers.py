"""Checks modeling_sigma.py, and the golden models themselves, with the `transformers` library. By hand, not in CI:

    python3 -m venv VENV && VENV/bin/pip install torch transformers safetensors
    VENV/bin/python tools/check_transformers.py

Every golden case is loaded with trust_remote_code (the Llama, Mistral and Qwen ones by the library's own classes) and
must give the golden logits; a forward pass in pieces over the cache, padding on the left and generate() must agree with
the whole, and what save_pretrained() writes must load again.
"""
import json
import os
import shutil
import tempfile
import warnings

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

TOOLS = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(os.path.dirname(TOOLS), "tests", "golden")
AUTO_MAP = {
    "AutoConfig": "configuration_sigma.SigmaConfig",
    "AutoModel": "modeling_sigma.SigmaModel",
    "AutoModelForCausalLM": "modeling_sigma.SigmaForCausalLM",
}
# The library renamed past_key_values in version 5.24.
CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}


def difference(logits, reference):
    """Largest difference over largest value, of the worst row."""
    logits, reference = logits.double(), reference.double()
    return ((logits - reference).abs().amax(-1) / reference.abs().amax(-1)).max().item()


def prepared_folder(case, parent):
    folder = os.path.join(parent, case)
    shutil.copytree(os.path.join(GOLDEN, case), folder)
    path = os.path.join(folder, "config.json")
    with open(path) as file:
        config = json.load(file)
    if config["model_type"] == "sigma":
        config["auto_map"] = AUTO_MAP
        for name in ("configuration_sigma.py", "modeling_sigma.py"):
            shutil.copy(os.path.join(TOOLS, name), folder)
    with open(path, "w") as file:
        json.dump(config, file)
    return folder


def load(folder, dtype):
    kind = {"torch_dtype" if transformers.__version__.startswith("4.") else "dtype": dtype}
    return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, **kind).eval()


def in_pieces(model, tokens):
    logits, cache, begin = [], None, 0
    for end in (13, 14, 29, tokens.shape[1]):
        out = model(tokens[:, begin:end], use_cache=True, **{CACHE: cache})
        logits.append(out.logits)
        cache, begin = out[CACHE], end
    return torch.cat(logits, dim=1)


def padded(model, tokens, pads=5):
    ids = torch.cat([torch.zeros(1, pads, dtype=tokens.dtype), tokens], dim=1)
    mask = torch.ones_like(ids)
    mask[:, :pads] = 0
    return model(ids, attention_mask=mask).logits[:, pads:]


def greedy_by_hand(model, tokens, count):
    for _ in range(count):
        tokens = torch.cat([tokens, model(tokens, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return tokens


@torch.no_grad()
def check(case, parent):
    golden = load_file(os.path.join(GOLDEN, case, "golden.safetensors"))
    tokens, reference = golden["tokens"][None], golden["logits"]
    folder = prepared_folder(case, parent)
    figures = {}
    for dtype, tolerance in TOLERANCE.items():
        model = load(folder, dtype)
        # The library computes rotation angles in f32 for its own classes.
        allowed = tolerance if model.config.model_type == "sigma" else TOLERANCE[torch.float32]
        ways = {"": model(tokens).logits, " in pieces": in_pieces(model, tokens), " padded": padded(model, tokens)}
        for way, logits in ways.items():
            figures[str(dtype).split(".")[1] + way] = value = difference(logits[0], reference)
            assert value < allowed, (case, dtype, way, value)
    short = tokens[:, :9]
    options = {"max_new_tokens": 16, "min_new_tokens": 16, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    generated = model.generate(short, attention_mask=torch.ones_like(short), **options)
    assert torch.equal(generated, greedy_by_hand(model, short, 16)), case
    batch = torch.cat([short, torch.cat([torch.zeros(1, 4, dtype=short.dtype), short[:, :5]], dim=1)])
    mask = torch.ones_like(batch)
    mask[1, :4] = 0
    second = model.generate(batch, attention_mask=mask, **options)[1, 9:]
    assert torch.equal(second, greedy_by_hand(model, short[:, :5], 16)[0, 5:]), case
    loss = model(tokens, labels=tokens).loss.item()
    expected = torch.nn.functional.cross_entropy(reference[:-1].double(), tokens[0, 1:]).item()
    assert abs(loss - expected) < 1e-5, (case, loss, expected)
    saved = os.path.join(parent, case + "_saved")
    model.save_pretrained(saved)
    figures["saved and loaded"] = difference(load(saved, torch.float64)(tokens).logits[0], model(tokens).logits[0])
    assert figures["saved and loaded"] < 1e-12, (case, figures)
    print(f"{case:20} " + "  ".join(f"{what} {value:.1e}" for what, value in figures.items()), flush=True)


def allow_head_dim():
    """Version 5 refuses Llama models whose width is no multiple of the heads, though head_dim says what it needs."""
    validators = getattr(transformers.LlamaConfig, "__class_validators__", [])
    validators[:] = [one for one in validators if one.__name__ != "validate_architecture"]


def main():
    allow_head_dim()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    with tempfile.TemporaryDirectory() as parent:
        for case in sorted(os.listdir(GOLDEN)):
            if os.path.exists(os.path.join(GOLDEN, case, "golden.safetensors")):
                check(case, parent)


if __name__ == "__main__":
    main()
