"""Scales and caps: keys of a config.json that are not just one field."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.zoo.family import Setting


@dataclasses.dataclass(frozen=True)
class WidthRoot:
    """Embeddings are multiplied by the root of their width (Gemma).

    No key says so; the width's own rule reads and writes it.

    Example:

    >>> WidthRoot().read({"hidden_size": 16})
    {'embed_scale': 4.0}
    """

    width_key: str = "hidden_size"

    @property
    def keys(self) -> tuple[str, ...]:
        """None of its own."""
        return ()

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `embed_scale`."""
        return {"embed_scale": _number(values, self.width_key) ** 0.5}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns nothing: the width says it."""
        return {}


@dataclasses.dataclass(frozen=True)
class QueryScale:
    """Scores are divided by the root of a number, mostly the head's width.

    Args:
        key: Their name of the number.
        default: What a missing key means, and a missing head width.

    Example:

    >>> QueryScale().read({"query_pre_attn_scalar": 64, "head_dim": 32})
    {'attention_scale': 0.125}
    >>> QueryScale().read({"query_pre_attn_scalar": 64, "head_dim": 64})
    {'attention_scale': None}
    """

    key: str = "query_pre_attn_scalar"
    default: int = 256

    @property
    def keys(self) -> tuple[str, ...]:
        """The one key."""
        return (self.key,)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `attention_scale`; None is the head's width.

        Raises:
            InputError: The number is none, or not above zero.
        """
        defaults = {self.key: self.default, "head_dim": self.default}
        both = {**defaults, **values}
        number = _number(both, self.key)
        same = number == both["head_dim"]
        return {"attention_scale": None if same else number**-0.5}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the key, as the whole number that readers expect."""
        scale = config.attention_scale
        number = config.head_dim if scale is None else round(scale**-2)
        return {self.key: number}


@dataclasses.dataclass(frozen=True)
class SoftCap(Setting):
    """A soft cap that null turns off and a missing key does not.

    Args:
        default: What null means; leave it at None.
        absent: What a missing key means.

    Example:

    >>> cap = SoftCap("cap", "final_softcap", absent=30.0)
    >>> cap.read({}), cap.read({"cap": None})
    ({'final_softcap': 30.0}, {'final_softcap': None})
    """

    default: Any = None
    absent: float | None = None

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field."""
        return super().read({self.key: self.absent, **values})


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    if not value > 0:
        raise InputError(
            f"Expected {key} in config.json to be a number above zero. "
            f"Received: {values.get(key)!r}."
        )
    return value
