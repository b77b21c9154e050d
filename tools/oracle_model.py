"""An independent PyTorch model of DiffQKV attention and the Llama-style decoder around it: the oracle of the tests.

Written from the specification alone, to be read and not to be fast: one sequence, no cache, one loop over the query
heads, everything in the type it is asked for (float64 by default). Runs on Debian 12's python3-torch (1.13) and newer.

    weights  {tensor name: torch tensor}, named as in a Hugging Face checkpoint
    config   the dictionary of its config.json (model_type sigma, llama, mistral, qwen2 or qwen3)
    logits = Oracle(config, weights).logits(tokens)          [positions, vocab]
"""
import json
import math
import os
import struct

import torch

SAFETENSORS_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def read_safetensors(path):
    with open(path, "rb") as file:
        header_bytes = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(header_bytes))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=SAFETENSORS_TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def load_folder(folder):
    """config and weights of a Hugging Face folder, single file or sharded."""
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return config, read_safetensors(os.path.join(folder, "model.safetensors"))
    with open(index) as file:
        weight_map = json.load(file)["weight_map"]
    shards = {name: read_safetensors(os.path.join(folder, name)) for name in sorted(set(weight_map.values()))}
    return config, {name: shards[shard][name] for name, shard in weight_map.items()}


def silu(x):
    return x / (1 + torch.exp(-x))


def rms_norm(x, weight, eps):
    """x [..., n] / sqrt(mean of x^2 + eps) * weight [n]"""
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope_frequencies(dim, theta, scaling):
    """Radians per position of each pair of dimensions, [dim / 2], in float64."""
    pairs = torch.arange(dim // 2, dtype=torch.float64)
    freq = theta ** (-2 * pairs / dim)
    kind = "default" if scaling is None else scaling.get("rope_type", scaling.get("type"))
    if kind == "default":
        return freq
    factor = scaling["factor"]
    if kind == "linear":
        return freq / factor
    if kind != "llama3":
        raise ValueError(f"rope scaling {kind}")
    # Long waves are slowed down by `factor`, short ones kept, those between blended linearly in turns per context.
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    scaled = []
    for f in freq.tolist():
        turns = scaling["original_max_position_embeddings"] * f / (2 * math.pi)
        if turns < low:
            scaled.append(f / factor)
        elif turns > high:
            scaled.append(f)
        else:
            keep = (turns - low) / (high - low)
            scaled.append((1 - keep) * f / factor + keep * f)
    return torch.tensor(scaled, dtype=torch.float64)


def rope(x, freq):
    """Half-split rotation of x [positions, heads, dim] by position; freq [dim / 2]."""
    positions, half = x.shape[0], x.shape[2] // 2
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * freq[None, :]
    cos, sin = angle.cos().to(x.dtype)[:, None, :], angle.sin().to(x.dtype)[:, None, :]
    first, second = x[:, :, :half], x[:, :, half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=2)


def keep_largest(scores, count):
    """Mask of the `count` largest of each row of scores [rows, positions]; of equal ones the lower position."""
    order = torch.sort(scores, dim=1, descending=True, stable=True).indices
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, order[:, :count], True)


class Shape:
    """The sizes of one attention layer, read from either form of config.json."""

    def __init__(self, config):
        self.n_q = config["num_attention_heads"]
        if config["model_type"] == "sigma":
            self.n_k, self.n_v = config["num_key_heads"], config["num_value_heads"]
            self.d_q = config["query_head_dim"]
            self.d_k = config.get("key_head_dim") or self.d_q
            self.d_v = config.get("value_head_dim") or self.d_q
            self.d_aug = config.get("augmented_query_size") or 0
            self.key_rope = config.get("key_rope", "after_expansion") if self.d_k != self.d_q else None
        else:
            self.n_k = self.n_v = config.get("num_key_value_heads") or self.n_q
            self.d_q = self.d_k = self.d_v = config.get("head_dim") or config["hidden_size"] // self.n_q
            self.d_aug, self.key_rope = 0, None
        assert self.n_q % self.n_k == 0 and self.n_q % self.n_v == 0


def biased_projections(config):
    if config["model_type"] == "qwen2":
        return "qkv"
    return "qkvo" if config.get("attention_bias") else ""


def tensor_shapes(config):
    """Every tensor of the checkpoint with its shape, in file order."""
    s, dim, ffn = Shape(config), config["hidden_size"], config["intermediate_size"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], dim]}
    for n in range(config["num_hidden_layers"]):
        layer = {
            "input_layernorm.weight": [dim],
            "self_attn.q_proj.weight": [s.n_q * s.d_q, dim],
            "self_attn.k_proj.weight": [s.n_k * s.d_k, dim],
            "self_attn.v_proj.weight": [s.n_v * s.d_v, dim],
            "self_attn.o_proj.weight": [dim, s.n_q * s.d_v],
        }
        if s.d_aug:
            layer["self_attn.q_gate_proj.weight"] = [s.d_aug, s.n_q * s.d_q]
            layer["self_attn.q_up_proj.weight"] = [s.d_aug, s.n_q * s.d_q]
            layer["self_attn.q_down_proj.weight"] = [s.n_q * s.d_q, s.d_aug]
        if s.key_rope:
            layer["self_attn.k_up_proj.weight"] = [s.d_q, s.d_k]
        for letter in biased_projections(config):
            layer[f"self_attn.{letter}_proj.bias"] = [layer[f"self_attn.{letter}_proj.weight"][0]]
        if config["model_type"] == "qwen3":
            layer["self_attn.q_norm.weight"] = [s.d_q]
            layer["self_attn.k_norm.weight"] = [s.d_k]
        layer["post_attention_layernorm.weight"] = [dim]
        layer["mlp.gate_proj.weight"] = [ffn, dim]
        layer["mlp.up_proj.weight"] = [ffn, dim]
        layer["mlp.down_proj.weight"] = [dim, ffn]
        shapes.update({f"model.layers.{n}.{name}": shape for name, shape in layer.items()})
    shapes["model.norm.weight"] = [dim]
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = [config["vocab_size"], dim]
    return shapes


