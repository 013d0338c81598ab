"""Llama's architecture: the one that `DecoderConfig`'s defaults describe.

Llama 1 to 3.3, TinyLlama, SmolLM2 and all else whose model_type is "llama".

Sources: `LlamaConfig` and `modeling_llama.py` of `transformers` 5.23;
Touvron et al. 2023, https://arxiv.org/abs/2302.13971; Llama 3,
https://arxiv.org/abs/2407.21783.
"""

from keras_llm.weights import TRANSPOSED, Row, WeightTable
from keras_llm.zoo.family import YES_OR_NO, Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

BIASES = {False: "none", True: "all"}

RULES = (
    Setting("vocab_size", "vocabulary_size"),
    Setting("max_position_embeddings", "context_length"),
    Setting("num_hidden_layers", "num_layers"),
    Setting("hidden_size", "hidden_dim"),
    Setting("num_attention_heads", "num_heads"),
    Setting("num_key_value_heads", "num_kv_heads", default=None),
    Setting("head_dim", "head_dim", default=None),
    Setting("intermediate_size", "mlp_dim"),
    Setting("rms_norm_eps", "norm_eps", default=1e-6),
    Setting(
        "hidden_act",
        "mlp",
        default="silu",
        values={"silu": "swiglu", "gelu_pytorch_tanh": "geglu"},
    ),
    # They must agree: we have biases everywhere or nowhere.
    Setting("attention_bias", "bias", default=False, values=BIASES),
    Setting("mlp_bias", "bias", default=False, values=BIASES),
    Setting("tie_word_embeddings", "tie_embeddings", False, YES_OR_NO),
    RopeRule(),
)

PROJECTIONS = {
    "self_attn.q_proj": "attention/query",
    "self_attn.k_proj": "attention/key",
    "self_attn.v_proj": "attention/value",
    "self_attn.o_proj": "attention/output",
    "mlp.gate_proj": "mlp/gate",
    "mlp.up_proj": "mlp/up",
    "mlp.down_proj": "mlp/down",
}
NORMS = {
    "model.layers.{i}.input_layernorm": "block_{i}/attention_norm",
    "model.layers.{i}.post_attention_layernorm": "block_{i}/mlp_norm",
    "model.norm": "final_norm",
}

WEIGHTS = WeightTable(
    prefix="model.",
    rows=(
        Row("model.embed_tokens.weight", ("token_embedding/embeddings",)),
        *(
            Row(
                f"model.layers.{{i}}.{theirs}.weight",
                (f"block_{{i}}/{ours}/kernel",),
                TRANSPOSED,
            )
            for theirs, ours in PROJECTIONS.items()
        ),
        *(
            Row(
                f"model.layers.{{i}}.{theirs}.bias",
                (f"block_{{i}}/{ours}/bias",),
            )
            for theirs, ours in PROJECTIONS.items()
        ),
        *(
            Row(f"{theirs}.weight", (f"{ours}/scale",))
            for theirs, ours in NORMS.items()
        ),
        Row(
            "lm_head.weight",
            ("token_embedding/reverse_embeddings",),
            TRANSPOSED,
        ),
    ),
    # Rotary frequencies that old files carry along.
    ignored=("model.layers.{i}.self_attn.rotary_emb.inv_freq",),
    copies=(("lm_head.weight", "model.embed_tokens.weight"),),
)

LLAMA = Family(
    name="llama",
    model_type="llama",
    architecture="LlamaForCausalLM",
    constants={"norm": "rms"},
    rules=RULES,
    weights=WEIGHTS,
    tokenizer=TokenizerRule(
        pattern="llama3", bos="<|begin_of_text|>", eos="<|end_of_text|>"
    ),
    # pretraining_tp: how sums were split, not what they are; is_llama_config:
    # a mark of the tool that converted SmolLM2.
    unused=("pretraining_tp", "is_llama_config"),
    fixed={"attention_dropout": 0, "rope_interleaved": False},
)
