#!/usr/bin/python3
"""Writes tests/golden: small models of every shape this project supports, and what the oracle says they compute.

Each case is a Hugging Face folder (config.json, safetensors) with golden.safetensors and golden.json beside it; the
README there says what is in them. Weights that cases share lie once in tests/golden/shards and are linked into the
folders. The output depends on nothing but this file. Before a case is written it is shown to be sensitive: every pair
of heads or tensors swapped, and every misreading of the specification listed below, must move the logits by 1%.

    /usr/bin/python3 tools/make_goldens.py [CASE...]       (Debian's python3-torch; all cases take a few minutes)
"""
import json
import math
import os
import shutil
import struct
import sys
import zlib

import numpy as np
import torch

from oracle_model import Oracle, Shape, rms_norm, tensor_shapes

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "golden")
TOKENS = 47  # no multiple of a page of 5 tokens, or of a power of two
LEAST_CHANGE = 1e-2  # of a row's largest logit: a hundred times the tests' tolerance
LEAST_GAP = 1e-4  # between the last score kept by selective V and the first one dropped

SMALL = {
    "hidden_size": 52,
    "num_hidden_layers": 3,
    "intermediate_size": 76,
    "num_attention_heads": 12,
    "rope_theta": 50000.0,
    "rms_norm_eps": 3e-3,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "max_position_embeddings": 128,
    "vocab_size": 97,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def llama(model_type="llama", **changes):
    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[model_type]
    head = {"architectures": [name + "ForCausalLM"], "model_type": model_type}
    return {**head, **SMALL, "num_key_value_heads": 4, "head_dim": 20, **changes}


def sigma(n_k, n_v, d_k=20, d_v=20, aug=0, **changes):
    shape = {
        "num_key_heads": n_k,
        "num_value_heads": n_v,
        "query_head_dim": 20,
        "key_head_dim": d_k,
        "value_head_dim": d_v,
        "augmented_query_size": aug,
        "key_rope": "after_expansion",
    }
    return {"architectures": ["SigmaForCausalLM"], "model_type": "sigma", **SMALL, **shape, **changes}


BLOCKS = {
    "hidden_size": 96,
    "num_hidden_layers": 1,
    "intermediate_size": 160,
    "num_attention_heads": 9,
    "query_head_dim": 32,
    "tie_word_embeddings": True,
    "vocab_size": 101,
    "torch_dtype": "bfloat16",
}

# name: (what it is for, config, v_top to show, gradients too)
CASES = {
    "gqa": ("Llama with 12/4/4 heads, untied", llama(rms_norm_eps=1e-5), 0, True),
    "llama3_scaling": ("Llama 3's RoPE scaling, tied", llama(rope_scaling=LLAMA3, tie_word_embeddings=True), 0, False),
    "llama_bias_linear": (
        "biases on q, k, v and o; linear RoPE scaling",
        llama(attention_bias=True, rope_scaling={"rope_type": "linear", "factor": 3.0}),
        0,
        True,
    ),
    "mistral": ("Mistral without a sliding window", llama("mistral", sliding_window=None), 0, False),
    "qwen2": (
        "Qwen2: biases on q, k and v",
        llama("qwen2", use_sliding_window=False, sliding_window=64, rope_theta=1000000.0),
        0,
        False,
    ),
    "qwen3": (
        "Qwen3: q and k norms, tied",
        llama("qwen3", attention_bias=False, use_sliding_window=False, tie_word_embeddings=True),
        0,
        True,
    ),
    "sigma_k2_v4": ("fewer K heads than V heads (12/2/4)", sigma(2, 4), 0, False),
    "sigma_k4_v6": ("n_k does not divide n_v (12/4/6)", sigma(4, 6), 7, False),
    "sigma_k6_v4": ("more K heads than V heads (12/6/4)", sigma(6, 4), 0, True),
    "half_dim_after": ("half-dim K expanded before rotation", sigma(2, 4, d_k=10), 7, True),
    "half_dim_key": ("half-dim K, rotated as cached", sigma(2, 4, d_k=10, key_rope="key_dim"), 7, True),
    "aug": ("augmented Q", sigma(2, 4, aug=44), 0, False),
    "dv": ("value heads wider than query heads", sigma(4, 6, d_v=28), 0, False),
    "all_together": (
        "12/4/6 heads, half-dim K (after_expansion), wide V, augmented Q, tied",
        sigma(4, 6, d_k=10, d_v=28, aug=44, tie_word_embeddings=True),
        7,
        True,
    ),
    "all_together_untied": (
        "12/6/4 heads, half-dim K (key_dim), wide V, augmented Q, biases, Llama 3's RoPE scaling, untied",
        sigma(6, 4, d_k=10, d_v=28, aug=44, key_rope="key_dim", attention_bias=True, rope_scaling=LLAMA3),
        0,
        True,
    ),
    "blocks": (
        "sizes in odd multiples of 32 for quantised formats (9/1/3 heads), bf16, one file, tied",
        sigma(1, 3, d_k=32, d_v=96, aug=32, **BLOCKS),
        0,
        False,
    ),
}


# --- weights -----------------------------------------------------------------------------------------------------


def random_values(name, shape):
    """Standard normal values that depend on the tensor's name and shape alone."""
    seed = zlib.crc32(f"{name}{shape}".encode())
    return np.random.RandomState(seed).standard_normal(shape)


def per_head_gain(rows, d):
    """Heads differ in sharpness, so that attention is flat in some and peaked in others."""
    heads = rows // d
    gains = 0.5 + np.arange(heads) / (heads - 1) if heads > 1 else np.array([1.5])
    return np.repeat(np.roll(gains, 1), d)[:, None]


def make_tensor(name, shape, s):
    z = random_values(name, shape)
    role = name.split(".")[-2]
    if role in ("q_norm", "k_norm"):
        return 1.2 + 0.3 * z
    if role.endswith("norm"):
        return 1 + 0.3 * z
    if name.endswith(".bias"):
        return 0.8 * z
    unit = z / math.sqrt(shape[1])  # keeps the size of what it multiplies
    if role == "q_proj":
        return unit * 1.2 * per_head_gain(shape[0], s.d_q)
    if role == "k_proj":
        return unit * 1.2 * per_head_gain(shape[0], s.d_k)
    scale = {"embed_tokens": 2.2, "lm_head": 2.2, "q_down_proj": 0.8, "v_proj": 1.2}
    return unit * scale.get(role, 1.0)


def storage_type(name, config):
    """f32, since bf16 weights may be multiplied in bf16; some tensors in f16, since checkpoints mix types."""
    role = name.split(".")[-2]
    if config.get("torch_dtype") == "bfloat16":
        return torch.bfloat16
    if role in ("v_proj", "o_proj") and config.get("value_head_dim") == 28 and name.endswith(".weight"):
        return torch.float16
    return torch.float32


def make_weights(config):
    s = Shape(config)
    return {
        name: torch.from_numpy(make_tensor(name, shape, s)).to(storage_type(name, config))
        for name, shape in tensor_shapes(config).items()
    }


def make_tokens(case, vocab, attempt):
    tokens = np.random.RandomState(zlib.crc32(f"{case}{attempt}".encode())).randint(0, vocab, TOKENS)
    tokens[0], tokens[11], tokens[12] = 1, 0, vocab - 1
    return torch.from_numpy(tokens.astype(np.int64))


# --- files -------------------------------------------------------------------------------------------------------


def safetensors_bytes(tensors):
    names = {torch.int64: "I64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
    header, chunks, offset = {}, [], 0
    for name, tensor in tensors.items():
        words = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
        chunks.append(words.contiguous().numpy().tobytes())
        end = offset + len(chunks[-1])
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(chunks)


def write_bytes(path, content):
    with open(path, "wb") as file:
        file.write(content)


def write_json(path, value):
    with open(path, "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")


def shard_of(name):
    """Tensors that vary together lie in one shard."""
    role = name.split(".")[-2]
    if name.endswith(".bias"):
        return "bias_" + role[0]
    if role in ("q_gate_proj", "q_up_proj", "q_down_proj"):
        return "aug"
    if role in ("k_proj", "v_proj", "o_proj", "k_up_proj", "q_norm", "k_norm", "lm_head"):
        return role
    return "common"


def write_shard(group, tensors):
    content = safetensors_bytes(tensors)
    shard = f"{group}_{zlib.crc32(content):08x}.safetensors"
    write_bytes(os.path.join(ROOT, "shards", shard), content)
    return shard


def write_sharded(folder, weights):
    groups = {}
    for name, tensor in weights.items():
        groups.setdefault(shard_of(name), {})[name] = tensor
    weight_map, total = {}, 0
    for number, (group, tensors) in enumerate(sorted(groups.items()), start=1):
        shard = write_shard(group, tensors)
        link = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        os.symlink(os.path.join("..", "shards", shard), os.path.join(folder, link))
        for name, tensor in tensors.items():
            weight_map[name] = link
            total += tensor.numel() * tensor.element_size()
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(os.path.join(folder, "model.safetensors.index.json"), index)


# --- sensitivity -------------------------------------------------------------------------------------------------


def change(reference, logits):
    """The tests' measure: largest difference over largest value, of the worst row."""
    return ((logits - reference).abs().amax(1) / reference.abs().amax(1)).max().item()


def swapped_rows(tensor, first, second, rows):
    result = tensor.clone()
    result[first * rows : (first + 1) * rows] = tensor[second * rows : (second + 1) * rows]
    result[second * rows : (second + 1) * rows] = tensor[first * rows : (first + 1) * rows]
    return result


def damaged_weights(config, weights):
    """(what was done, weights) for swaps of heads, of like tensors within a layer, and of layers."""
    s = Shape(config)
    for n in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{n}."
        for letter, heads, d in (("q", s.n_q, s.d_q), ("k", s.n_k, s.d_k), ("v", s.n_v, s.d_v)):
            for kind in ("weight", "bias"):
                name = f"{prefix}self_attn.{letter}_proj.{kind}"
                for h in range(heads - 1 if name in weights else 0):
                    yield f"{name} heads {h}, {h + 1}", {**weights, name: swapped_rows(weights[name], h, h + 1, d)}
        name = prefix + "self_attn.o_proj.weight"
        for h in range(s.n_q - 1):
            columns = swapped_rows(weights[name].T, h, h + 1, s.d_v).T
            yield f"{name} heads {h}, {h + 1}", {**weights, name: columns}
        by_shape = {}
        for name, tensor in weights.items():
            if name.startswith(prefix):
                by_shape.setdefault(tuple(tensor.shape), []).append(name)
                if name.endswith(".bias"):
                    yield f"no {name}", {**weights, name: torch.zeros_like(tensor)}
                if tensor.dim() == 1 and "norm" in name:
                    yield f"ones for {name}", {**weights, name: torch.ones_like(tensor)}
        for names in by_shape.values():
            for a, b in zip(names, names[1:]):
                yield f"{a} <-> {b}", {**weights, a: weights[b], b: weights[a]}
        for name in [x for x in weights if x.startswith("model.layers.0.") and n > 0]:
            other = name.replace(".0.", f".{n}.")
            yield f"{name} <-> {other}", {**weights, name: weights[other], other: weights[name]}
    if "lm_head.weight" in weights:
        yield "head tied", {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}


class ModuloHeads(Oracle):
    def k_head(self, i):
        return i % self.shape.n_k

    def v_head(self, i):
        return i % self.shape.n_v


class ValueHeadFromKeyHead(Oracle):
    def v_head(self, i):
        return min(self.k_head(i) * max(self.shape.n_v // self.shape.n_k, 1), self.shape.n_v - 1)


class ScaledByCachedWidth(Oracle):
    def score_scale(self):
        return 1 / math.sqrt(self.shape.d_k)


class ScaledByValueWidth(Oracle):
    def score_scale(self):
        return 1 / math.sqrt(self.shape.d_v)


class InterleavedRope(Oracle):
    def rotated(self, x):
        pairs = x.reshape(*x.shape[:2], -1, 2).transpose(2, 3).reshape(x.shape)
        return super().rotated(pairs)


class ExpandedAfterRotation(Oracle):
    """rotate k at its own width, then expand: what the specification rules out."""

    def query_and_key(self, prefix, h):
        s, t = self.shape, h.shape[0]
        q = self.rotated(self.query(prefix, h).reshape(t, s.n_q, s.d_q))
        k = self.rotated(self.linear(prefix + "k_proj", h).reshape(t, s.n_k, s.d_k))
        return q, torch.einsum("qk,tjk->tjq", self.weights[prefix + "k_up_proj.weight"], k)


class AugmentedWithResidual(Oracle):
    def query(self, prefix, h):
        return super().query(prefix, h) + self.linear(prefix + "q_proj", h)


class AugmentedWithBareGate(Oracle):
    def query(self, prefix, h):
        q = self.linear(prefix + "q_proj", h)
        gate, up = self.linear(prefix + "q_gate_proj", q), self.linear(prefix + "q_up_proj", q)
        return self.linear(prefix + "q_down_proj", gate * up)


class NormAfterRotation(Oracle):
    def query_and_key(self, prefix, h):
        bare = dict(self.config, model_type="llama")
        config, self.config = self.config, bare
        q, k = super().query_and_key(prefix, h)
        self.config = config
        w = self.weights
        return rms_norm(q, w[prefix + "q_norm.weight"], self.eps), rms_norm(k, w[prefix + "k_norm.weight"], self.eps)


def misreadings(config):
    """(what is misread, model class, config) that this case must tell from the truth."""
    s = Shape(config)
    yield "heads by modulo", ModuloHeads, config
    if s.n_k != s.n_v:
        yield "V head from K head", ValueHeadFromKeyHead, config
    if s.d_k != s.d_q:
        yield "scale by d_k", ScaledByCachedWidth, config
        other = "key_dim" if s.key_rope == "after_expansion" else "after_expansion"
        yield "the other key_rope", Oracle, dict(config, key_rope=other)
        yield "rotate, then expand", ExpandedAfterRotation, config
    if s.d_v != s.d_q:
        yield "scale by d_v", ScaledByValueWidth, config
    if s.d_aug:
        yield "augmented Q with a residual", AugmentedWithResidual, config
        yield "augmented Q without silu", AugmentedWithBareGate, config
    if config["model_type"] == "qwen3":
        yield "norm after rotation", NormAfterRotation, config
    if config["rms_norm_eps"] > 1e-4:
        yield "another epsilon", Oracle, dict(config, rms_norm_eps=1e-5)
    if config.get("rope_scaling"):
        yield "no rope scaling", Oracle, dict(config, rope_scaling=None)
    yield "interleaved rope", InterleavedRope, config
    yield "another theta", Oracle, dict(config, rope_theta=10000.0)


def check_sensitivity(config, weights, tokens, reference):
    """The mutation that moves the logits least, and by how much."""
    changes = {}
    for what, damaged in damaged_weights(config, weights):
        changes[what] = change(reference, Oracle(config, damaged).logits(tokens))
    for what, model, other in misreadings(config):
        changes[what] = change(reference, model(other, weights).logits(tokens))
    least = min(changes, key=changes.get)
    assert changes[least] >= LEAST_CHANGE, f"{least} moves the logits by {changes[least]:.2g} only"
    return len(changes), least, changes[least]


def attention_entropy(scores):
    """Of the last row of every head of every layer, in nats: [lowest, median, highest]."""
    values = []
    for layer in scores:
        a = torch.softmax(layer[:, -1], dim=1)
        values += (-(a * torch.log(a.clamp_min(1e-300))).sum(1)).tolist()
    values.sort()
    return [round(values[i], 3) for i in (0, len(values) // 2, -1)]


def smallest_gap(scores, v_top):
    """Between the v_top-th and the next largest score, over all rows with more positions than v_top."""
    gap = math.inf
    for layer in scores:
        ordered = layer.sort(dim=2, descending=True).values[:, v_top:]
        gap = min(gap, (ordered[:, :, v_top - 1] - ordered[:, :, v_top]).min().item())
    return gap


def selective_logits(oracle, tokens, v_top):
    """(weights of the softmax over all, over the kept, smallest gap)"""
    oracle.score_trace = []
    over_all = oracle.logits(tokens, v_top)
    over_kept = oracle.logits(tokens, v_top, kept=True)
    gap, oracle.score_trace = smallest_gap(oracle.score_trace, v_top), None
    return over_all, over_kept, gap


def clear_cut_tokens(case, oracle, v_top):
    """Tokens for which rounding cannot decide which V rows selective V keeps."""
    for attempt in range(100):
        tokens = make_tokens(case, oracle.config["vocab_size"], attempt)
        if not v_top or selective_logits(oracle, tokens, v_top)[2] > LEAST_GAP:
            return tokens
    raise ValueError(f"{case}: selective V is decided by rounding whatever the tokens")


# --- cases -------------------------------------------------------------------------------------------------------


def projections(name, gradient):
    """Vectors in full; matrices G [rows, cols] as G c and c G with c_i = cos(i + 1), which every entry reaches."""
    if gradient.dim() == 1:
        return {f"grad.{name}": gradient.float()}
    c = [torch.cos(torch.arange(1, n + 1, dtype=torch.float64)) for n in gradient.shape]
    return {f"grad_right.{name}": (gradient @ c[1]).float(), f"grad_left.{name}": (c[0] @ gradient).float()}


def write_case(case):
    about, config, v_top, with_gradients = CASES[case]
    weights = make_weights(config)
    oracle = Oracle(config, weights)
    tokens = clear_cut_tokens(case, oracle, v_top)
    oracle.score_trace = []
    logits = oracle.logits(tokens)
    entropy = attention_entropy(oracle.score_trace)
    oracle.score_trace = None
    golden = {"tokens": tokens, "logits": logits.float()}
    facts = {"case": case, "about": about, "tokens": TOKENS, "attention_entropy_nats": entropy}
    facts["logits_std"] = round(logits.std().item(), 3)
    in_float32 = Oracle(config, weights, torch.float32).logits(tokens).double()
    facts["float32_difference"] = float(f"{change(logits, in_float32):.1e}")
    if v_top:
        over_all, over_kept, gap = selective_logits(oracle, tokens, v_top)
        golden[f"logits_vtop{v_top}"], golden[f"logits_vtop{v_top}_kept"] = over_all.float(), over_kept.float()
        facts["v_top"], facts["v_top_smallest_score_gap"] = v_top, float(f"{gap:.1e}")
    if with_gradients:
        loss, gradients = oracle.loss_and_gradients(tokens)
        facts["loss"] = loss.item()
        for name, gradient in gradients.items():
            golden.update(projections(name, gradient))
    count, least, by = check_sensitivity(config, weights, tokens, logits)
    facts["mutations_seen"], facts["least_visible_mutation"] = count, f"{least}: {by:.2g}"

    folder = os.path.join(ROOT, case)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write_json(os.path.join(folder, "config.json"), config)
    if case == "blocks":
        write_bytes(os.path.join(folder, "model.safetensors"), safetensors_bytes(weights))
    else:
        write_sharded(folder, weights)
    write_bytes(os.path.join(folder, "golden.safetensors"), safetensors_bytes(golden))
    write_json(os.path.join(folder, "golden.json"), facts)
    print(json.dumps(facts), flush=True)


def main():
    torch.set_num_threads(1)
    os.makedirs(os.path.join(ROOT, "shards"), exist_ok=True)
    if not sys.argv[1:]:
        shutil.rmtree(os.path.join(ROOT, "shards"))
        os.makedirs(os.path.join(ROOT, "shards"))
    for case in sys.argv[1:] or CASES:
        write_case(case)


if __name__ == "__main__":
    main()
