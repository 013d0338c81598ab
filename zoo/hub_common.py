"""What several families of KerasHub share: config keys and variable paths."""

from collections.abc import Mapping

from keras_llm.weights import AS_IS, Layout, Row
from keras_llm.zoo.dialect import YES_OR_NO, Setting
from keras_llm.zoo.hub_family import Heads
from keras_llm.zoo.hub_rules import LENGTH, RopeKeys

# === Keys ===

DROPOUT = Setting("dropout", "dropout", 0.0)
SIZE = (
    Setting("vocabulary_size", "vocabulary_size"),
    Setting("num_layers", "num_layers"),
    Setting("hidden_dim", "hidden_dim"),
)
MLP_WIDTH = Setting("intermediate_dim", "mlp_dim")
ONE_KIND_OF_HEADS = Setting("num_heads", "num_heads")
GROUPED_HEADS = (
    Setting("num_query_heads", "num_heads"),
    Setting("num_key_value_heads", "num_kv_heads"),
)
HEAD_DIM = Setting("head_dim", "head_dim", None)
EPS = Setting("layer_norm_epsilon", "norm_eps")
CONTEXT = Setting(LENGTH, "context_length")
OWN_CONTEXT = Setting("max_sequence_length", "context_length")
TIED = Setting("tie_word_embeddings", "tie_embeddings", True, YES_OR_NO)
THETA = {"rope_max_wavelength": "theta"}
PLAIN_ROPE = RopeKeys(plain=THETA, kind="linear", factor="rope_scaling_factor")
SHARED = (*SIZE, DROPOUT, *GROUPED_HEADS)
LLAMA_LIKE = (*SHARED, MLP_WIDTH, EPS, CONTEXT)
SWITCH = "use_sliding_window_attention"

# === Paths ===

KERNEL, BIAS, SCALE = ("kernel",), ("bias",), ("scale",)
BOTH, NORM = ("kernel", "bias"), ("gamma", "beta")
SPLIT, JOINED, HEADS_FIRST = Heads(), Heads(axis=0), Heads(first=True)
BLOCK, LAYER = "block_{i}", "transformer_layer_{i}"
QKV = ("query", "key", "value")


def layers(
    names: Mapping[str, str],
    variables: tuple[str, ...] = KERNEL,
    layout: Layout = AS_IS,
) -> tuple[Row, ...]:
    """Returns the rows of layers, one for each variable.

    Args:
        names: Their layer -> ours.
        variables: What both call the variables of such a layer.
        layout: How theirs lie.

    Example:

    >>> layers({"norm": "final_norm"}, SCALE)[0].ours
    ('final_norm/scale',)
    """
    return tuple(
        Row(f"{theirs}/{name}", (f"{ours}/{name}",), layout)
        for theirs, ours in names.items()
        for name in variables
    )


def attention(
    layer: str, layout: Heads = SPLIT, biased: bool = False
) -> tuple[Row, ...]:
    """Returns the rows of four projections with the heads on an axis.

    Example:

    >>> len(attention("layer_{i}/attention", biased=True))
    8
    """
    names, ours = BOTH if biased else KERNEL, f"{BLOCK}/attention"
    out = {f"{layer}/attention_output": f"{ours}/output"}
    return (
        *layers({f"{layer}/{p}": f"{ours}/{p}" for p in QKV}, names, layout),
        *layers(out, KERNEL, JOINED),
        *layers(out, names[1:]),
    )


def norms(before_attention: str, before_mlp: str) -> tuple[Row, ...]:
    """Returns the rows of a Llama-like model's normalizations.

    Example:

    >>> norms("first", "second")[0].theirs
    'transformer_layer_{i}/first/scale'
    """
    return layers(
        {
            f"{LAYER}/{before_attention}": f"{BLOCK}/attention_norm",
            f"{LAYER}/{before_mlp}": f"{BLOCK}/mlp_norm",
            "sequence_output_layernorm": "final_norm",
        },
        SCALE,
    )


EMBEDDINGS = layers(
    {"token_embedding": "token_embedding"},
    ("embeddings", "reverse_embeddings"),
)
PLAIN_MLP = {
    f"{LAYER}/feedforward_intermediate_dense": f"{BLOCK}/mlp/up",
    f"{LAYER}/feedforward_output_dense": f"{BLOCK}/mlp/down",
}
GATED_MLP = layers(
    {
        f"{LAYER}/feedforward_gate_dense": f"{BLOCK}/mlp/gate",
        **PLAIN_MLP,
    }
)
LLAMA_NORMS = norms("self_attention_layernorm", "feedforward_layernorm")
LLAMA_OUTER = (*EMBEDDINGS, *LLAMA_NORMS)
LLAMA_ATTENTION = attention(f"{LAYER}/self_attention")
BIASED_ATTENTION = attention(f"{LAYER}/self_attention", biased=True)
GPT_NORMS = layers(
    {
        f"{LAYER}/self_attention_layer_norm": f"{BLOCK}/attention_norm",
        f"{LAYER}/feedforward_layer_norm": f"{BLOCK}/mlp_norm",
        "layer_norm": "final_norm",
    },
    NORM,
)
QWEN_QK_NORMS = layers(
    {
        f"{LAYER}/self_attention/{part}_dense_layernorm": (
            f"{BLOCK}/attention/{part}_norm"
        )
        for part in ("query", "key")
    },
    SCALE,
)
