"""Rules for the config keys of KerasHub, which several families share."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from keras_llm.config import GLOBAL, LOCAL, NO_ROTARY, DecoderConfig, Rope
from keras_llm.zoo.common import shortest_tile
from keras_llm.zoo.dialect import Setting

LENGTH = "sequence_length"
"""The preprocessor's key; most KerasHub models have no length of their own."""


def only(key: str, field: str, *values: float) -> Setting:
    """Returns a key that is one field and must have one of these values.

    Example:

    >>> only("epsilon", "norm_eps", 1e-6).read({"epsilon": 1e-6})
    {'norm_eps': 1e-06}
    """
    return Setting(key, field, values={value: value for value in values})


@dataclasses.dataclass(frozen=True, kw_only=True)
class RopeKeys:
    """Rotary positions, plain or scaled by a factor.

    Args:
        plain: Their keys that always count -> our field of `Rope`.
        kind: What the factor means, a value of `Rope.scaling`.
        factor: Their key of the factor; None: the family has none.
        scaled: Their keys that count with a factor -> our field.
        neutral: What the factor and `scaled` are without scaling.
        base: Fields of `Rope` that have no key.
        with_factor: Fields that a factor brings and that have no key.

    Example:

    >>> rule = RopeKeys(
    ...     plain={"wavelength": "theta"}, kind="linear", factor="scale")
    >>> rule.read({"wavelength": 5e5, "scale": 2.0})["rope"].factor
    2.0
    """

    plain: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kind: str | None = None
    factor: str | None = None
    scaled: Mapping[str, str] = dataclasses.field(default_factory=dict)
    neutral: float | None = 1.0
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    with_factor: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return (*self.plain, *self._scaling)

    @property
    def _scaling(self) -> dict[str, str]:
        return {self.factor: "factor", **self.scaled} if self.factor else {}

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `rope`."""
        names, fields = dict(self.plain), dict(self.base)
        if self.factor and values.get(self.factor) not in (None, self.neutral):
            names |= self._scaling
            fields |= {"scaling": self.kind, **self.with_factor}
        for theirs, ours in names.items():
            if values.get(theirs) is not None:
                fields[ours] = values[theirs]
        return {"rope": Rope.from_dict(fields)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys; none if the config has no rotary positions."""
        rope = config.rope
        if rope is None:
            return {}
        names: dict[str, str] = dict(self.plain)
        values = dict.fromkeys(self._scaling, self.neutral)
        if rope.scaling is not None and rope.scaling == self.kind:
            names |= self._scaling
        return values | {k: getattr(rope, ours) for k, ours in names.items()}


@dataclasses.dataclass(frozen=True)
class TiledWindow:
    """A window in layers that the family chooses.

    Args:
        key: Their key of the window.
        pattern: The layers, as in `DecoderConfig.pattern`. A window as long
            as the context is none where all layers have it.
        switch: Their key that turns windows on; None: a window does.
        more: Positions that they see beyond their window.

    Example:

    >>> TiledWindow("window", "LG").read({"window": 8, "num_layers": 4})
    {'pattern': 'LG', 'window': 8}
    """

    key: str
    pattern: str = LOCAL
    switch: str | None = None
    more: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return (self.key, *((self.switch,) if self.switch else ()))

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields `pattern` and `window`."""
        window, depth = values.get(self.key), values["num_layers"]
        off = self.switch and not values.get(self.switch)
        longest = values.get(LENGTH, math.inf)
        idle = self.pattern == LOCAL and (window or 0) + self.more >= longest
        if off or not window or idle:
            return {"pattern": GLOBAL, "window": None}
        pattern = shortest_tile((self.pattern * depth)[:depth])
        window = window + self.more if LOCAL in pattern else None
        return {"pattern": pattern, "window": window}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys."""
        window = config.window
        values: dict[str, Any] = {self.key: window and window - self.more}
        if self.switch:
            values = {
                self.key: window or config.context_length,
                self.switch: window is not None,
            }
        return values


@dataclasses.dataclass(frozen=True)
class Times(Setting):
    """A key that is a whole multiple of a field.

    Example:

    >>> Times("intermediate_dim", "mlp_dim").read({"intermediate_dim": 32})
    {'mlp_dim': 16}
    """

    times: int = 2

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field."""
        return {f: v // self.times for f, v in super().read(values).items()}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the key."""
        return {k: v * self.times for k, v in super().write(config).items()}


@dataclasses.dataclass(frozen=True)
class RotaryLayers:
    """A list that says which layers have rotary positions.

    Args:
        key: Their key of the list; layers beyond its end have them.
        kinds: Their key of a list that changes nothing.

    Example:

    >>> RotaryLayers("on", "kinds").read(
    ...     {"on": [True, False], "num_layers": 4})
    {'pattern': 'GNG'}
    """

    key: str
    kinds: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return (self.key, self.kinds)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `pattern`."""
        depth = values["num_layers"]
        on = [*values[self.key][:depth], *[True] * depth][:depth]
        letters = "".join(GLOBAL if each else NO_ROTARY for each in on)
        return {"pattern": shortest_tile(letters)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns both lists."""
        kinds = config.layer_kinds
        return {
            self.key: [kind != NO_ROTARY for kind in kinds],
            self.kinds: ["full_attention"] * len(kinds),
        }


@dataclasses.dataclass(frozen=True)
class LongRope:
    """Phi-3's rotary positions: plain, or with factors for each channel.

    Source: `phi3_rotary_embedding.py` of KerasHub 0.32.

    Example:

    >>> LongRope().read({"rope_max_wavelength": 5e5,
    ...     "pretraining_sequence_length": 64})["rope"].theta
    500000.0
    """

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return (
            "rope_max_wavelength",
            "pretraining_sequence_length",
            "rope_scaling_type",
            "rope_scaling_short_factor",
            "rope_scaling_long_factor",
        )

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `rope`."""
        theta, original, kind, *factors = (values.get(k) for k in self.keys)
        fields: dict[str, Any] = {"theta": theta}
        if kind is not None:
            ratio = values["max_sequence_length"] / original
            fields |= {
                "scaling": "longrope",
                "original_context": original,
                "factor": max(ratio, 1.0),
                "short_factors": factors[0],
                "long_factors": factors[1],
            }
        return {"rope": Rope.from_dict(fields)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys; none if the config has no rotary positions."""
        rope = config.rope
        if rope is None:
            return {}
        told = (rope.theta, config.context_length, None, None, None)
        if rope.scaling == "longrope":
            factors = map(list, (rope.short_factors, rope.long_factors))
            told = (rope.theta, rope.original_context, "su", *factors)
        return dict(zip(self.keys, told, strict=True))
