"""How well texts are predicted by what is no language model at all."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.bits import unigram_bits, xz_bits
from keras_llm.evaluate.finding import Block, Measure, Table, Words


@dataclasses.dataclass(frozen=True)
class Yardsticks:
    """Bits per byte of simple methods on the same texts; a `Finding`.

    Attributes:
        bits: By method: "unigram" (the best possible model without context)
            and "xz" (`xz -9`), bits per byte.
        name: Of the texts, the first part of the measures' names.
        title: The heading of its section.

    Example:

    >>> sorted(yardsticks(["a rose", "is a rose"]).bits)
    ['xz']
    """

    bits: dict[str, float]
    name: str
    title: str = "Yardsticks"

    def measures(self) -> dict[str, Measure]:
        """Returns `name/METHOD_bits_per_byte`; they are no model's merit."""
        return {
            f"{self.name}/{method}_bits_per_byte": Measure(
                bits, higher_is_better=None
            )
            for method, bits in self.bits.items()
        }

    def blocks(self) -> list[Block]:
        """Returns a table of them."""
        rows = [
            {"method": method, "bits per byte": bits}
            for method, bits in self.bits.items()
        ]
        return [
            Words(
                "A language model is worth its name below these. unigram: the "
                "best model that knows how frequent each token is in these "
                "very texts, and no context. xz: the file compressed by xz -9."
            ),
            Table(rows),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the bits per byte by method."""
        return dict(self.bits)


def yardsticks(
    texts: Sequence[str], tokenizer: Any = None, name: str = "language"
) -> Yardsticks:
    """Measures texts by token frequencies and by `xz -9`.

    Args:
        texts: The texts that a model is evaluated on.
        tokenizer: The model's; None leaves "unigram" out.
        name: Of the texts, the first part of the measures' names.

    Raises:
        InputError: There is no text.

    Example:

    >>> 2 < yardsticks(["abcdefgh" * 9]).bits["xz"] < 9  # a short text
    True
    """
    texts = [text for text in texts if text]
    if not texts:
        raise InputError("Expected at least one text. Received: none.")
    size = sum(len(text.encode()) for text in texts)
    bits = {}
    if tokenizer is not None:
        ids = tokenizer.encode(texts, disallowed_special=())
        bits["unigram"] = unigram_bits(ids) / size
    return Yardsticks(bits | {"xz": xz_bits(texts) / size}, name)
