"""GPT-2: learned positions, layer norms, biases everywhere, tied head.

Sources: the config.json files at https://huggingface.co/openai-community/gpt2
(and gpt2-medium, gpt2-large, gpt2-xl); Radford et al. 2019, "Language Models
are Unsupervised Multitask Learners".
"""

from keras_llm.weights import AS_IS, TRANSPOSED, Row, WeightTable
from keras_llm.zoo.common import dense, sizes
from keras_llm.zoo.family import YES_OR_NO, Family, Setting, TokenizerRule

QKV = ("query", "key", "value")

RULES = (
    Setting("vocab_size", "vocabulary_size"),
    Setting("n_positions", "context_length"),
    Setting("n_layer", "num_layers"),
    Setting("n_embd", "hidden_dim"),
    Setting("n_head", "num_heads"),
    Setting("n_inner", "mlp_dim", default=None),
    Setting("layer_norm_epsilon", "norm_eps", default=1e-5),
    Setting(
        "activation_function",
        "mlp",
        default="gelu_new",
        values={
            "gelu_new": "gelu",
            "gelu_pytorch_tanh": "gelu",
            "gelu": "gelu_exact",
        },
    ),
    Setting("tie_word_embeddings", "tie_embeddings", True, YES_OR_NO),
    # One dropout of ours is all three of theirs, at the same three places.
    Setting("embd_pdrop", "dropout", default=0.1),
    Setting("attn_pdrop", "dropout", default=0.1),
    Setting("resid_pdrop", "dropout", default=0.1),
)


PROJECTIONS = {
    "attn.c_proj": "attention/output",
    "mlp.c_fc": "mlp/up",
    "mlp.c_proj": "mlp/down",
}
NORM = ("gamma", "beta")
BLOCK = "transformer.h.{i}"

WEIGHTS = WeightTable(
    prefix="transformer.",
    rows=(
        Row("transformer.wte.weight", ("token_embedding/embeddings",)),
        Row("transformer.wpe.weight", ("position_embedding/embeddings",)),
        # Their `Conv1D` lies as our `Dense`.
        *dense(
            f"{BLOCK}.attn.c_attn",
            *(f"block_{{i}}/attention/{part}" for part in QKV),
            layout=AS_IS,
        ),
        *(
            row
            for theirs, ours in PROJECTIONS.items()
            for row in dense(
                f"{BLOCK}.{theirs}", f"block_{{i}}/{ours}", layout=AS_IS
            )
        ),
        *dense(f"{BLOCK}.ln_1", "block_{i}/attention_norm", names=NORM),
        *dense(f"{BLOCK}.ln_2", "block_{i}/mlp_norm", names=NORM),
        *dense("transformer.ln_f", "final_norm", names=NORM),
        Row(
            "lm_head.weight",
            ("token_embedding/reverse_embeddings",),
            TRANSPOSED,
        ),
    ),
    # Causal masks that old files carry along.
    ignored=(f"{BLOCK}.attn.bias", f"{BLOCK}.attn.masked_bias"),
    copies=(("lm_head.weight", "transformer.wte.weight"),),
)

CONSTANTS = {"norm": "layer", "bias": "all", "rope": None}


PRESETS = sizes(
    {
        **CONSTANTS,
        "vocabulary_size": 50257,
        "context_length": 1024,
        "mlp": "gelu",
        "dropout": 0.1,
    },
    ("num_layers", "hidden_dim", "num_heads"),
    {
        "gpt2": ("openai-community/gpt2", 12, 768, 12),
        "gpt2-medium": ("openai-community/gpt2-medium", 24, 1024, 16),
        "gpt2-large": ("openai-community/gpt2-large", 36, 1280, 20),
        "gpt2-xl": ("openai-community/gpt2-xl", 48, 1600, 25),
    },
    license="mit",
)

GPT2 = Family(
    name="gpt2",
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    constants=CONSTANTS,
    rules=RULES,
    weights=WEIGHTS,
    tokenizer=TokenizerRule(
        pattern="gpt2", bos="<|endoftext|>", eos="<|endoftext|>"
    ),
    unused=(
        *("n_ctx", "predict_special_tokens", "output_past"),
        *("summary_type", "summary_use_proj", "summary_activation"),
        *("summary_first_dropout", "summary_proj_to_labels"),
    ),
    fixed={
        "n_special": 0,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
    },
    presets=PRESETS,
)
