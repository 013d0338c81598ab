"""SmolLM3: Llama whose every fourth layer has no rotary positions.

Sources: `SmolLM3Config` and `modeling_smollm3.py` of `transformers` 5.23;
https://huggingface.co/blog/smollm3; the config.json at
https://huggingface.co/HuggingFaceTB/SmolLM3-3B; layers without positions:
Yang et al. 2025, https://arxiv.org/abs/2501.18795.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import GLOBAL, NO_ROTARY, DecoderConfig, Rope
from keras_llm.errors import InputError
from keras_llm.zoo.common import (
    DEPTH_AND_WIDTH,
    HEAD_DIM,
    KV_HEADS,
    LLAMA_WEIGHTS,
    RMS_EPS,
    SHAPE,
    SWIGLU,
    TIED,
    shortest_tile,
    sizes,
)
from keras_llm.zoo.family import Family, TokenizerRule
from keras_llm.zoo.rope import RopeRule


@dataclasses.dataclass(frozen=True)
class NoRotaryRule:
    """Which layers turn: a list with 0 or 1 for each, or every how many not.

    Example:

    >>> NoRotaryRule().read({"num_hidden_layers": 4})
    {'pattern': 'GGGN'}
    """

    listed: str = "no_rope_layers"
    interval: str = "no_rope_layer_interval"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it reads."""
        return (self.listed, self.interval, "layer_types")

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `pattern`.

        Raises:
            InputError: A layer is neither, or has a window.
        """
        depth = values["num_hidden_layers"]
        every = values.get(self.interval, 4)
        turning = values.get(self.listed)
        if turning is None:
            turning = [int((i + 1) % every != 0) for i in range(depth)]
        kinds = values.get("layer_types") or ()
        lists = all(isinstance(x, list | tuple) for x in (turning, kinds))
        if (
            not lists
            or len(turning) != depth
            or any(turns not in (0, 1) for turns in turning)
            or any(kind != "full_attention" for kind in kinds)
        ):
            raise InputError(
                f"Expected {self.listed} in config.json to have 0 or 1 for "
                f"each of {depth} layers, and layer_types to have no windows. "
                f"Received: {turning} and {kinds}."
            )
        letters = "".join(GLOBAL if turns else NO_ROTARY for turns in turning)
        return {"pattern": shortest_tile(letters)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the list."""
        kinds = config.layer_kinds
        return {self.listed: [int(kind != NO_ROTARY) for kind in kinds]}


PRESETS = sizes(
    {"norm_eps": 1e-6, "pattern": "GGGN", "rope": Rope(theta=5e6)},
    ("vocabulary_size", "context_length", *SHAPE),
    {
        "smollm3-3b": (
            "HuggingFaceTB/SmolLM3-3B",
            *(128256, 65536, 36, 2048, 16, 4, 11008),
        )
    },
    license="apache-2.0",
    chat="smollm3",
)

SMOLLM3 = Family(
    name="smollm3",
    model_type="smollm3",
    architecture="SmolLM3ForCausalLM",
    constants={},
    rules=(
        *DEPTH_AND_WIDTH,
        KV_HEADS,
        HEAD_DIM,
        RMS_EPS,
        SWIGLU,
        TIED,
        RopeRule(theta=2e6),
        NoRotaryRule(),
    ),
    weights=LLAMA_WEIGHTS,
    tokenizer=TokenizerRule(pattern="llama3", bos=None, eos="<|end_of_text|>"),
    chat="smollm3",
    # Windows are off, so their settings say nothing.
    unused=("pretraining_tp", "sliding_window", "max_window_layers"),
    fixed={
        "attention_bias": False,
        "attention_dropout": 0,
        "mlp_bias": False,
        "use_sliding_window": False,
    },
    presets=PRESETS,
)
