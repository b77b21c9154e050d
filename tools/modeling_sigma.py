"""DiffQKV models (model_type "sigma") for the `transformers` library: eager attention with a cache.

To load a checkpoint folder with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True), put this file and
configuration_sigma.py into the folder and this into its config.json:

    "auto_map": {"AutoConfig": "configuration_sigma.SigmaConfig",
                 "AutoModel": "modeling_sigma.SigmaModel",
                 "AutoModelForCausalLM": "modeling_sigma.SigmaForCausalLM"}

A token's position is its slot in the cache, padding on the left included: rotation is relative, so position_ids are not
needed and are ignored. K and V are cached with their own head counts and widths, and K that is expanded unrotated.
"""
import math

import torch
import transformers
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_sigma import SigmaConfig

# What the library calls the cache of an output: past_key_values, cache since 5.24.
CACHE = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"


class SigmaRMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


def rope_frequencies(config, dim, device):
    """Radians per position of each pair of dimensions, [dim / 2], float64."""
    theta, scaling = config.rope()
    freq = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)
    if scaling is None:
        return freq
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        return freq / scaling["factor"]
    if kind != "llama3":
        raise ValueError(f"expected rope_scaling default, linear or llama3, found {kind}")
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] * freq / (2 * math.pi)
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return freq * (keep + (1 - keep) / scaling["factor"])


def rotate(x, freq, first):
    """Half-split rotation of x [batch, heads, positions, dim], whose positions start at `first`."""
    angle = torch.arange(first, first + x.shape[2], device=x.device)[:, None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class SigmaAttention(nn.Module):
    def __init__(self, config, layer_idx):
        super().__init__()
        self.config, self.layer_idx = config, layer_idx
        n_q, dim, bias = config.num_attention_heads, config.hidden_size, config.attention_bias
        q_width, aug = n_q * config.query_head_dim, config.augmented_query_size
        self.q_proj = nn.Linear(dim, q_width, bias=bias)
        if aug:
            self.q_gate_proj = nn.Linear(q_width, aug, bias=False)
            self.q_up_proj = nn.Linear(q_width, aug, bias=False)
            self.q_down_proj = nn.Linear(aug, q_width, bias=False)
        self.k_proj = nn.Linear(dim, config.num_key_heads * config.key_head_dim, bias=bias)
        self.v_proj = nn.Linear(dim, config.num_value_heads * config.value_head_dim, bias=bias)
        self.o_proj = nn.Linear(n_q * config.value_head_dim, dim, bias=bias)
        self.expands_k = config.key_head_dim != config.query_head_dim
        if self.expands_k:
            self.k_up_proj = nn.Linear(config.key_head_dim, config.query_head_dim, bias=False)
        self.rotates_late = self.expands_k and config.key_rope == "after_expansion"

    def forward(self, x, mask, cache, past):
        """x [batch, rows, dim]; mask [batch, 1, rows, positions], added to the scores; past: positions before x"""
        config = self.config
        batch, rows, _ = x.shape

        def heads(y, dim):
            return y.view(batch, rows, -1, dim).transpose(1, 2)

        q = self.q_proj(x)
        if config.augmented_query_size:
            q = self.q_down_proj(nn.functional.silu(self.q_gate_proj(q)) * self.q_up_proj(q))
        q = heads(q, config.query_head_dim)
        k = heads(self.k_proj(x), config.key_head_dim)
        v = heads(self.v_proj(x), config.value_head_dim)
        if self.expands_k and not self.rotates_late:
            q = q @ self.k_up_proj.weight
        freq = rope_frequencies(config, q.shape[-1], x.device)
        q = rotate(q, freq, past)
        if not self.rotates_late:
            k = rotate(k, freq, past)
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)
        if self.rotates_late:
            k = rotate(self.k_up_proj(k), freq, 0)

        # Contiguous groups of query heads share a K head, and other groups a V head.
        n_k, n_v, positions = k.shape[1], v.shape[1], k.shape[2]
        scores = q.view(batch, n_k, -1, rows, q.shape[-1]) @ k[:, :, None].transpose(-1, -2)
        scores = scores.view(batch, -1, rows, positions) / math.sqrt(config.query_head_dim) + mask
        a = torch.softmax(scores, dim=-1, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)
        out = a.view(batch, n_v, -1, rows, positions) @ v[:, :, None]
        out = out.view(batch, -1, rows, config.value_head_dim).transpose(1, 2).reshape(batch, rows, -1)
        return self.o_proj(out)


class SigmaMLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class SigmaDecoderLayer(nn.Module):
    def __init__(self, config, layer_idx):
        super().__init__()
        self.self_attn = SigmaAttention(config, layer_idx)
        self.mlp = SigmaMLP(config)
        self.input_layernorm = SigmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = SigmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x, mask, cache, past):
        x = x + self.self_attn(self.input_layernorm(x), mask, cache, past)
        return x + self.mlp(self.post_attention_layernorm(x))


class SigmaPreTrainedModel(PreTrainedModel):
    config_class = SigmaConfig
    base_model_prefix = "model"
    _no_split_modules = ["SigmaDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]


class SigmaModel(SigmaPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList([SigmaDecoderLayer(config, n) for n in range(config.num_hidden_layers)])
        self.norm = SigmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed_tokens

    def set_input_embeddings(self, value):
        self.embed_tokens = value

    def additive_mask(self, x, past, attention_mask):
        """[batch, 1, rows, positions]: 0 where a row may look, else the lowest number."""
        batch, rows, _ = x.shape
        seen = torch.ones(rows, past + rows, dtype=torch.bool, device=x.device).tril(past).expand(batch, 1, -1, -1)
        if attention_mask is not None:
            if attention_mask.shape[-1] != past + rows:
                raise ValueError(f"expected attention_mask for {past + rows} positions, found {attention_mask.shape[-1]}")
            seen = seen & attention_mask[:, None, None].bool()
        return torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill(~seen, torch.finfo(x.dtype).min)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        cache=None,
        **kwargs,
    ):
        """cache: past_key_values by its name since version 5.24"""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected either input_ids or inputs_embeds")
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        use_cache = self.config.use_cache if use_cache is None else use_cache
        cache = past_key_values if cache is None else cache
        if use_cache and cache is None:
            cache = DynamicCache()
        past = 0 if cache is None else cache.get_seq_length()
        mask = self.additive_mask(x, past, attention_mask)
        for layer in self.layers:
            x = layer(x, mask, cache, past)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(x), **{CACHE: cache})


class SigmaForCausalLM(SigmaPreTrainedModel, GenerationMixin):
    # The form changed with version 5 of the library.
    _tied_weights_keys = (
        ["lm_head.weight"]
        if transformers.__version__.startswith("4.")
        else {"lm_head.weight": "model.embed_tokens.weight"}
    )

    def __init__(self, config):
        super().__init__(config)
        self.model = SigmaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        self.model.embed_tokens = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        logits_to_keep=0,
        cache=None,
        **kwargs,
    ):
        """cache: past_key_values by its name since version 5.24.
        labels: as input_ids, -100 where no loss is wanted; shifted here. logits_to_keep: 0 for all."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            cache=cache,
        )
        x = outputs.last_hidden_state
        logits = self.lm_head(x[:, -logits_to_keep:] if logits_to_keep else x)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, **{CACHE: outputs[CACHE] if CACHE in outputs else None})


SigmaModel.register_for_auto_class("AutoModel")
SigmaForCausalLM.register_for_auto_class("AutoModelForCausalLM")
