"""What sets KerasHub's form of a family apart: its config keys and weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.config import GLOBAL, LOCAL, DecoderConfig
from keras_llm.weights import Layout, WeightTable
from keras_llm.zoo.common import shortest_tile
from keras_llm.zoo.dialect import Dialect
from keras_llm.zoo.hub_rules import LENGTH

# In every KerasHub config; they change no logits.
UNUSED = ("name", "trainable", "dtype")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubFamily(Dialect):
    """A family as KerasHub has it.

    Args:
        name: What users type; KerasHub's own name of the family.
        constants, rules, fixed: As in `Dialect`.
        unused: Keys that change no logits, beside those of every family.
        filler: Keys that change no logits and must be given all the same.
        classes: What KerasHub's classes start with, for example "GPT2".
        weights: The paths of its variables, `{i}` being the block.
        pattern: The split rule of its byte-level tokenizer, by its name in
            `keras_llm.tokenizers`; None for SentencePiece.
        tokenizer: What else its tokenizer's constructor wants.
        chat: The chat template whose end of a turn also ends a text.

    Example:

    >>> from keras_llm.zoo.hub_tables import HUB_FAMILIES
    >>> HUB_FAMILIES["gpt2"].classes
    'GPT2'
    """

    classes: str
    weights: WeightTable
    pattern: str | None
    tokenizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    chat: str | None = None
    filler: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> frozenset[str]:
        """The keys that its rules understand."""
        return frozenset(key for rule in self.rules for key in rule.keys)

    def nearest(self, config: DecoderConfig) -> DecoderConfig:
        """Returns the config with what KerasHub cannot say and need not.

        Settings of training that it has no key for take the values it has
        in mind; a family whose head is never tied gets one of its own; and a
        window that no sequence is longer than is none.
        """
        config = _without_idle_window(config)
        said = self._said(config)
        changes: dict[str, Any] = {"dropout": said.dropout}
        if self.constants.get("tie_embeddings") is False:
            changes["tie_embeddings"] = False
        ours, theirs = config.experts, said.experts
        if ours and theirs:
            width = ours.mlp_dim or config.mlp_dim
            same = width == (theirs.mlp_dim or said.mlp_dim)
            changes["experts"] = dataclasses.replace(
                ours,
                mlp_dim=theirs.mlp_dim if same else width,
                balance_loss=theirs.balance_loss,
                router_z_loss=theirs.router_z_loss,
            )
        return config.replace(**changes)

    def _said(self, config: DecoderConfig) -> DecoderConfig:
        values = dict(self._always)
        for rule in self.rules:
            values |= rule.write(config)
        return self.read(values)

    @property
    def _always(self) -> Mapping[str, Any]:
        return {**self.fixed, **self.filler}

    @property
    def _unused(self) -> tuple[str, ...]:
        return (*UNUSED, LENGTH, *self.filler, *self.unused)


def _without_idle_window(config: DecoderConfig) -> DecoderConfig:
    two_bases = config.rope is not None and config.rope.local_theta is not None
    if two_bases or (config.window or 0) < config.context_length:
        return config
    pattern = config.pattern.replace(LOCAL, GLOBAL)
    return config.replace(pattern=shortest_tile(pattern), window=None)


@dataclasses.dataclass(frozen=True)
class Heads(Layout):
    """A tensor that has the heads on an axis of their own.

    Args:
        transposed, interleave: As in `Layout`, once the heads are joined.
        axis: The axis of ours that is split into heads and channels.
        first: Whether the heads are the first axis of theirs.
        width: Channels of a head; filled in by `at`.

    Example:

    >>> layout = Heads(first=True, width=2)
    >>> layout.shape([(8, 6)])
    (3, 8, 2)
    >>> kernel = np.arange(48).reshape(8, 6)
    >>> (kernel,) = layout.split(layout.join([kernel]), [(8, 6)])
    >>> kernel[0].tolist()
    [0, 1, 2, 3, 4, 5]
    """

    axis: int = -1
    first: bool = False
    width: int = 0

    def at(self, config: DecoderConfig) -> "Heads":
        """Returns the layout with the config's numbers."""
        fields = dataclasses.asdict(super().at(config))
        return Heads(**{**fields, "width": config.head_dim})

    def shape(self, shapes: Sequence[tuple]) -> tuple:
        """Returns the shape of their tensor for variables of these shapes."""
        apart, axis = self._apart(shapes)
        if self.first:
            return (apart[axis], *apart[:axis], *apart[axis + 1 :])
        return apart

    def split(self, tensor: np.ndarray, shapes: Sequence[tuple]) -> list:
        """Returns our variables' values."""
        if self.first:
            tensor = np.moveaxis(tensor, 0, self._apart(shapes)[1])
        return super().split(tensor.reshape(super().shape(shapes)), shapes)

    def join(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Returns their tensor; the inverse of `split`."""
        apart, axis = self._apart([value.shape for value in values])
        tensor = super().join(values).reshape(apart)
        return np.moveaxis(tensor, axis, 0) if self.first else tensor

    def _apart(self, shapes: Sequence[tuple]) -> tuple[tuple, int]:
        """The joined shape with the heads apart, and where they are."""
        joined, width = super().shape(shapes), self.width * len(shapes)
        axis = self.axis % len(joined)
        heads = (joined[axis] // width, width)
        return (*joined[:axis], *heads, *joined[axis + 1 :]), axis
