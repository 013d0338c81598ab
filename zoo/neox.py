"""GPT-NeoX and Pythia: parallel branches, a quarter of each head turns.

Sources: `GPTNeoXConfig` and `modeling_gpt_neox.py` of `transformers` 5.23;
Black et al. 2022, https://arxiv.org/abs/2204.06745; Biderman et al. 2023,
https://arxiv.org/abs/2304.01373; sizes from the config.json files at
https://huggingface.co/EleutherAI.
"""

from keras_llm.config import Rope
from keras_llm.weights import TRANSPOSED, Layout, Row, WeightTable
from keras_llm.zoo.common import DEPTH_AND_WIDTH, UNTIED, dense, sizes
from keras_llm.zoo.family import YES_OR_NO, Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

BLOCK = "gpt_neox.layers.{i}"
NORM = ("gamma", "beta")
# Query, key and value of head 0, then those of head 1, and so on.
BY_HEAD = Layout(transposed=True, interleave="head_dim")
QKV = tuple(f"block_{{i}}/attention/{n}" for n in ("query", "key", "value"))

RULES = (
    *DEPTH_AND_WIDTH,
    Setting("layer_norm_eps", "norm_eps", default=1e-5),
    Setting(
        "hidden_act",
        "mlp",
        default="gelu",
        values={
            "gelu": "gelu_exact",
            "gelu_fast": "gelu",
            "gelu_new": "gelu",
            "gelu_pytorch_tanh": "gelu",
        },
    ),
    Setting("use_parallel_residual", "parallel_block", True, YES_OR_NO),
    UNTIED,
    # One dropout of ours is both of theirs, at the same places.
    Setting("hidden_dropout", "dropout", default=0.0),
    Setting("attention_dropout", "dropout", default=0.0),
    RopeRule(
        theta_key="rotary_emb_base", fraction=0.25, fraction_key="rotary_pct"
    ),
)

WEIGHTS = WeightTable(
    prefix="gpt_neox.",
    rows=(
        Row("gpt_neox.embed_in.weight", ("token_embedding/embeddings",)),
        *dense(f"{BLOCK}.attention.query_key_value", *QKV, layout=BY_HEAD),
        *dense(f"{BLOCK}.attention.dense", "block_{i}/attention/output"),
        *dense(f"{BLOCK}.mlp.dense_h_to_4h", "block_{i}/mlp/up"),
        *dense(f"{BLOCK}.mlp.dense_4h_to_h", "block_{i}/mlp/down"),
        *dense(
            f"{BLOCK}.input_layernorm",
            "block_{i}/attention_norm",
            names=NORM,
        ),
        *dense(
            f"{BLOCK}.post_attention_layernorm",
            "block_{i}/mlp_norm",
            names=NORM,
        ),
        *dense("gpt_neox.final_layer_norm", "final_norm", names=NORM),
        Row(
            "embed_out.weight",
            ("token_embedding/reverse_embeddings",),
            TRANSPOSED,
        ),
    ),
    # Causal masks and rotary frequencies that old files carry along.
    ignored=(
        f"{BLOCK}.attention.bias",
        f"{BLOCK}.attention.masked_bias",
        f"{BLOCK}.attention.rotary_emb.inv_freq",
    ),
    copies=(("embed_out.weight", "gpt_neox.embed_in.weight"),),
)

CONSTANTS = {"norm": "layer", "bias": "all"}
PRESETS = sizes(
    {
        **CONSTANTS,
        "parallel_block": True,
        "tie_embeddings": False,
        "rope": Rope(fraction=0.25),
    },
    (
        *("vocabulary_size", "context_length", "num_layers", "hidden_dim"),
        *("num_heads", "mlp"),
    ),
    {
        name: (f"EleutherAI/{name}", *columns)
        for name, columns in {
            "pythia-14m": (50304, 512, 6, 128, 4, "gelu_exact"),
            "pythia-31m": (50304, 1024, 6, 256, 8, "gelu_exact"),
            "pythia-70m": (50304, 2048, 6, 512, 8, "gelu_exact"),
            "pythia-160m": (50304, 2048, 12, 768, 12, "gelu_exact"),
            "pythia-410m": (50304, 2048, 24, 1024, 16, "gelu_exact"),
            "pythia-1b": (50304, 2048, 16, 2048, 8, "gelu_exact"),
            "pythia-1.4b": (50304, 2048, 24, 2048, 16, "gelu_exact"),
            "pythia-2.8b": (50304, 2048, 32, 2560, 32, "gelu_exact"),
            "pythia-6.9b": (50432, 2048, 32, 4096, 32, "gelu_exact"),
            "pythia-12b": (50688, 2048, 36, 5120, 40, "gelu_exact"),
            # No copy of its file was at hand: only the count is compared.
            "gpt-neox-20b": (50432, 2048, 44, 6144, 64, "gelu"),
        }.items()
    },
    license="apache-2.0",
)

NEOX = Family(
    name="gpt_neox",
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    constants=CONSTANTS,
    rules=RULES,
    weights=WEIGHTS,
    tokenizer=TokenizerRule(
        pattern="gpt2", bos="<|endoftext|>", eos="<|endoftext|>"
    ),
    unused=("classifier_dropout", "is_decoder"),
    fixed={"attention_bias": True},
    presets=PRESETS,
)
