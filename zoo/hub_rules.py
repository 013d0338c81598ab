"""Rules for the config keys of KerasHub, which several families share."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from keras_llm.config import (
    GLOBAL,
    LOCAL,
    NO_ROTARY,
    DecoderConfig,
    Experts,
    Rope,
)
from keras_llm.zoo.common import shortest_tile
from keras_llm.zoo.dialect import Setting

LENGTH = "sequence_length"
"""The preprocessor's key; most KerasHub models have no length of their own."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Keys that are fields of one part of the config.

    Args:
        field: "rope" or "experts".
        names: Their key -> our field of that part.
        always: Fields of that part that all models of the family share.

    Example:

    >>> rule = Part("experts", {"num_experts": "count", "top_k": "top_k"})
    >>> rule.read({"num_experts": 8, "top_k": 2})["experts"].count
    8
    """

    field: str
    names: Mapping[str, str]
    always: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(self.names)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the part."""
        given = {
            ours: values[theirs]
            for theirs, ours in self.names.items()
            if values.get(theirs) is not None
        }
        record = {"rope": Rope, "experts": Experts}[self.field]
        return {self.field: record.from_dict({**self.always, **given})}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys; none if the config lacks the part."""
        part = getattr(config, self.field)
        if part is None:
            return {}
        return {k: getattr(part, ours) for k, ours in self.names.items()}


@dataclasses.dataclass(frozen=True)
class ScaledRope:
    """Rotary positions that a factor above one scales.

    Args:
        kind: What the factor means, a value of `Rope.scaling`.
        factor: Their key of the factor.
        plain: Their keys that always count -> our field of `Rope`.
        scaled: Their keys that count with a factor -> our field.
        neutral: What the factor and `scaled` are without scaling.
        always: Fields of `Rope` with a factor that have no key.

    Example:

    >>> rule = ScaledRope("linear", "scale", {"wavelength": "theta"})
    >>> rule.read({"wavelength": 5e5, "scale": 2.0})["rope"].factor
    2.0
    """

    kind: str
    factor: str
    plain: Mapping[str, str]
    scaled: Mapping[str, str] = dataclasses.field(default_factory=dict)
    neutral: float | None = 1.0
    always: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return (self.factor, *self.plain, *self.scaled)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `rope`."""
        names, fields = dict(self.plain), {}
        if values.get(self.factor) not in (None, self.neutral):
            names |= {self.factor: "factor", **self.scaled}
            fields = {"scaling": self.kind, **self.always}
        for theirs, ours in names.items():
            if values.get(theirs) is not None:
                fields[ours] = values[theirs]
        return {"rope": Rope.from_dict(fields)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys; none if the config has no rotary positions."""
        rope = config.rope
        if rope is None:
            return {}
        values = dict.fromkeys((self.factor, *self.scaled), self.neutral)
        names = dict(self.plain)
        if rope.scaling == self.kind:
            names |= {self.factor: "factor", **self.scaled}
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
class RootOfWidth:
    """Token embeddings are multiplied by the square root of the width.

    Example:

    >>> RootOfWidth().read({"hidden_dim": 64})
    {'embed_scale': 8.0}
    """

    key: str = "hidden_dim"

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of the width."""
        return (self.key,)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `embed_scale`."""
        return {"embed_scale": math.sqrt(values[self.key])}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns nothing: the width has a rule of its own."""
        return {}


@dataclasses.dataclass(frozen=True)
class RotaryLayers:
    """A list that says which layers have rotary positions.

    Args:
        key: Their key of the list; layers beyond its end have them.
        kinds: Their key of a list that changes nothing.

    Example:

    >>> RotaryLayers("on", "kinds").read(
    ...     {"on": [True, False], "num_layers": 4})
    {'pattern': 'GNGG'}
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
        theta, original, kind, short, long = map(values.get, self.keys)
        if kind is None:
            return {"rope": Rope(theta=theta)}
        return {
            "rope": Rope(
                theta=theta,
                scaling="longrope",
                original_context=original,
                factor=max(values["max_sequence_length"] / original, 1.0),
                short_factors=short,
                long_factors=long,
            )
        }

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