class Oracle:
    def __init__(self, config, weights, dtype=torch.float64):
        expected = tensor_shapes(config)
        found = {name: list(tensor.shape) for name, tensor in weights.items()}
        assert found == expected, f"tensors: expected {expected}, found {found}"
        self.config = config
        self.shape = Shape(config)
        self.dtype = dtype
        self.weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        self.eps = config["rms_norm_eps"]
        self.score_trace = None  # a list here collects each layer's scores [n_q, rows, positions], -inf for the future

    def linear(self, name, x):
        y = torch.einsum("oi,ti->to", self.weights[name + ".weight"], x)
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def query(self, prefix, h):
        """[positions, n_q * d_q]"""
        q = self.linear(prefix + "q_proj", h)
        if self.shape.d_aug:
            gate = self.linear(prefix + "q_gate_proj", q)
            up = self.linear(prefix + "q_up_proj", q)
            q = self.linear(prefix + "q_down_proj", silu(gate) * up)
        return q

    def rotated(self, x):
        """Rotated over the head's own width."""
        scaling = self.config.get("rope_scaling")
        return rope(x, rope_frequencies(x.shape[2], self.config["rope_theta"], scaling))

    def query_and_key(self, prefix, h):
        """Rotated q [positions, n_q, d] and k [positions, n_k, d] of equal width d, whose dot product is the score."""
        s, t = self.shape, h.shape[0]
        q = self.query(prefix, h).reshape(t, s.n_q, s.d_q)
        k = self.linear(prefix + "k_proj", h).reshape(t, s.n_k, s.d_k)
        if self.config["model_type"] == "qwen3":
            q = rms_norm(q, self.weights[prefix + "q_norm.weight"], self.eps)
            k = rms_norm(k, self.weights[prefix + "k_norm.weight"], self.eps)
        if s.key_rope == "after_expansion":
            k = torch.einsum("qk,tjk->tjq", self.weights[prefix + "k_up_proj.weight"], k)
        elif s.key_rope == "key_dim":
            q = torch.einsum("qk,tiq->tik", self.weights[prefix + "k_up_proj.weight"], q)
        return self.rotated(q), self.rotated(k)

    def k_head(self, i):
        return math.floor(i * self.shape.n_k / self.shape.n_q)

    def v_head(self, i):
        return math.floor(i * self.shape.n_v / self.shape.n_q)

    def score_scale(self):
        return 1 / math.sqrt(self.shape.d_q)

    def attention(self, prefix, h, v_top, kept):
        """h [positions, dim] -> [positions, dim]"""
        s, t = self.shape, h.shape[0]
        q, k = self.query_and_key(prefix, h)
        v = self.linear(prefix + "v_proj", h).reshape(t, s.n_v, s.d_v)
        future = torch.ones(t, t, dtype=torch.bool).triu(1)
        outputs, traced = [], []
        for i in range(s.n_q):
            scores = torch.einsum("td,ud->tu", q[:, i], k[:, self.k_head(i)]) * self.score_scale()
            scores = scores.masked_fill(future, -math.inf)
            a = torch.softmax(scores, dim=1)
            if v_top > 0:
                a = a * keep_largest(scores, v_top)
                if kept:
                    a = a / a.sum(1, keepdim=True)
            outputs.append(torch.einsum("tu,ud->td", a, v[:, self.v_head(i)]))
            traced.append(scores.detach())
        if self.score_trace is not None:
            self.score_trace.append(torch.stack(traced))
        return self.linear(prefix + "o_proj", torch.cat(outputs, dim=1))

    def ffn(self, prefix, h):
        gate, up = self.linear(prefix + "gate_proj", h), self.linear(prefix + "up_proj", h)
        return self.linear(prefix + "down_proj", silu(gate) * up)

    def logits(self, tokens, v_top=0, kept=False):
        """tokens: int64 [positions]. v_top > 0: selective V; kept: renormalise over the kept positions."""
        w = self.weights
        x = w["model.embed_tokens.weight"][tokens]
        for n in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{n}."
            h = rms_norm(x, w[layer + "input_layernorm.weight"], self.eps)
            x = x + self.attention(layer + "self_attn.", h, v_top, kept)
            h = rms_norm(x, w[layer + "post_attention_layernorm.weight"], self.eps)
            x = x + self.ffn(layer + "mlp.", h)
        x = rms_norm(x, w["model.norm.weight"], self.eps)
        head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
        return torch.einsum("vd,td->tv", head, x)

    def loss_and_gradients(self, tokens):
        """Mean cross-entropy of tokens[1:] given what stands before, and its gradient by every tensor."""
        for tensor in self.weights.values():
            tensor.requires_grad_(True)
        logits = self.logits(tokens)
        loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[1:])
        loss.backward()
        gradients = {name: tensor.grad for name, tensor in self.weights.items()}
        for tensor in self.weights.values():
            tensor.requires_grad_(False)
            tensor.grad = None
        return loss.detach(), gradients
