"""Configuration of DiffQKV models for the `transformers` library. Goes with modeling_sigma.py."""
from transformers import PretrainedConfig


class SigmaConfig(PretrainedConfig):
    model_type = "sigma"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=26,
        intermediate_size=6144,
        num_attention_heads=32,
        num_key_heads=4,
        num_value_heads=16,
        query_head_dim=64,
        key_head_dim=None,
        value_head_dim=None,
        augmented_query_size=0,
        key_rope="after_expansion",
        rope_theta=50000.0,
        rope_scaling=None,
        rms_norm_eps=1e-5,
        attention_bias=False,
        hidden_act="silu",
        max_position_embeddings=131072,
        initializer_range=0.02,
        use_cache=True,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.intermediate_size = intermediate_size
        self.num_attention_heads = num_attention_heads
        self.num_key_heads = num_key_heads
        self.num_value_heads = num_value_heads
        self.query_head_dim = query_head_dim
        self.key_head_dim = query_head_dim if key_head_dim is None else key_head_dim
        self.value_head_dim = query_head_dim if value_head_dim is None else value_head_dim
        self.augmented_query_size = augmented_query_size or 0
        self.key_rope = key_rope
        self.rope_theta = rope_theta
        self.rope_scaling = rope_scaling
        self.rms_norm_eps = rms_norm_eps
        self.attention_bias = attention_bias
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        for heads in (num_key_heads, num_value_heads):
            if num_attention_heads % heads != 0:
                raise ValueError(f"expected K and V heads that divide {num_attention_heads}, found {heads}")
        if key_rope not in ("after_expansion", "key_dim"):
            raise ValueError(f"expected key_rope after_expansion or key_dim, found {key_rope}")
        if hidden_act != "silu":
            raise ValueError(f"expected hidden_act silu, found {hidden_act}")
        super().__init__(
            tie_word_embeddings=tie_word_embeddings,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            pad_token_id=pad_token_id,
            **kwargs,
        )

    def rope(self):
        """(theta, scaling or None), wherever this version of the library keeps them."""
        parameters = getattr(self, "rope_parameters", None) or self.rope_scaling or {}
        kind = parameters.get("rope_type", parameters.get("type", "default"))
        theta = parameters.get("rope_theta", getattr(self, "rope_theta", None))
        return theta, parameters if kind != "default" else None


SigmaConfig.register_for_auto_class()
