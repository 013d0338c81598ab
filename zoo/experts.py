"""Mixtures of experts: their keys of config.json and names of weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig, Experts
from keras_llm.errors import InputError
from keras_llm.weights import TRANSPOSED, Row
from keras_llm.zoo.family import Setting

TOP_K = Setting("num_experts_per_tok", "top_k")
# `transformers` adds this loss only where output_router_logits is true; here
# it always counts in training. Zero turns it off.
BALANCE = Setting("router_aux_loss_coef", "balance_loss", default=0.001)


@dataclasses.dataclass(frozen=True)
class ExpertsRule:
    """Keys that are fields of `Experts`.

    Args:
        settings: The keys; their fields are those of `Experts`.
        constants: Fields of `Experts` that all models of the family share.

    Example:

    >>> rule = ExpertsRule((Setting("n", "count"), TOP_K))
    >>> rule.read({"n": 8, "num_experts_per_tok": 2})["experts"].count
    8
    """

    settings: tuple[Setting, ...]
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it reads."""
        return tuple(key for one in self.settings for key in one.keys)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `experts`."""
        fields = dict(self.constants)
        for setting in self.settings:
            fields |= setting.read(values)
        return {"experts": Experts.from_dict(fields)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys.

        Raises:
            InputError: The config has no experts.
        """
        if config.experts is None:
            raise InputError(
                "Expected experts, which this family always has. Received: "
                "experts=None."
            )
        values: dict[str, Any] = {}
        for setting in self.settings:
            values |= setting.write(config.experts)
        return values


def expert_rows(theirs: str, gate: str, up: str, down: str) -> tuple[Row, ...]:
    """Returns the rows of a router and of experts in a tensor each.

    Args:
        theirs: Their name of the mixture.
        gate: Their name of an expert's gate projection.
        up: That of its up projection.
        down: That of its down projection.

    Example:

    >>> expert_rows("h.{i}.moe", gate="w1", up="w3", down="w2")[1].theirs
    'h.{i}.moe.experts.{e}.w1.weight'
    """
    ours = "block_{i}/experts"
    router = (f"{ours}/router/kernel",)
    return (
        Row(f"{theirs}.gate.weight", router, TRANSPOSED),
        *(
            Row(
                f"{theirs}.experts.{{e}}.{name}.weight",
                (f"{ours}/{part}",),
                TRANSPOSED,
            )
            for part, name in (("gate", gate), ("up", up), ("down", down))
        ),
    )
