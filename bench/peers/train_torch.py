"""One training step of a Sigma or Llama configuration in PyTorch, written as its users write it: nn.functional, autocast
for bf16, torch.optim.AdamW (fused or foreach where this version has them). A step of one pass comes first and is not
counted. Prints one JSON line.

    train_torch.py CONFIG.json --context 512 --tokens 8192 --micro 2048 --precision bf16 --steps 3
"""
import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F


class Layer(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        dim, aug, q_width = c["hidden_size"], c["aug"], c["n_q"] * c["d"]
        linear = lambda i, o: torch.nn.Linear(i, o, bias=False)
        self.q, self.k = linear(dim, q_width), linear(dim, c["n_k"] * c["d"])
        self.v, self.o = linear(dim, c["n_v"] * c["d"]), linear(c["n_q"] * c["d"], dim)
        if aug:
            self.q_gate, self.q_up, self.q_down = linear(q_width, aug), linear(q_width, aug), linear(aug, q_width)
        self.gate, self.up = linear(dim, c["intermediate_size"]), linear(dim, c["intermediate_size"])
        self.down = linear(c["intermediate_size"], dim)
        self.norm1, self.norm2 = (torch.nn.Parameter(torch.ones(dim)) for _ in range(2))

    def norm(self, x, w):
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"]).to(x.dtype) * w

    def rope(self, x, cos, sin):
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def attention(self, q, k, v, mask):
        """mask: what a query sees, [rows, 1, t, t]; None: itself and all before it."""
        groups_k, groups_v = self.c["n_q"] // self.c["n_k"], self.c["n_q"] // self.c["n_v"]
        k = k.repeat_interleave(groups_k, 1)
        v = v.repeat_interleave(groups_v, 1)
        if hasattr(F, "scaled_dot_product_attention"):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        if mask is None:
            mask = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
        scores = (q @ k.transpose(-1, -2)) * (self.c["d"] ** -0.5)
        return torch.softmax(scores.masked_fill(~mask, float("-inf")), -1) @ v

    def forward(self, x, cos, sin, mask):
        c, (rows, t, _) = self.c, x.shape
        h = self.norm(x, self.norm1)
        q = self.q(h)
        if c["aug"]:
            q = self.q_down(F.silu(self.q_gate(q)) * self.q_up(q))
        split = lambda y, n: y.view(rows, t, n, c["d"]).transpose(1, 2)
        q, k, v = split(q, c["n_q"]), split(self.k(h), c["n_k"]), split(self.v(h), c["n_v"])
        q, k = self.rope(q, cos.to(q.dtype), sin.to(q.dtype)), self.rope(k, cos.to(k.dtype), sin.to(k.dtype))
        x = x + self.o(self.attention(q, k, v, mask).transpose(1, 2).reshape(rows, t, -1))
        h = self.norm(x, self.norm2)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed = torch.nn.Embedding(c["vocab_size"], c["hidden_size"])
        torch.nn.init.normal_(self.embed.weight, std=0.02)
        self.layers = torch.nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = torch.nn.Parameter(torch.ones(c["hidden_size"]))
        self.head = None if c["tie_word_embeddings"] else torch.nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, tokens, cos, sin, mask=None):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        x = self.layers[0].norm(x, self.norm)
        return F.linear(x, self.embed.weight if self.head is None else self.head.weight)


def read_config(path):
    with open(path) as file:
        c = json.load(file)
    c["n_q"], c["aug"] = c["num_attention_heads"], c.get("augmented_query_size", 0)
    c["n_k"] = c.get("num_key_heads") or c["num_key_value_heads"]
    c["n_v"] = c.get("num_value_heads") or c["num_key_value_heads"]
    c["d"] = c.get("query_head_dim") or c.get("head_dim") or c["hidden_size"] // c["n_q"]
    return c


def rotation(c, context):
    """cos and sin of every position and pair of dimensions."""
    half = c["d"] // 2
    angle = torch.arange(context)[:, None] * c["rope_theta"] ** (-torch.arange(half) / half)[None, :]
    return angle.cos(), angle.sin()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--micro", type=int, default=2048)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    c = read_config(args.config)
    model = Model(c)
    options = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.1}
    try:
        optimiser = torch.optim.AdamW(model.parameters(), fused=True, **options)
    except (TypeError, RuntimeError):
        optimiser = torch.optim.AdamW(model.parameters(), **options)
    t = args.context
    cos, sin = rotation(c, t)
    rows, micro = args.tokens // t, max(1, args.micro // t)
    seconds = []
    for step in range(args.steps + 1):
        tokens = torch.randint(0, c["vocab_size"], (rows if step > 0 else micro, t + 1))  # the first warms up
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        for first in range(0, len(tokens), micro):
            part = tokens[first : first + micro]
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                logits = model(part[:, :-1], cos, sin)
            loss = F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].reshape(-1)) * (len(part) / len(tokens))
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    seconds = seconds[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "peer": "torch " + torch.__version__.split("+")[0], "precision": args.precision, "context": t,
        "tokens": args.tokens, "micro": args.micro, "seconds": seconds, "peak_bytes": peak,
        "tokens_per_second": args.tokens / min(seconds),
    }))


if __name__ == "__main__":
    main()
