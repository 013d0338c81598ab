"""Llama's architecture: the one that `DecoderConfig`'s defaults describe.

Llama 1 to 3.3, TinyLlama, SmolLM2 and all else whose model_type is "llama".

Sources: `LlamaConfig` and `modeling_llama.py` of `transformers` 5.23;
Touvron et al. 2023, https://arxiv.org/abs/2302.13971; Llama 3,
https://arxiv.org/abs/2407.21783.
"""

from keras_llm.weights import WeightTable
from keras_llm.zoo.common import COPIES, LLAMA_LIKE, LLAMA_ROWS, UNTIED
from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.rope import RopeRule

BIASES = {False: "none", True: "all"}

RULES = (
    *LLAMA_LIKE,
    Setting(
        "hidden_act",
        "mlp",
        default="silu",
        values={"silu": "swiglu", "gelu_pytorch_tanh": "geglu"},
    ),
    # They must agree: we have biases everywhere or nowhere.
    Setting("attention_bias", "bias", default=False, values=BIASES),
    Setting("mlp_bias", "bias", default=False, values=BIASES),
    UNTIED,
    RopeRule(),
)

WEIGHTS = WeightTable(
    prefix="model.",
    rows=LLAMA_ROWS,
    # Rotary frequencies that old files carry along.
    ignored=("model.layers.{i}.self_attn.rotary_emb.inv_freq",),
    copies=COPIES,
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
