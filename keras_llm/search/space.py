"""Space: what a sweep may change, and what a point of it means."""

import dataclasses
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.records import Record

NAMES = ("learning_rate", "batch_size", "width", "depth")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space(Record):
    """Values that a sweep tries; what is empty stays as it is.

    Args:
        learning_rate: Lowest and highest; drawn evenly on a log scale.
        batch_size: Rows of a step, each of these.
        width: Widths of the residual stream. Heads keep their size, so their
            number changes, and so does the MLP's width in proportion.
        depth: Numbers of blocks.

    Raises:
        InputError: A value is not above zero, there is nothing to search, or
            the learning rates are no range.

    Example:

    >>> Space(learning_rate=(1e-4, 1e-2), width=(64, 128)).names
    ('learning_rate', 'width')
    """

    learning_rate: tuple[float, ...] = ()
    batch_size: tuple[int, ...] = ()
    width: tuple[int, ...] = ()
    depth: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in NAMES:
            values = tuple(getattr(self, name))
            if any(not value > 0 for value in values):
                raise InputError(
                    f"Expected values of {name} above zero. Received: {values}."
                )
            self._set(name, values)
        rates = self.learning_rate
        if rates and (len(rates) != 2 or rates[0] >= rates[1]):
            raise InputError(
                "Expected the lowest and the highest learning rate. Received: "
                f"{rates}."
            )
        if not self.names:
            raise InputError(
                f"Expected something to search: {', '.join(NAMES)}. Received: "
                "nothing."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """What is searched."""
        return tuple(name for name in NAMES if getattr(self, name))


def config_at(config: DecoderConfig, point: dict[str, Any]) -> DecoderConfig:
    """Returns the config at a point of the space.

    Args:
        config: What to start from.
        point: "width" and "depth", if they are searched; more is ignored.

    Raises:
        InputError: The width is no multiple of the size of a head.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2, mlp_dim=32)
    >>> wide = config_at(config, {"width": 16, "depth": 3})
    >>> wide.num_heads, wide.mlp_dim, wide.num_layers
    (4, 64, 3)
    """
    changes: dict[str, Any] = {}
    if depth := point.get("depth"):
        changes["num_layers"] = depth
    if width := point.get("width"):
        if width % config.head_dim:
            raise InputError(
                f"Expected widths that are multiples of {config.head_dim}, "
                f"the size of a head. Received: {width}."
            )
        heads = width // config.head_dim
        share = config.num_heads // config.num_kv_heads
        changes |= {
            "hidden_dim": width,
            "num_heads": heads,
            "num_kv_heads": heads // share if heads % share == 0 else heads,
            "mlp_dim": max(1, config.mlp_dim * width // config.hidden_dim),
        }
    return config.replace(**changes)


def settings_at(point: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of `train.fit` at a point of the space.

    Example:

    >>> settings_at({"width": 64, "learning_rate": 0.01})
    {'learning_rate': 0.01}
    """
    names = ("learning_rate", "batch_size")
    return {name: point[name] for name in names if name in point}
